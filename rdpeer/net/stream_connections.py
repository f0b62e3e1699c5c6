"""Connections whose frames come from a stream: WebSockets, and TCP legs that stay framed beside one."""

from __future__ import annotations

import asyncio

from rdpeer.crypto.stock import SEAL_BYTES, StockChannel
from rdpeer.errors import ConnectionLost
from rdpeer.net.budget import Meter
from rdpeer.net.connections import Connection, TracedConnection
from rdpeer.net.transport.tcp import TcpStream
from rdpeer.net.transport.websocket import MAX_MESSAGE, WebSocketStream
from rdpeer.values import Endpoint

_UNSENT = 64 * 1024


class StreamConnection(Connection):
    """A Connection on ``stream``; it has no socket to be spliced. ``remote``: as whom it is served."""

    __slots__ = ("kind", "stream")

    def __init__(self, stream: WebSocketStream | TcpStream, remote: Endpoint) -> None:
        self.stream = stream
        self.remote = remote
        self.kind = "ws" if isinstance(stream, WebSocketStream) else "tcp"

    async def receive(self, limit: int) -> bytes | None:
        """As :meth:`Connection.receive`."""
        self.stream.limit = limit
        try:
            return await self.stream.receive()
        except ConnectionLost:
            return None

    def send(self, payload: bytes) -> None:
        """As :meth:`Connection.send`: who does not read is hung up, and little is queued until then."""
        self.stream.send(payload)
        if isinstance(self.stream, WebSocketStream) and self.stream.unsent > _UNSENT:
            self.hang_up()

    def hang_up(self) -> None:
        self.stream.abort()

    def end(self) -> None:
        """A stream of frames has no half-close: its last frame says that it is one."""

    @property
    def is_broken(self) -> bool:
        """Who receives hears it."""
        return False

    async def finish(self) -> None:
        await self.stream.close()

    def close(self) -> None:
        self.stream.abort()


class TracedStreamConnection(TracedConnection, StreamConnection):
    """One whose messages are told."""


class SealedConnection(Connection):
    """``connection`` from here on, each frame sealed by ``channel`` but for heartbeats."""

    __slots__ = ("_channel", "_connection", "kind")

    def __init__(self, connection: Connection, channel: StockChannel) -> None:
        self._connection = connection
        self._channel = channel
        self.remote = connection.remote
        self.kind = connection.kind

    async def receive(self, limit: int) -> bytes | None:
        """As :meth:`Connection.receive`; RemoteProtocolError for what does not open, too."""
        payload = await self._connection.receive(limit + SEAL_BYTES)
        return None if payload is None else self._channel.open(payload)

    def send(self, payload: bytes) -> None:
        self._connection.send(self._channel.seal(payload) if payload else payload)

    def hang_up(self) -> None:
        self._connection.hang_up()

    async def finish(self) -> None:
        await self._connection.finish()

    def close(self) -> None:
        self._connection.close()


class TracedSealedConnection(TracedConnection, SealedConnection):
    """One whose messages are told as they are before they are sealed."""


def sealed(connection: Connection, channel: StockChannel) -> SealedConnection:
    """``connection``, sealed by ``channel`` from here on; what is told of it, if anything, is not."""
    if not isinstance(connection, TracedConnection):
        return SealedConnection(connection, channel)
    connection.told = False
    return TracedSealedConnection(connection, channel)


async def framed(connection: Connection) -> StreamConnection:
    """``connection`` as one of frames that may be as long as a WebSocket's; it is used up if it was not."""
    if isinstance(connection, StreamConnection):
        if isinstance(connection.stream, WebSocketStream):
            connection.stream.widen()
        connection.stream.limit = MAX_MESSAGE
        return connection
    stream = await TcpStream.over(connection.detach(), limit=MAX_MESSAGE)
    return StreamConnection(stream, connection.remote)


async def join_framed(left: StreamConnection, right: StreamConnection, meter: Meter) -> None:
    """Carries frame by frame until one side has ended, and delivers to the other what it had said before.

    Empty frames are heartbeats of one leg, and end here (docs/PROTOCOL.md 6). Raises RemoteProtocolError
    where that was the end: bytes that are no frames, as when a stock port forward has turned raw.
    """
    ways = [asyncio.create_task(_one_way(*legs, meter)) for legs in ((left, right), (right, left))]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        results = await asyncio.gather(*ways, return_exceptions=True)
    await asyncio.gather(left.finish(), right.finish())
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, ConnectionLost):
            raise result


async def _one_way(source: StreamConnection, sink: StreamConnection, meter: Meter) -> None:
    while (payload := await source.stream.receive()) is not None:
        if not payload:
            continue
        await meter.spend(len(payload))
        sink.stream.send(payload)
        await sink.stream.drain()
        await asyncio.sleep(0)  # a busy pair leaves the others their turn
