"""Two links that move from one path to another over real sockets, beside what they carry."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import random
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
from parties import OPEN, Lines, Peers, Somebody

from rdpeer.crypto.channel import SecureChannel
from rdpeer.crypto.move_key import MoveKey
from rdpeer.net import direct
from rdpeer.net.gathering import Gathering
from rdpeer.net.link import Link
from rdpeer.net.transport import memory
from rdpeer.net.transport.tcp import TcpListener
from rdpeer.peer import moving as module
from rdpeer.peer import search
from rdpeer.peer.connect import Way, pipe
from rdpeer.peer.moving import moving
from rdpeer.peer.relayed import Relayed
from rdpeer.peer.services import Standard
from rdpeer.peer.ways import Ways
from rdpeer.protocol import joining
from rdpeer.protocol.candidates import Candidate, Candidates, Transport, chosen, write_candidates
from rdpeer.protocol.joining import JOIN_BYTES
from rdpeer.server import Server
from rdpeer.values import Endpoint
from rdpeer.wire import channel_pb2 as pb
from rdpeer.wire.records import RecordType, decode, encode

RELAY = Endpoint("127.0.0.1", 21117)
MIB = 1024 * 1024


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SETTLE", 0.0)


@pytest.fixture(params=[*Transport, None], ids=["udp", "tcp", "any"])
def only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Transport | None:
    """Nothing else is offered than candidates of one transport."""
    if request.param:
        monkeypatch.setattr(
            search,
            "chosen",
            lambda found, where: chosen((one for one in found if one.transport is request.param), where),
        )
    return request.param


def channel(*, initiator: bool) -> SecureChannel:
    return SecureChannel.derive(
        initiator=initiator, shared=bytes(32), session_key=bytes(32), t0=bytes(32), version=2
    )


def relayed(*, initiator: bool, secret: bytes = b"e" * 32) -> Relayed:
    return Relayed(initiator, "relay R", RELAY, None, (), b"t" * 32, secret)


@asynccontextmanager
async def end(stream, lines: Lines, **how) -> AsyncIterator[Link]:
    initiator = how["initiator"]
    async with (
        Link(stream, channel(initiator=initiator), initiator=initiator, movable=True) as link,
        moving(link, relayed(**how), lines.tell),
    ):
        yield link


@asynccontextmanager
async def both() -> AsyncIterator[tuple[Link, Link, Lines, Lines]]:
    left, right = memory.pair(4096)
    here, there = Lines(), Lines()
    async with end(left, here, initiator=True) as near, end(right, there, initiator=False) as far:
        yield near, far, here, there


class Blob:
    """A source of ``data``, and the end of it only when ``go_on`` is set."""

    ends_with_peer = False

    def __init__(self, data: bytes, go_on: asyncio.Event) -> None:
        self._data = memoryview(data)
        self._go_on = go_on

    async def read(self, limit: int) -> bytes:
        chunk, self._data = bytes(self._data[:limit]), self._data[limit:]
        if not chunk:
            await self._go_on.wait()
        return chunk

    async def status(self) -> None:
        return None

    def close(self) -> None: ...


class Digest:
    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()

    async def write(self, chunks) -> None:
        for chunk in chunks:
            self.sha256.update(chunk)

    def write_now(self, chunk: memoryview) -> memoryview:
        return chunk

    async def finish(self) -> None: ...

    def abort(self) -> None: ...


async def test_a_session_that_moves_while_it_carries_much(only):
    blob = random.Random(5).randbytes(MIB) * 8
    moved = asyncio.Event()
    async with both() as (near, far, here, there):
        opening = asyncio.create_task(near.open())
        offer = await far.next_offer()
        theirs, sinks = offer.accept(), (Digest(), Digest())
        ours = await opening
        carrying = asyncio.gather(
            ours.carry(Blob(blob, moved), sinks[0]), theirs.carry(Blob(blob, moved), sinks[1])
        )
        line = await here.said("path: direct ")
        assert line.endswith("(was relay R)")
        assert only is None or (" by UDP " in line) is (only is Transport.UDP)
        await there.said("path: direct ")
        moved.set()
        await carrying
        await asyncio.gather(near.finish(), far.finish())
    assert {sink.sha256.digest() for sink in sinks} == {hashlib.sha256(blob).digest()}


@pytest.mark.parametrize("way", [Way.ANY, Way.RELAY])
async def test_from_connect_to_listen(
    server: Callable[..., Server], peers: Peers, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    """All of it, but that no direct path is found at first; ``--relay`` asks to stay."""
    monkeypatch.setattr(Ways, "direct", lambda _: [])
    blob, moved = random.Random(6).randbytes(3 * MIB), asyncio.Event()
    sinks, person = (Digest(), Digest()), Somebody()
    async with server() as running:
        alice, bob = peers("alice", running), peers("bob", running)
        service = Standard(Blob(blob, moved), sinks[0])
        async with bob.listening(service, OPEN, one_peer=True) as listening:
            connector = alice.connector(bob.id, person=person, way=way)
            piping = asyncio.create_task(pipe(connector, "", Blob(blob, moved), sinks[1]))
            if way is Way.ANY:
                await person.details.said("path: direct .* \\(was relay 127.0.0.1:")
                await listening.details.said(f"{alice.id} .*path: direct .* \\(was relay 127.0.0.1:")
            moved.set()
            await piping
            await listening.task
    assert {sink.sha256.digest() for sink in sinks} == {hashlib.sha256(blob).digest()}
    (before,) = (line for line in listening.reports if "accepted" in line)
    assert ", relay 127.0.0.1:" in before
    assert (way is Way.ANY) == any("path: direct" in line for line in person.details)


async def test_a_trace_follows_the_session(
    server: Callable[..., Server],
    peers: Peers,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(Ways, "direct", lambda _: [])
    caplog.set_level(logging.DEBUG, "rdpeer.net.trace")
    moved, person = asyncio.Event(), Somebody()
    async with server() as running:
        alice, bob = peers("alice", running), peers("bob", running)
        service = Standard(Blob(b"", moved), Digest())
        async with bob.listening(service, OPEN, one_peer=True) as listening:
            connector = alice.connector(bob.id, person=person)
            piping = asyncio.create_task(pipe(connector, "", Blob(b"data", moved), Digest()))
            await person.details.said("path: direct ")
            await listening.details.said("path: direct ")
            moved.set()
            await piping
            await listening.task
    relay = f"127.0.0.1:{running.base + 1}"
    told = [record.getMessage() for record in caplog.records if record.name == "rdpeer.net.trace"]
    assert len([line for line in told if line.endswith(" this way from now on")]) == 4
    for record, on_relay in (("OPEN", True), ("SWITCH", True), ("END", False), ("FINAL", False)):
        lines = [line for line in told if line.endswith(f": sealed {record}")]
        assert lines
        assert all((relay in line) is on_relay for line in lines), lines


async def test_a_peer_that_does_not_move():
    left, right = memory.pair(4096)
    lines = Lines()
    async with (
        end(left, lines, initiator=True) as near,
        Link(right, channel(initiator=False), initiator=False) as far,
    ):
        assert await lines.said("staying") == "staying on relay R: the peer does not move"
        await asyncio.gather(near.finish(), far.finish())


async def test_a_session_that_is_over_at_once_is_left_in_peace():
    async with both() as (near, far, here, there):
        await asyncio.gather(near.finish(), far.finish())
    assert not [line for line in here + there if "path" in line]


async def test_nothing_to_try(monkeypatch):
    monkeypatch.setattr(search, "own_addresses", lambda *_: [])
    async with both() as (near, far, here, _):
        line = await here.said("staying")
        assert line == "staying on relay R: the peer names no place where we could come"
        await asyncio.gather(near.finish(), far.finish())


class Peer:
    """The far end by hand: it names candidates of its own choice, and tells what came there."""

    def __init__(self, stream) -> None:
        self.stream, self.channel = stream, channel(initiator=False)
        stream.limit = MIB

    def send(self, kind: RecordType, body: object = b"", *, final: bool = False) -> None:
        self.stream.send(self.channel.seal(encode(kind, body), final))  # type: ignore[arg-type]

    async def receive(self, kind: RecordType, stream=None) -> bytes:
        while True:
            found, body = decode(self.channel.open(await (stream or self.stream).receive())[0])
            if found is kind:
                return body

    def name(self, *candidates: Candidate, nonce: bytes = b"r" * 16) -> None:
        self.send(RecordType.HELLO, pb.Hello(features=["move"], max_streams=8))
        self.send(RecordType.CANDIDATES, write_candidates(Candidates(nonce, candidates)))


@asynccontextmanager
async def against_a_peer() -> AsyncIterator[tuple[Peer, Link, Lines]]:
    left, right = memory.pair(4096)
    lines = Lines()
    async with end(left, lines, initiator=True) as near:
        yield Peer(right), near, lines


async def finish(peer: Peer, near: Link) -> None:
    """The session goes on where it was, to its end."""
    finishing = asyncio.create_task(near.finish())
    assert await peer.receive(RecordType.FINAL) == b""
    peer.send(RecordType.FINAL, final=True)
    await finishing


async def test_garbage_at_the_candidate(monkeypatch):
    monkeypatch.setattr(search, "FIND_WITHIN", 0.5)

    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"SSH-2.0-garbage\r\n" * 100)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(garbage, "127.0.0.1", 0) as server:
        at = Endpoint.of(server.sockets[0].getsockname())
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
            mute.bind(("127.0.0.1", 0))
            async with against_a_peer() as (peer, near, lines):
                peer.name(
                    Candidate(Transport.TCP, at),
                    Candidate(Transport.UDP, Endpoint.of(mute.getsockname())),
                )
                assert "over the limit" in await lines.said("staying on relay R: ")
                await finish(peer, near)


async def test_nobody_at_the_candidate():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        at = Endpoint.of(closed.getsockname())
    async with against_a_peer() as (peer, near, lines):
        peer.name(Candidate(Transport.TCP, at))
        assert "Connection refused" in await lines.said("staying on relay R: ")
        await finish(peer, near)


async def test_another_session_of_the_same_peer_is_not_joined(monkeypatch):
    """Its responder's listener, with the keys of another session."""
    monkeypatch.setattr(search, "FIND_WITHIN", 0.5)
    left, right = memory.pair(4096)
    here, there = Lines(), Lines()
    async with (
        end(left, here, initiator=True) as near,
        end(right, there, initiator=False, secret=b"x" * 32) as far,
    ):
        assert "closed at once" in await here.said("staying on relay R: ")
        await asyncio.gather(near.finish(), far.finish())


