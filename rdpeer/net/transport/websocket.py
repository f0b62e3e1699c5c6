"""Frames over WebSocket: one binary message is one payload, with no frame header (docs/PROTOCOL.md 6).

The protocol is the sans-IO core of the websockets package; here its bytes are moved. Text messages
are dropped: they are no part of it, and stock takes them past its decryption. The end is orderly where a
close frame came; it takes both directions, as WebSocket has no half-close.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from http import HTTPStatus

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from rdpeer.errors import ConnectionLost, RdpeerError, RemoteProtocolError
from rdpeer.net.outbound import outbound
from rdpeer.net.tls import client_tls, reason_of
from rdpeer.net.transport import FrameStream
from rdpeer.net.transport.dial import dial
from rdpeer.values import Endpoint, WebAddress, printable

MAX_MESSAGE = 8 * 1024 * 1024
"""Bytes of one message, whatever the limit is: what a server can make its client hold."""

READ_AHEAD = 1024 * 1024
"""Bytes that may lie here unread before the sender is made to wait; it is told after the message."""

_BUFFER = memoryview(bytearray(64 * 1024))  # one for all: what is received is taken on at once
_UNSENT_HIGH = 1024 * 1024
_FRAME_COST = 64  # bytes that a received message takes beside its payload: empty ones are not free
_CLOSE_TIMEOUT = 5.0
_NOBODY = ("0.0.0.0", 0)  # noqa: S104 - the other end of a connection that has broken already
_DATA = (Opcode.BINARY, Opcode.TEXT)


async def connect(
    address: WebAddress,
    *,
    limit: int,
    timeout: float,
    local: Endpoint | None = None,
    trust: ssl.SSLContext | None = None,
) -> WebSocketStream:
    """A stream to ``address``; the rest and the errors as ``rdpeer.net.transport.tcp.connect``.

    ``trust`` says which certificates will do; unless given, those of the file that the user named, or of
    the system. UsageError where that file cannot be used.
    """
    tls = (trust or client_tls(outbound().ca_file)) if address.secure else None
    stream = WebSocketStream(ClientProtocol(parse_uri(str(address)), max_size=MAX_MESSAGE), limit)
    try:
        async with asyncio.timeout(timeout):
            sock = await dial(address, local=local)
            await stream.run_over(sock, tls, address.host if tls else None)
            await stream.open()
    except TimeoutError:
        stream.abort()
        raise TimeoutError(f"{address}: no answer within {timeout:g} s") from None
    except OSError as error:
        stream.abort()
        reason = reason_of(error)
        raise OSError(reason if reason.startswith(f"{address}: ") else f"{address}: {reason}") from None
    except BaseException:
        stream.abort()
        raise
    return stream


class WebSocketStream(asyncio.BufferedProtocol, FrameStream):
    """A FrameStream over one WebSocket, either end: made, then ``run_over``, then the handshake."""

    local: Endpoint
    remote: Endpoint

    def __init__(
        self, protocol: ClientProtocol | ServerProtocol, limit: int, read_ahead: int = READ_AHEAD
    ) -> None:
        self.limit = limit
        self._protocol = protocol
        self._read_ahead = read_ahead
        self._transport: asyncio.Transport | None = None
        self._handshake: asyncio.Future[Request | Response] = asyncio.get_running_loop().create_future()
        self._message: bytearray | None = None
        self._is_text = False
        self._received: deque[bytes] = deque()
        self._unread = 0
        self._reading = True
        self._ended = False
        self._error: RdpeerError | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._paused = False
        self._writers: list[asyncio.Future[None]] = []

    # Setting up

    async def run_over(self, sock: socket.socket, tls: ssl.SSLContext | None, name: str | None) -> None:
        """Over a connected socket, which the stream owns then; ``name``: whose certificate it takes."""
        loop = asyncio.get_running_loop()
        try:
            if isinstance(self._protocol, ClientProtocol):
                await loop.create_connection(lambda: self, sock=sock, ssl=tls, server_hostname=name)
            else:
                await loop.connect_accepted_socket(lambda: self, sock=sock, ssl=tls)
        except BaseException:
            sock.close()
            raise

    async def open(self) -> None:
        """The initiating end's handshake. Raises OSError with the reason."""
        assert isinstance(self._protocol, ClientProtocol)  # noqa: S101 - for the type checker
        self._protocol.send_request(self._protocol.connect())
        self._flush()
        await self._handshake
        if self._protocol.handshake_exc:
            raise ConnectionError(_refusal(self._protocol.handshake_exc))

    async def request(self) -> Request:
        """The accepting end's handshake, first half: what was asked. Raises OSError with the reason."""
        request = await self._handshake
        assert isinstance(request, Request)  # noqa: S101 - a server's protocol gives nothing else
        return request

    def accept(self, request: Request) -> bool:
        """The second half: False where the request does not ask for a WebSocket, which it is told, and where
        whoever asked has gone already: by TLS both may come at once."""
        assert isinstance(self._protocol, ServerProtocol)  # noqa: S101 - for the type checker
        if self._protocol.state is State.CONNECTING:
            response = self._protocol.accept(request)
            if response.status_code != HTTPStatus.SWITCHING_PROTOCOLS and (self._error or self._ended):
                return False  # what came behind the request ended it: there is no way to answer any more
            self._protocol.send_response(response)
            self._flush()
        return self._protocol.state is State.OPEN

    def widen(self) -> None:
        """From here on messages may have up to MAX_MESSAGE bytes, and more of them be read ahead."""
        self._protocol.max_message_size = MAX_MESSAGE
        self._read_ahead = READ_AHEAD

    @property
    def unsent(self) -> int:
        """How many bytes wait for a reader that is slow."""
        return self._transport.get_write_buffer_size() if self._transport else 0

    # As FrameStream has it

    async def receive(self) -> bytes | None:
        """As :meth:`FrameStream.receive`."""
        while not self._received:
            if self._error is not None:
                raise self._error
            if self._ended:
                return None
            self._arrival = asyncio.get_running_loop().create_future()
            await self._arrival
        payload = self._received.popleft()
        self._unread -= len(payload) + _FRAME_COST
        if len(payload) > self.limit:
            self._received.clear()
            error = RemoteProtocolError(f"a frame of {len(payload)} bytes is over the limit of {self.limit}")
            self._fail(error)
            raise error
        if not self._reading and self._unread <= self._read_ahead // 2 and self._transport is not None:
            self._reading = True
            self._transport.resume_reading()
        return payload

    def send(self, payload: bytes) -> None:
        """As :meth:`FrameStream.send`."""
        if self._is_up:
            self._protocol.send_binary(payload)
            self._flush()

    async def drain(self) -> None:
        """As :meth:`FrameStream.drain`."""
        while self._paused:
            writer = asyncio.get_running_loop().create_future()
            self._writers.append(writer)
            await writer

    async def close(self) -> None:
        """As :meth:`FrameStream.close`: the other end's close frame says that everything was delivered."""
        try:
            if self._is_up:
                self._protocol.send_close(CloseCode.NORMAL_CLOSURE)
                self._flush()
            with contextlib.suppress(TimeoutError, RdpeerError):
                async with asyncio.timeout(_CLOSE_TIMEOUT):
                    while await self.receive() is not None:
                        pass
                    await self.drain()
        finally:
            self.abort()

    def abort(self) -> None:
        """As :meth:`FrameStream.abort`."""
        if self._transport is not None:
            self._transport.abort()
        self.connection_lost(ConnectionAbortedError("closed on this side"))

    # What asyncio calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        transport.set_write_buffer_limits(high=_UNSENT_HIGH)
        sock = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # some systems say so where the other end is gone already
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.local = Endpoint.of(transport.get_extra_info("sockname"))
        self.remote = Endpoint.of(transport.get_extra_info("peername") or _NOBODY)

    def get_buffer(self, sizehint: int) -> memoryview:
        return _BUFFER

    def buffer_updated(self, nbytes: int) -> None:
        self._protocol.receive_data(_BUFFER[:nbytes])  # type: ignore[arg-type]  # it is copied
        self._take_events()

    def eof_received(self) -> None:
        self._protocol.receive_eof()
        self._take_events()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._wake_writers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._paused = False
        reason = reason_of(exc) if isinstance(exc, OSError) else "closed"
        self._fail_handshake(f"the connection was lost: {reason}")
        if self._error is None and not self._ended:
            where = f" to {self.remote}" if self._transport is not None else ""
            self._error = ConnectionLost(f"the connection{where} was lost: {reason}")
        self._wake_receiver()
        self._wake_writers()

    # From bytes to payloads

    def _take_events(self) -> None:
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._take_frame(event)
            elif not self._handshake.done():
                self._handshake.set_result(event)
        if self._protocol.handshake_exc:
            self._fail_handshake(_refusal(self._protocol.handshake_exc))
        self._flush(pongs_only=True)
        if self._protocol.close_rcvd is not None:
            self._ended = True
        elif self._protocol.parser_exc and not isinstance(self._protocol.parser_exc, EOFError):
            text = f"{self.remote} broke the WebSocket protocol: {printable(str(self._protocol.parser_exc))}"
            self._fail(RemoteProtocolError(text))
        if self._unread > self._read_ahead and self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()
        self._wake_receiver()

    def _take_frame(self, frame: Frame) -> None:
        if frame.opcode in _DATA:
            self._is_text = frame.opcode is Opcode.TEXT
            if frame.fin:
                self._take_message(bytes(frame.data))
            else:
                self._message = bytearray(frame.data)
        elif frame.opcode is Opcode.CONT and self._message is not None:
            self._message += frame.data
            if frame.fin:
                self._take_message(bytes(self._message))
                self._message = None

    def _take_message(self, payload: bytes) -> None:
        if not self._is_text:
            self._received.append(payload)
            self._unread += len(payload) + _FRAME_COST

    def _fail_handshake(self, reason: str) -> None:
        if not self._handshake.done():
            self._handshake.set_exception(ConnectionError(reason))
            self._handshake.exception()  # heard, even where nobody waits any more

    def _fail(self, error: RdpeerError) -> None:
        """Nothing more is said; what came before is still heard."""
        self._error = self._error or error
        self.abort()

    # Sending

    @property
    def _is_up(self) -> bool:
        return (
            self._protocol.state is State.OPEN
            and self._transport is not None
            and not self._transport.is_closing()
        )

    def _flush(self, *, pongs_only: bool = False) -> None:
        """Hands over what the protocol wants to send; the end of our direction is the transport's business.

        Who does not read gets no pongs: they would pile up here.
        """
        pieces = self._protocol.data_to_send()
        if self._transport is None or self._transport.is_closing() or (pongs_only and self._paused):
            return
        for piece in filter(None, pieces):
            self._transport.write(piece)

    # Waking

    def _wake_receiver(self) -> None:
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _wake_writers(self) -> None:
        for writer in self._writers:
            if not writer.done():
                writer.set_result(None)
        self._writers.clear()


def _refusal(error: Exception) -> str:
    if isinstance(error, InvalidStatus):
        response = error.response
        return f"it answered HTTP {response.status_code} {printable(response.reason_phrase, 80)}".rstrip()
    return f"it does not speak WebSocket: {printable(str(error))}"
