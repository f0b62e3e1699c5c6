"""Frames over UDP, as stock desktops have them: TCP's framing on a stream of KCP (docs/PROTOCOL.md 1).

The protocol is rdpeer.protocol.kcp_connection's. Here it gets a socket, and a timer for its deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import secrets
import socket
from collections import deque
from collections.abc import Sequence

from rdpeer.errors import ConnectionLost, RdpeerError, RemoteProtocolError
from rdpeer.net.batch import BatchSocket
from rdpeer.net.clock import monotonic
from rdpeer.net.transport import FrameStream
from rdpeer.protocol.kcp_connection import KcpConnection
from rdpeer.values import Endpoint
from rdpeer.wire.frames import FrameReader, encode_frame

_READ_BUFFER = 256 * 1024
_UNREAD_HIGH = 1024 * 1024
_UNSENT_HIGH = 1024 * 1024
_FRAME_COST = 64  # bytes that a received frame takes beside its payload: empty ones are not free
_CLOSE_TIMEOUT = 5.0
_MOST_QUEUED = 4096  # datagrams; more than a socket holds before it is given more room
_FULL = 0.001
"""Seconds until a socket that had no room is tried again."""


async def connect(sock: socket.socket, remote: Endpoint, *, limit: int, timeout: float) -> UdpStream:
    """A stream to ``remote``, where the other end accepts at the same time.

    ``sock``: bound, and the stream's from here on, or closed where this fails. ``limit``: longest payload
    taken, in bytes. ``timeout``: seconds. Raises OSError; TimeoutError where nobody answered.
    """
    machine = KcpConnection.connecting(secrets.randbits(32), monotonic())
    return await _established(sock, remote, machine, limit, timeout)


async def accept(
    sock: socket.socket, remote: Endpoint, *, limit: int, timeout: float, first: bytes = b""
) -> UdpStream:
    """As :func:`connect`, at the end that is called; ``first``: a datagram that has come already."""
    machine = KcpConnection.accepting(monotonic())
    machine.receive(first, monotonic())
    return await _established(sock, remote, machine, limit, timeout)


def hear_only(sock: socket.socket, remote: Endpoint) -> None:
    """Connects ``sock``; what strangers had sent there before is dropped. Raises OSError."""
    sock.setblocking(False)
    sock.connect((remote.ip, remote.port))
    for _ in range(_MOST_QUEUED):
        try:
            sock.recv(1)
        except BlockingIOError:
            return
        except OSError:
            continue  # ICMP; or Windows, about the rest of the datagram


async def _established(
    sock: socket.socket, remote: Endpoint, machine: KcpConnection, limit: int, timeout: float
) -> UdpStream:
    try:
        hear_only(sock, remote)
        stream = UdpStream(sock, machine, limit)
    except BaseException:
        sock.close()
        raise
    try:
        async with asyncio.timeout(timeout):
            await stream.open()
    except TimeoutError:
        stream.abort()
        raise TimeoutError(f"{remote}: no answer by UDP within {timeout:g} s") from None
    except BaseException:
        stream.abort()
        raise
    return stream


class UdpStream(FrameStream):
    """A FrameStream over one UDP socket; made by :func:`connect` and :func:`accept`."""

    local: Endpoint
    remote: Endpoint

    def __init__(self, sock: socket.socket, machine: KcpConnection, limit: int) -> None:
        self.local = Endpoint.of(sock.getsockname())
        self.remote = Endpoint.of(sock.getpeername())
        self._machine = machine
        self._socket = BatchSocket(sock, self._take)
        self._loop = asyncio.get_running_loop()
        self._reader = FrameReader(limit, _READ_BUFFER)
        self._uncut = memoryview(b"")
        self._received: deque[bytes] = deque()
        self._unread = 0
        self._held = False
        self._error: RdpeerError | None = None
        self._unsent: Sequence[bytes] = ()
        self._turn: asyncio.Handle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()
        self._over = False

    async def open(self) -> None:
        """Waits until both ends know each other; raises OSError if they will not."""
        await self._socket.start()
        self._move()
        while not self._machine.established:
            await self._change()
        if self._machine.lost:
            raise OSError(f"{self.remote}: {self._machine.lost}")

    @property
    def limit(self) -> int:
        """Longest payload taken, in bytes; may be set at any time."""
        return self._reader.limit

    @limit.setter
    def limit(self, value: int) -> None:
        self._reader.limit = value

    async def receive(self) -> bytes | None:
        """As :meth:`FrameStream.receive`."""
        while not self._received:
            self._cut_again()
            if self._received:
                break
            if self._error is not None:
                raise self._error
            if self._machine.ended and self._reader.pending:
                raise ConnectionLost(f"the connection to {self.remote} ended inside a frame")
            if self._machine.ended:
                return None
            if self._machine.lost:
                raise ConnectionLost(f"the connection to {self.remote} was lost: {self._machine.lost}")
            await self._change()
        payload = self._received.popleft()
        self._unread -= len(payload) + _FRAME_COST
        if self._held and self._unread <= _UNREAD_HIGH // 2:
            self._pull()
            self._move_soon()
        return payload

    def send(self, payload: bytes) -> None:
        """As :meth:`FrameStream.send`."""
        if not self._over:
            self._machine.send(encode_frame(payload))
            self._move_soon()

    async def drain(self) -> None:
        """As :meth:`FrameStream.drain`."""
        while self._machine.unsent > _UNSENT_HIGH and not self._machine.closed:
            await self._change()

    async def close(self) -> None:
        """As :meth:`FrameStream.close`: until the other end has acknowledged everything and closed too, or
        is silent for 1 s. What it sent meanwhile is dropped."""
        try:
            self._machine.close()
            self._move_soon()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CLOSE_TIMEOUT):
                    while not self._machine.closed:
                        self._discard()
                        await self._change()
        finally:
            self.abort()

    def abort(self) -> None:
        """As :meth:`FrameStream.abort`."""
        if self._over:
            return
        self._over = True
        if not self._machine.ended:
            self._error = ConnectionLost(f"the connection to {self.remote} was closed on this side")
        self._socket.send(self._machine.abort())
        self._socket.close()
        for handle in (self._turn, self._timer):
            if handle is not None:
                handle.cancel()
        self._changed.set()

    # What comes

    def _take(self, datagrams: list[bytes]) -> None:
        now = monotonic()
        for datagram in datagrams:
            self._machine.receive(datagram, now)
        self._pull()
        self._move()

    def _pull(self) -> None:
        """Takes what has arrived in order, and cuts it; what is not taken holds the other end back."""
        try:
            while self._unread <= _UNREAD_HIGH and self._more():
                with self._reader.writable() as room:
                    count = min(len(room), len(self._uncut))
                    room[:count] = self._uncut[:count]
                self._uncut = self._uncut[count:]
                self._cut(count)
        except RemoteProtocolError:
            return  # receive() fails on it, unless the limit has been raised by then
        self._held = self._unread > _UNREAD_HIGH

    def _more(self) -> bool:
        if not self._uncut:
            self._uncut = memoryview(b"".join(self._machine.read()))
        return bool(self._uncut)

    def _cut(self, count: int) -> None:
        for payload in self._reader.advance(count):
            self._received.append(payload)
            self._unread += len(payload) + _FRAME_COST

    def _cut_again(self) -> None:
        """A frame that was over the limit when it came may be within it now."""
        try:
            self._cut(0)
        except RemoteProtocolError as error:
            self.abort()
            self._error = error
        else:
            self._pull()

    def _discard(self) -> None:
        self._pull()
        self._received.clear()
        self._unread = 0

    # What goes

    def _move_soon(self) -> None:
        if self._turn is None and not self._over:
            self._turn = self._loop.call_soon(self._move)

    def _move(self) -> None:
        """Sends what is to be sent now, and sees to it that this is called when there is more."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        if self._over:
            return
        now = monotonic()
        self._unsent = self._socket.send(self._unsent or self._machine.poll(now))
        self._wake_at(now + _FULL if self._unsent else self._machine.deadline)
        self._changed.set()

    def _wake_at(self, when: float) -> None:
        """A timer that is early does no harm, and is cheaper than a new one for every datagram."""
        if self._timer is not None:
            if self._timer.when() <= when and not self._timer.cancelled():
                return
            self._timer.cancel()
            self._timer = None
        if when < math.inf:
            self._timer = self._loop.call_at(when, self._time_is_up)

    def _time_is_up(self) -> None:
        self._timer = None
        self._move()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()
