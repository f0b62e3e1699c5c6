"""What a listener serves: what it refuses, and that nothing stays open."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from rdpeer.crypto.keys import IdentityKey
from rdpeer.errors import ConnectionLost, PeerRefused
from rdpeer.peer.services import Busy, Guest, Program, Service, Standard, Target
from rdpeer.values import PeerId, ServerAddress
from rdpeer.wire.channel_pb2 import StreamRefused

KEY = IdentityKey.from_seed(b"a" * 32).public
GUEST = Guest(PeerId("612345678"), KEY, "relay host:21117")


class Carrying:
    """A stream that has been accepted: reads one piece, and gives both ends back closed."""

    def __init__(self) -> None:
        self.ends: tuple[Any, Any] | None = None
        self.how: dict[str, bool] = {}
        self.read = b""

    async def carry(self, source: Any, sink: Any, **how: bool) -> None:
        self.ends, self.how = (source, sink), how
        self.read = await source.read(4096)
        source.close()
        sink.abort()


@dataclass
class FakeOffer:
    target: str = ""
    gone: bool = False
    stream: Carrying = field(default_factory=Carrying)
    refused: tuple[int, str] | None = None

    def accept(self) -> Carrying:
        if self.gone:
            raise ConnectionLost("given up")
        return self.stream

    def refuse(self, reason: int, detail: str = "") -> None:
        self.refused = reason, detail


class End:
    ends_with_peer = False

    async def read(self, limit: int) -> bytes:
        return b"data"

    def close(self) -> None: ...

    def abort(self) -> None: ...


async def serve(service: Service, offer: FakeOffer) -> FakeOffer:
    await service.serve(offer, GUEST)  # type: ignore[arg-type]
    return offer


async def refused(service: Service, target: str = "") -> tuple[int, str]:
    offer = FakeOffer(target)
    with pytest.raises(PeerRefused):
        await serve(service, offer)
    assert offer.stream.ends is None
    assert offer.refused is not None
    return offer.refused


async def test_standard_input_and_output_are_served_once() -> None:
    service = Standard(End(), End(), recv_only=True)  # type: ignore[arg-type]
    offer = await serve(service, FakeOffer())
    assert offer.stream.ends == (service.source, service.sink)
    assert offer.stream.how == {"recv_only": True, "send_only": False}
    assert await refused(service) == (StreamRefused.BUSY, "its standard input and output are in use")


async def test_standard_input_and_output_are_still_there_after_a_guest_that_went_at_once() -> None:
    service = Standard(End(), End())  # type: ignore[arg-type]
    with pytest.raises(ConnectionLost):
        await serve(service, FakeOffer(gone=True))
    assert (await serve(service, FakeOffer())).stream.ends


@pytest.mark.parametrize(
    "service",
    [Standard(End(), End()), Program(["true"], {})],  # type: ignore[arg-type]
    ids=["standard", "program"],
)
async def test_no_target_may_be_named_where_none_is_served(service: Service) -> None:
    reason, _ = await refused(service, "127.0.0.1:22")
    assert reason == StreamRefused.NOT_PERMITTED


async def test_busy() -> None:
    assert (await refused(Busy()))[0] == StreamRefused.BUSY


@asynccontextmanager
async def echoing() -> AsyncIterator[tuple[ServerAddress, asyncio.Queue[bytes]]]:
    """A target that says hello; what it hears until the end of each connection comes out of the queue."""
    heard: asyncio.Queue[bytes] = asyncio.Queue()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        try:
            heard.put_nowait(await reader.read())
        except ConnectionResetError:
            heard.put_nowait(b"reset")
        writer.transport.abort()

    server = await asyncio.start_server(talk, "127.0.0.1")
    async with server:
        yield ServerAddress("127.0.0.1", server.sockets[0].getsockname()[1]), heard


async def test_the_target_is_reached_whether_named_or_not() -> None:
    async with echoing() as (address, heard):
        for named in ("", str(address)):
            offer = await serve(Target(address), FakeOffer(named))
            assert offer.stream.read == b"hello"
            assert await heard.get() == b"reset"


async def test_a_guest_that_goes_meanwhile_leaves_no_connection_to_the_target() -> None:
    async with echoing() as (address, heard):
        with pytest.raises(ConnectionLost):
            await serve(Target(address), FakeOffer(gone=True))
        assert await heard.get() == b"reset"


@pytest.mark.parametrize(
    "named",
    [
        "127.0.0.1:23",
        "127.0.0.2:22",
        "127.0.0.1",
        "localhost:22",
        "::ffff:127.0.0.1",
        "127.1:22",
        "127.0.0.1:022222",
        "127.0.0.1:-1",
        "127.0.0.1:22 ",
        "[::1",
        ":22",
        "x" * 300,
        "127.0.0.1:22@elsewhere",
        "\N{FULLWIDTH DIGIT ONE}27.0.0.1:22",
    ],
)
async def test_odd_targets_are_not_permitted(named: str) -> None:
    service = Target(ServerAddress("127.0.0.9", 22), frozenset({ServerAddress("127.0.0.1", 222)}))
    assert await refused(service, named) == (StreamRefused.NOT_PERMITTED, named)


async def test_without_a_target_one_must_be_named() -> None:
    service = Target(None, frozenset({ServerAddress("127.0.0.1", 222)}))
    assert await refused(service) == (StreamRefused.NOT_PERMITTED, "no target was named")


async def test_a_closed_target() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = ServerAddress("127.0.0.1", closed.getsockname()[1])
    reason, detail = await refused(Target(address))
    assert reason == StreamRefused.UNREACHABLE
    assert detail == f"{address}: Connection refused"


async def test_a_program_that_is_not_there() -> None:
    reason, detail = await refused(Program(["/nowhere/at/all"], {}))
    assert (reason, detail) == (StreamRefused.NO_SUCH_PROGRAM, "No such file or directory")


async def test_a_program_learns_who_is_there_and_none_of_our_secrets() -> None:
    program = Program(["env"], {"PATH": "/usr/bin:/bin", "RDPEER_PASSWORD": "secret", "RDPEER_HOME": "/home"})
    assert "secret" not in repr(program)
    offer = await serve(program, FakeOffer())
    told = dict(line.split("=", 1) for line in offer.stream.read.decode().splitlines())
    assert told == {
        "PATH": "/usr/bin:/bin",
        "RDPEER_REMOTE_ID": "612345678",
        "RDPEER_REMOTE_KEY": KEY.text,
        "RDPEER_REMOTE_PATH": "relay",
    }


async def test_a_program_of_a_guest_that_goes_at_once_is_ended() -> None:
    with pytest.raises(ConnectionLost):
        await serve(Program(["sleep", "1000"], {"PATH": "/usr/bin:/bin"}), FakeOffer(gone=True))
