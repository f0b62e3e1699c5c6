"""Two connected FrameStreams inside one process, for what needs an ordered path and no network."""

from __future__ import annotations

import asyncio
from collections import deque

from rdpeer.errors import ConnectionLost, RdpeerError, RemoteProtocolError
from rdpeer.net.transport import FrameStream
from rdpeer.values import Endpoint

_UNREAD_HIGH = 1024 * 1024


def pair(limit: int) -> tuple[MemoryStream, MemoryStream]:
    """Both ends of a new connection; each takes payloads of up to ``limit`` bytes."""
    left, right = MemoryStream(limit, port=1), MemoryStream(limit, port=2)
    left._join(right)
    right._join(left)
    return left, right


class MemoryStream(FrameStream):
    """A FrameStream whose other end is an object: what is sent lies in the receiver's queue."""

    def __init__(self, limit: int, port: int) -> None:
        self.limit = limit
        self.local = self.remote = Endpoint("127.0.0.1", port)
        self._received: deque[bytes] = deque()
        self._unread = 0
        self._ended = False
        self._error: RdpeerError | None = None
        self._closed = False
        self._changed = asyncio.Event()
        self._peer: MemoryStream

    async def receive(self) -> bytes | None:
        """As :meth:`FrameStream.receive`."""
        while not self._received:
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            await self._change()
        payload = self._received.popleft()
        self._unread -= len(payload)
        self._peer._changed.set()
        if len(payload) > self.limit:
            raise RemoteProtocolError(f"a frame of {len(payload)} bytes is over the limit of {self.limit}")
        return payload

    def send(self, payload: bytes) -> None:
        """As :meth:`FrameStream.send`."""
        if not self._closed and not self._peer._closed:
            self._peer._received.append(payload)
            self._peer._unread += len(payload)
            self._peer._changed.set()

    async def drain(self) -> None:
        """As :meth:`FrameStream.drain`; here, while the receiver has that much unread."""
        while self._peer._unread > _UNREAD_HIGH and not self._closed and not self._peer._closed:
            await self._change()

    async def close(self) -> None:
        """As :meth:`FrameStream.close`."""
        self._closed = True
        self._peer._ended = True
        self._end(ConnectionLost("the connection was closed on this side"))

    def abort(self) -> None:
        """As :meth:`FrameStream.abort`: the other end finds its connection broken."""
        if self._closed:
            return
        self._closed = True
        self._peer._received.clear()
        self._peer._unread = 0
        if not self._peer._ended:
            self._peer._error = ConnectionLost("the connection was lost")
        self._end(ConnectionLost("the connection was closed on this side"))

    def _end(self, error: RdpeerError) -> None:
        self._received.clear()
        self._unread = 0
        self._error = self._error or error
        self._changed.set()
        self._peer._changed.set()

    def _join(self, peer: MemoryStream) -> None:
        self._peer = peer
        self.remote = peer.local

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
