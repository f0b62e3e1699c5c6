"""What cuts a stream: whole, and one byte at a time, it has to give the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol
from websockets.uri import parse_uri
from websockets.utils import accept_key

from rdpeer.errors import ConnectionLost, RemoteProtocolError
from rdpeer.net.outbound import ProxyAddress
from rdpeer.net.page import _response
from rdpeer.net.transport import proxy
from rdpeer.net.transport.websocket import WebSocketStream
from rdpeer.net.web import WebVisitor
from rdpeer.values import ServerAddress
from rdpeer.wire.frames import FrameReader, encode_frame

from .script import Target, refusing
from .texts import PROXIES

LIMIT = 200
TARGET = ServerAddress("hbbs.example")
_KEY = "AAAAAAAAAAAAAAAAAAAAAA=="
_MASK = b"mask"


def bytewise(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def frames(data: bytes) -> None:
    assert _payloads([data]) == _payloads(bytewise(data))


def _payloads(chunks: Iterable[bytes]) -> list[list[bytes]]:
    """All payloads, and the rest; nothing where it is refused, be it behind some that were returned."""
    reader, told = FrameReader(LIMIT, buffer=0), []
    with refusing(RemoteProtocolError):
        payloads = [payload for chunk in chunks for payload in reader.receive(chunk)]
        told += [payloads + reader.advance(0), [reader.take_rest()]]
    assert len(reader.writable()) <= 2 * 4096, "it is no larger than it has to be"
    return told


class Wire(asyncio.Transport):
    """Where a WebSocket writes to, and nobody reads."""

    def __init__(self) -> None:
        super().__init__({"socket": self, "sockname": ("127.0.0.1", 1), "peername": ("127.0.0.1", 2)})
        self.written = 0
        self.closing = False

    def setsockopt(self, *option: int) -> None:
        """It is its own socket."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += len(data)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True


Make = Callable[[], ClientProtocol | ServerProtocol]
Greet = Callable[[WebSocketStream], Awaitable[object]]


def web_visitor(data: bytes) -> None:
    """A server's side: the request by HTTP, who that is, and frames."""
    _alike(data, lambda: ServerProtocol(max_size=LIMIT), _let_in)


def web_server(data: bytes) -> None:
    """A client's side: the answer by HTTP, and frames."""
    _alike(data, _client, _opened)


def _alike(data: bytes, make: Make, greet: Greet) -> None:
    whole = asyncio.run(_heard([data], make, greet))
    assert whole == asyncio.run(_heard(bytewise(data), make, greet)), whole


async def _heard(chunks: list[bytes], make: Make, greet: Greet) -> list[object]:
    """What the handshake came to, the payloads, and the end."""
    stream, wire = WebSocketStream(make(), LIMIT), Wire()
    stream.connection_made(wire)
    greeting = asyncio.ensure_future(greet(stream))
    await asyncio.sleep(0)
    for chunk in chunks:
        if wire.closing:
            break
        stream.get_buffer(-1)[: len(chunk)] = chunk
        stream.buffer_updated(len(chunk))
        for _ in range(0 if greeting.done() else 3):
            await asyncio.sleep(0)
    if not wire.closing:
        stream.eof_received()
    stream.connection_lost(None)
    assert wire.written <= 1024 + 2 * sum(map(len, chunks))
    return await _told(stream, greeting)


async def _told(stream: WebSocketStream, greeting: asyncio.Future[object]) -> list[object]:
    told: list[object] = []
    with refusing(OSError):
        told.append(await greeting)
    if told in ([], [None]):
        return told
    with refusing(ConnectionLost, RemoteProtocolError):
        while (payload := await stream.receive()) is not None:
            told.append(payload)
        told.append("in order")
    return told


async def _let_in(stream: WebSocketStream) -> object:
    """Path and client; None for who is not let in."""
    visitor = WebVisitor(stream, await stream.request())
    client = PROXIES.client(stream.remote, visitor.forwarded_for)
    return (visitor.path, client) if visitor.let_in(client) else None


def _client() -> ClientProtocol:
    protocol = ClientProtocol(parse_uri("ws://hbbs.example/ws/id"), max_size=LIMIT)
    protocol.key = _KEY
    return protocol


async def _opened(stream: WebSocketStream) -> object:
    await stream.open()
    return "open"


class Answers:
    """What a proxy says, as ``_Wire`` reads it."""

    def __init__(self, data: bytes) -> None:
        self.left = data

    async def send(self, data: bytes) -> None: ...

    async def exactly(self, count: int) -> bytes:
        if count > len(self.left):
            raise ConnectionResetError("it closed the connection")
        data, self.left = self.left[:count], self.left[count:]
        return data


def socks_proxy(data: bytes) -> None:
    asked = ProxyAddress("socks5", "proxy.example", 1080, "user", "password")
    with refusing(OSError):
        asyncio.run(proxy._socks5(Answers(data), asked, TARGET))  # type: ignore[arg-type]


def http_proxy(data: bytes) -> None:
    """It takes no byte of what follows the answer."""
    asked = ProxyAddress("http", "proxy.example", 3128, "user", "password")
    answers = Answers(data + b"behind")
    with refusing(OSError):
        asyncio.run(proxy._http_connect(answers, asked, TARGET))  # type: ignore[arg-type]
        read = (data + b"behind").removesuffix(answers.left)
        assert read.endswith((b"\r\n\r\n", b"\n\n"))


def page(data: bytes) -> None:
    """What asks for the metrics."""
    answer = _response(data, "/metrics", lambda: "text")
    assert answer.startswith((b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 404 Not Found\r\n", b"HTTP/1.1 405 Method"))


_REQUEST = (
    b"GET /ws/id?x HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"X-Forwarded-For: 192.0.2.7\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)
_ANSWER = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %s\r\n\r\n" % accept_key(_KEY).encode()
)
_FRAMES = [
    Frame(Opcode.BINARY, b"payload"),
    Frame(Opcode.PING, b"ping"),
    Frame(Opcode.BINARY, b"in two ", fin=False),
    Frame(Opcode.CONT, b"pieces"),
    Frame(Opcode.TEXT, b"text"),
    Frame(Opcode.CLOSE, b"\x03\xe8bye"),
]


def _framed(mask: bool) -> bytes:
    return b"".join(frame.serialize(mask=mask) for frame in _FRAMES)


TARGETS = {
    "frames": Target(
        frames, [b"".join(map(encode_frame, (b"one", b"", bytes(100)))), encode_frame(bytes(300))]
    ),
    "web-visitors": Target(web_visitor, [_REQUEST, _REQUEST + _framed(True)]),
    "web-servers": Target(
        web_server, [_ANSWER + _framed(False), b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"]
    ),
    "socks-proxies": Target(socks_proxy, [b"\5\2\1\0\5\0\0\1\1\2\3\4\0\7", b"\5\0\5\0\0\3\4host\0\7"], 64),
    "http-proxies": Target(
        http_proxy, [b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n", b"HTTP/1.0 407 No\x1b\r\n\r\n"], 128
    ),
    "pages": Target(page, [b"GET /metrics?x HTTP/1.1\r\nHost: h\r\n\r\n"], 128),
}
