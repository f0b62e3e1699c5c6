"""What stands in for a server or relay in tests: TCP, frame by frame, with nothing of ours in between."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Self

from rdpeer.values import ServerAddress
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.frames import decode_header, encode_frame, header_size


class Leg:
    """One connection that was taken."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def receive(self) -> bytes | None:
        """The next payload; None at the end, inside a frame too."""
        try:
            header = await self._reader.readexactly(1)
            header += await self._reader.readexactly(header_size(header[0]) - 1)
            return await self._reader.readexactly(decode_header(header))
        except asyncio.IncompleteReadError:
            return None

    async def ended(self) -> None:
        """Reads on until the other end has closed."""
        while await self.receive() is not None:
            pass

    async def asked(self) -> wire.RendezvousMessage:
        """The next message."""
        return wire.RendezvousMessage.FromString(await self.receive() or b"")

    def send(self, payload: bytes | wire.RendezvousMessage) -> None:
        if isinstance(payload, wire.RendezvousMessage):
            payload = payload.SerializeToString()
        self.send_raw(encode_frame(payload))

    def send_raw(self, data: bytes) -> None:
        self._writer.write(data)

    def end(self) -> None:
        """Half-closes."""
        with suppress(OSError):  # that end has gone already
            self._writer.write_eof()

    def abort(self) -> None:
        self._writer.transport.abort()


class Double:
    """Takes connections at ``address``; each is ``serve``'s, and closed when that returns."""

    def __init__(self) -> None:
        self.legs_open = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self, leg: Leg) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._take, "127.0.0.1")
        self.address = ServerAddress("127.0.0.1", self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        assert not [error for error in results if isinstance(error, Exception)]

    def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(Leg(reader, writer)))
        self._tasks.add(task)

    async def _serve(self, leg: Leg) -> None:
        self.legs_open += 1
        try:
            with suppress(ConnectionError):
                await self.serve(leg)
        finally:
            self.legs_open -= 1
            leg.abort()
