"""Clients that speak the bare wire, to test the server with nothing of ours in between."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from rdpeer.server import Server
from rdpeer.values import Endpoint
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.frames import decode_header, encode_frame, header_size

HOST = "127.0.0.1"


def message(**member: object) -> wire.RendezvousMessage:
    return wire.RendezvousMessage(**member)  # type: ignore[arg-type]


async def until(condition: Callable[[], bool]) -> None:
    """Lets the loop turn until ``condition`` holds; the test's own timeout bounds it."""
    while True:
        if condition():
            return
        await asyncio.sleep(0)


class Datagrams:
    """A peer's socket, bound to one server."""

    def __init__(self, server: Server, host: str = HOST) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind((host, 0))
        self._socket.connect((host, server.base))
        self.local = Endpoint.of(self._socket.getsockname())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, payload: bytes) -> None:
        self._socket.send(payload)

    async def hear(self) -> wire.RendezvousMessage:
        data = await asyncio.get_running_loop().sock_recv(self._socket, 2048)
        return wire.RendezvousMessage.FromString(data)

    async def ask(self, question: wire.RendezvousMessage) -> wire.RendezvousMessage:
        self.send(question.SerializeToString())
        return await self.hear()

    async def register(self, peer_id: str, uuid: bytes = b"uuid", pk: bytes = bytes(32)) -> None:
        answer = await self.ask(message(register_pk=wire.RegisterPk(id=peer_id, uuid=uuid, pk=pk)))
        assert answer.register_pk_response.result == wire.RegisterPkResponse.OK


class Stream:
    """A TCP connection of frames, then perhaps of raw bytes."""

    def __init__(self, port: int, host: str = HOST) -> None:
        self._port = port
        self._host = host

    async def __aenter__(self) -> Self:
        self.reader, self.writer = await asyncio.open_connection(self._host, self._port)
        self.local = Endpoint.of(self.writer.get_extra_info("sockname"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.writer.close()
        with suppress(OSError):  # the server closed first
            await self.writer.wait_closed()

    def send(self, payload: bytes | wire.RendezvousMessage) -> None:
        if isinstance(payload, wire.RendezvousMessage):
            payload = payload.SerializeToString()
        self.writer.write(encode_frame(payload))

    async def hear(self) -> bytes:
        header = await self.reader.readexactly(1)
        header += await self.reader.readexactly(header_size(header[0]) - 1)
        return await self.reader.readexactly(decode_header(header))

    async def hear_message(self) -> wire.RendezvousMessage:
        return wire.RendezvousMessage.FromString(await self.hear())

    async def ended(self) -> bool:
        """Waits for the end; True if nothing came before it."""
        try:
            return not await self.reader.read()
        except ConnectionResetError:
            return True