def loopback_listener(said: pb.Candidates) -> Endpoint:
    """Where the responder that said this takes TCP."""
    (port,) = (
        one.port
        for one in said.candidates
        if one.transport == pb.Candidate.TCP and one.ip == bytes([127, 0, 0, 1])
    )
    return Endpoint("127.0.0.1", port)


async def test_strangers_take_no_more_than_their_places(monkeypatch):
    """Whoever comes to a responder's listener without the key is closed, and the session stays."""
    left, right = memory.pair(4096)
    lines = Lines()
    async with end(right, lines, initiator=False) as far:
        peer = Peer(left)
        peer.channel = channel(initiator=True)
        peer.name()
        body = pb.Candidates.FromString(await peer.receive(RecordType.CANDIDATES))
        at = loopback_listener(body)
        for _ in range(direct.MOST_CALLERS):
            reader, writer = await asyncio.open_connection(at.ip, at.port)
            writer.write(b"\x04garbage")
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            with suppress(ConnectionResetError):
                await writer.wait_closed()
        finishing = asyncio.create_task(far.finish())
        await peer.receive(RecordType.FINAL)
        peer.send(RecordType.FINAL, final=True)
        await finishing


async def test_a_choice_that_comes_late(monkeypatch):
    """The initiator, by hand: it joins, and says so long after the responder has closed its doors."""
    loop = asyncio.get_running_loop()
    ahead, real = [0.0], loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + ahead[0])
    monkeypatch.setattr(search, "WAIT_FOR", 8.0)
    close, closed = Gathering.close, asyncio.Event()
    monkeypatch.setattr(Gathering, "close", lambda gathering: (close(gathering), closed.set()))
    left, right = memory.pair(4096)
    lines = Lines()
    async with end(right, lines, initiator=False) as far:
        peer = Peer(left)
        peer.channel = channel(initiator=True)
        peer.name(nonce=b"i" * 16)
        body = pb.Candidates.FromString(await peer.receive(RecordType.CANDIDATES))
        at = loopback_listener(body)
        key = MoveKey(
            initiator=True,
            exporter=b"e" * 32,
            t2=b"t" * 32,
            initiator_nonce=b"i" * 16,
            responder_nonce=body.nonce,
        )
        name, new = await direct.dial(at, key)
        ahead[0] += 9.0
        await closed.wait()
        peer.send(RecordType.SWITCH, name)
        peer.stream = new
        new.limit = MIB
        peer.send(RecordType.OPEN, pb.OpenStream(stream=1))
        assert (await far.next_offer()) is not None
        assert await peer.receive(RecordType.SWITCH, left) == name
        far_line = await lines.said("path: direct 127.0.0.1:")
        assert far_line.endswith("(was relay R)")
        new.abort()


