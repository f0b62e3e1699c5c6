"""Frames over TCP.

asyncio calls :class:`TcpStream` as its BufferedProtocol: the kernel writes straight into the
frame reader's buffer, up to 256 KiB a wake-up, so bulk data is copied once on its way in.

What waits to be sent stays in a queue of our own. The transport's high-water mark is zero, so it
says "pause" as soon as the kernel took less than it was given: it holds at most the rest of one
frame, where its own buffer would copy every waiting byte once more.

A connection to a stock desktop turns raw after a frame that only its reader understands, and the first
raw bytes lie right behind it. So such a stream is read step by step: one frame is cut, and nothing more
is read or looked at before the next one is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import Self

from rdpeer.errors import ConnectionLost, LocalProtocolError, RdpeerError, RemoteProtocolError
from rdpeer.net.raw import RawStream
from rdpeer.net.transport.dial import dial, reusable
from rdpeer.values import Endpoint, ServerAddress
from rdpeer.wire.frames import FrameReader, encode_frame

_READ_BUFFER = 256 * 1024
_UNREAD_HIGH = 1024 * 1024
_UNSENT_HIGH = 1024 * 1024
_FRAME_COST = 64  # bytes that a received frame takes beside its payload: empty ones are not free
_CLOSE_TIMEOUT = 5.0
_LINGER = 1.0
_BACKLOG = 128
_MAX_UNACCEPTED = 128


async def connect(
    address: ServerAddress,
    *,
    limit: int,
    timeout: float,
    local_port_reuse: bool = False,
    local: Endpoint | None = None,
) -> TcpStream:
    """A stream to ``address``, tried at all addresses of the name, each 250 ms after the one before.

    ``limit``: longest payload taken, in bytes. ``timeout``: seconds, name resolution included.
    ``local_port_reuse``: bound so that a TcpListener can share the local port. ``local``: from that
    endpoint, whose port is shared already.

    Raises OSError with each address tried and why it failed (TimeoutError when the time was over); the
    caller knows what the address was to it, and makes ServerUnreachable or the like of that.
    """
    try:
        async with asyncio.timeout(timeout):
            sock = await dial(address, reuse=local_port_reuse, local=local)
    except TimeoutError:
        raise TimeoutError(f"{address}: no answer within {timeout:g} s") from None
    return await TcpStream.over(sock, limit=limit)


class TcpStream(asyncio.BufferedProtocol):
    """A FrameStream over one TCP connection."""

    local: Endpoint
    remote: Endpoint

    def __init__(self, limit: int, opened: Callable[[TcpStream], None] | None = None) -> None:
        self._reader = FrameReader(limit, _READ_BUFFER)
        self._opened = opened
        self._view: memoryview | None = None
        self._received: deque[bytes] = deque()
        self._unread = 0
        self._reading = True
        self._stepwise = False
        self._ended = False
        self._error: RdpeerError | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._take: Callable[[bytes], bool] | None = None
        self._take_error: Exception | None = None
        self._unsent: deque[bytes] = deque()
        self._unsent_size = 0
        self._paused = False
        self._writers: list[asyncio.Future[None]] = []
        self._lost = False

    @classmethod
    async def over(cls, sock: socket.socket, *, limit: int) -> Self:
        """Over a connected socket, which the stream owns from here on."""
        _, stream = await asyncio.get_running_loop().create_connection(lambda: cls(limit), sock=sock)
        return stream

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
            if self._is_over():
                return None
            if not self._received:
                await self._arrives()
        return self._next()

    async def pour(self, take: Callable[[bytes], bool]) -> bool:
        """As :meth:`FrameStream.pour`; ``take`` is called while asyncio reads the socket."""
        self._take = take
        try:
            while self._take is not None:
                if self._received:
                    if take(self._next()):
                        break
                elif self._is_over():
                    return self._take is None
                else:
                    await self._arrives()
        finally:
            self._take = None
        return True

    def step(self) -> None:
        """From here on nothing behind a frame is read or looked at before ``receive`` is called again.

        What has arrived by now is cut into frames as ever: to be called before the other end could have
        turned raw.
        """
        self._stepwise = True

    async def turn_raw(self) -> RawStream:
        """The connection without frames, from the byte behind the last one received; for a stream that
        was read step by step. It belongs to the caller, and this stream is not to be used any more."""
        if not self._stepwise or self._received:
            raise LocalProtocolError("the stream was not read step by step")
        self._pause_reading()
        while self._paused:
            await self._room()
        raw = RawStream(self._transport, self._reader.take_rest(), ended=self._ended)
        if self._error is not None:
            raw.fail(self._error)
        return raw

    def send(self, payload: bytes) -> None:
        """As :meth:`FrameStream.send`."""
        if self._transport.is_closing():
            return
        frame = encode_frame(payload)
        if self._paused:
            self._unsent.append(frame)
            self._unsent_size += len(frame)
        else:
            self._transport.write(frame)

    async def drain(self) -> None:
        """As :meth:`FrameStream.drain`."""
        while self._unsent_size > _UNSENT_HIGH:
            await self._room()

    async def close(self) -> None:
        """As :meth:`FrameStream.close`.

        What the other end sent meanwhile is read and dropped for up to 1 s, until it closes too: with
        unread bytes the kernel would send RST, which may overtake what was just delivered.
        """
        try:
            with contextlib.suppress(OSError):  # TimeoutError is one; or a reset that was not heard yet
                async with asyncio.timeout(_CLOSE_TIMEOUT):
                    while self._paused:
                        await self._room()
                if not self._ended and not self._transport.is_closing():
                    self._transport.write_eof()
                    async with asyncio.timeout(_LINGER):
                        await self._discard()
        finally:
            self.abort()

    def abort(self) -> None:
        """As :meth:`FrameStream.abort`."""
        self._transport.abort()
        self.connection_lost(ConnectionAbortedError("closed on this side"))

    # what asyncio calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        transport.set_write_buffer_limits(high=0)
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.local = Endpoint.of(transport.get_extra_info("sockname"))
        self.remote = Endpoint.of(transport.get_extra_info("peername"))
        if self._opened is not None:
            self._opened(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        self._view = self._reader.writable()
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        try:
            self._cut(nbytes)
        except RemoteProtocolError:
            self._pause_reading()  # receive() fails on it, unless the limit has been raised by then
        if self._unread > _UNREAD_HIGH or (self._stepwise and self._received):
            self._pause_reading()
        if self._take is None or not self._reading:
            self._wake_receiver()

    def eof_received(self) -> bool:
        self._ended = True
        self._wake_receiver()
        return True  # our own direction stays open: close() ends it

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        while self._unsent and not self._paused and not self._transport.is_closing():
            frame = self._unsent.popleft()
            self._unsent_size -= len(frame)
            self._transport.write(frame)
        self._wake_writers()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = True
        self._paused = False
        self._unsent.clear()
        self._unsent_size = 0
        if not self._ended:
            reason = exc.strerror or str(exc) if isinstance(exc, OSError) else "closed"
            self._error = self._error or ConnectionLost(f"the connection to {self.remote} was lost: {reason}")
        self._wake_receiver()
        self._wake_writers()

    def _cut(self, count: int) -> None:
        if self._view is not None:
            self._view.release()  # asyncio still holds it, and the reader may have to grow its buffer
            self._view = None
        most = 1 if self._stepwise else sys.maxsize
        payloads = self._reader.advance(count, most)
        while payloads and self._take is not None and not self._received:
            payloads = self._pass(payloads, self._take)
        for payload in payloads:
            self._received.append(payload)
            self._unread += len(payload) + _FRAME_COST

    def _pass(self, payloads: list[bytes], take: Callable[[bytes], bool]) -> list[bytes]:
        """What is left to take: the rest, or what the taker has made room for by raising the limit."""
        try:
            for index, payload in enumerate(payloads):
                if take(payload):
                    self._take = None
                    return payloads[index + 1 :]
        except Exception as error:  # asyncio would log it: it belongs to who waits in pour()
            self._take_error = error
            self._pause_reading()
            return []
        return self._reader.advance(0)

    def _is_over(self) -> bool:
        """Whether nothing more comes, in order; raises why where it is not. May cut payloads."""
        if self._take_error is not None:
            raise self._take_error
        self._cut_again()
        if self._received:
            return False
        if self._error is not None:
            raise self._error
        if self._ended and self._reader.pending:
            raise ConnectionLost(f"the connection to {self.remote} ended inside a frame")
        return self._ended

    async def _arrives(self) -> None:
        self._resume_reading()
        self._arrival = asyncio.get_running_loop().create_future()
        await self._arrival

    def _next(self) -> bytes:
        payload = self._received.popleft()
        self._unread -= len(payload) + _FRAME_COST
        if self._unread <= _UNREAD_HIGH // 2 and not self._stepwise:
            self._resume_reading()
        return payload

    def _cut_again(self) -> None:
        """A frame that was over the limit when it came may be within it now."""
        try:
            self._cut(0)
        except RemoteProtocolError as error:
            self._error = error
            self.abort()

    def _pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self._transport.resume_reading()

    async def _room(self) -> None:
        """Waits until the transport takes more, or is lost."""
        writer = asyncio.get_running_loop().create_future()
        self._writers.append(writer)
        await writer

    async def _discard(self) -> None:
        with contextlib.suppress(RdpeerError):
            while await self.receive() is not None:
                pass

    def _wake_receiver(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _wake_writers(self) -> None:
        for writer in self._writers:
            if not writer.done():
                writer.set_result(None)
        self._writers.clear()


class TcpListener:
    """Accepts streams at one endpoint.

    ``async with await TcpListener.open(endpoint, limit=...) as listener: stream = await listener.accept()``
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._accepted: asyncio.Queue[TcpStream] = asyncio.Queue(_MAX_UNACCEPTED)
        self._closed = False
        self._server: asyncio.Server

    @classmethod
    async def open(cls, endpoint: Endpoint, *, limit: int) -> Self:
        """Listens at ``endpoint``; port 0 takes a free one, an address of v6 takes v6 only. Raises OSError.

        The port may be shared with outgoing connections made with ``local_port_reuse``.
        """
        listener = cls(limit)
        family = socket.AF_INET6 if endpoint.is_v6 else socket.AF_INET
        sock = reusable(socket.socket(family, socket.SOCK_STREAM))
        try:
            if endpoint.is_v6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind((endpoint.ip, endpoint.port))
            loop = asyncio.get_running_loop()
            listener._server = await loop.create_server(listener._make_stream, sock=sock, backlog=_BACKLOG)
        except BaseException:
            sock.close()
            raise
        return listener

    @property
    def endpoint(self) -> Endpoint:
        """Where it listens."""
        return Endpoint.of(self._server.sockets[0].getsockname())

    async def accept(self) -> TcpStream:
        """The next stream; it belongs to the caller."""
        return await self._accepted.get()

    def close(self) -> None:
        """Stops listening and drops the streams that nobody accepted. Safe to call twice."""
        self._closed = True
        self._server.close()
        while not self._accepted.empty():
            self._accepted.get_nowait().abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()

    def _make_stream(self) -> TcpStream:
        return TcpStream(self._limit, self._offer)

    def _offer(self, stream: TcpStream) -> None:
        if self._closed:  # asyncio was about to hand it over
            stream.abort()
            return
        try:
            self._accepted.put_nowait(stream)
        except asyncio.QueueFull:
            stream.abort()