async def test_a_peer_that_names_nothing_ever(monkeypatch):
    monkeypatch.setattr(search, "EXCHANGE_WITHIN", 0.05)
    async with against_a_peer() as (peer, near, lines):
        peer.send(RecordType.HELLO, pb.Hello(features=["move"], max_streams=8))
        said = await lines.said("staying")
        assert said == "staying on relay R: the peer does not say where it can be met"
        peer.send(RecordType.CANDIDATES, write_candidates(Candidates(b"r" * 16, ())))  # too late, no harm
        await finish(peer, near)


async def test_a_peer_that_never_comes(monkeypatch):
    monkeypatch.setattr(search, "WAIT_FOR", 0.05)
    left, right = memory.pair(4096)
    lines = Lines()
    async with end(right, lines, initiator=False) as far:
        peer = Peer(left)
        peer.channel = channel(initiator=True)
        peer.name()
        assert await lines.said("staying") == "staying on relay R: the peer has not come to us within 0.05 s"
        await finish(peer, far)


async def test_a_path_that_is_found_when_the_session_ends():
    """The responder, by hand: it says FINAL before it answers JOIN."""
    async with (
        await TcpListener.open(Endpoint("127.0.0.1", 0), limit=JOIN_BYTES) as listener,
        against_a_peer() as (peer, near, lines),
    ):
        peer.name(Candidate(Transport.TCP, listener.endpoint))
        nonce = pb.Candidates.FromString(await peer.receive(RecordType.CANDIDATES)).nonce
        key = MoveKey(
            initiator=False,
            exporter=b"e" * 32,
            t2=b"t" * 32,
            initiator_nonce=nonce,
            responder_nonce=b"r" * 16,
        )
        caller = await listener.accept()
        payload = await caller.receive()
        peer.send(RecordType.FINAL, final=True)
        assert await near.next_offer() is None
        answer, _ = joining.answer(key, payload)
        caller.send(answer)
        assert await lines.said("staying") == "staying on relay R: the session is about to end"
        await near.finish()
        caller.abort()
