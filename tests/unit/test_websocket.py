"""What a WebSocket adds to the stream contract: its handshake, its kinds of messages, its ways to end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tls import make, trusted
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from rdpeer.errors import ConnectionLost, RemoteProtocolError, UsageError
from rdpeer.net import outbound
from rdpeer.net.outbound import Outbound
from rdpeer.net.transport.websocket import MAX_MESSAGE, WebSocketStream, connect
from rdpeer.values import WebAddress


class Server:
    """The other end in bytes: it answers the handshake, and then says what the test wants."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.protocol = ServerProtocol()
        self.path = ""

    async def accept(self) -> None:
        while not (events := self.protocol.events_received()):
            self.protocol.receive_data(await self.read())
        self.path = events[0].path  # type: ignore[union-attr]
        self.protocol.send_response(self.protocol.accept(events[0]))  # type: ignore[arg-type]
        await self.flush()

    async def read(self) -> bytes:
        return await asyncio.get_running_loop().sock_recv(self.sock, 65536)

    async def say(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    async def frame(self, opcode: Opcode, data: bytes, *, fin: bool = True) -> None:
        await self.say(Frame(opcode, data, fin).serialize(mask=False))

    async def flush(self) -> None:
        for piece in filter(None, self.protocol.data_to_send()):
            await self.say(piece)

    async def heard(self) -> Frame:
        while not (events := self.protocol.events_received()):
            self.protocol.receive_data(await self.read())
        assert isinstance(events[0], Frame)
        return events[0]


@asynccontextmanager
async def dialled(limit: int = 4096, path: str = "/ws/id") -> AsyncIterator[tuple[asyncio.Task, Server]]:
    """A connect that is on its way, and who it came to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        address = WebAddress("127.0.0.1", listener.getsockname()[1], "ws", path)
        connecting = asyncio.create_task(connect(address, limit=limit, timeout=10))
        sock, _ = await asyncio.get_running_loop().sock_accept(listener)
    with sock:
        sock.setblocking(False)
        yield connecting, Server(sock)
    connecting.cancel()
    await asyncio.gather(connecting, return_exceptions=True)


@asynccontextmanager
async def joined(limit: int = 4096) -> AsyncIterator[tuple[WebSocketStream, Server]]:
    async with dialled(limit) as (connecting, server):
        await server.accept()
        stream = await connecting
        yield stream, server
        stream.abort()


async def test_the_path_is_asked_for_and_no_compression() -> None:
    async with dialled(path="/here/ws/id") as (connecting, server):
        await server.accept()
        (await connecting).abort()
        assert server.path == "/here/ws/id"
        assert server.protocol.extensions == []


async def test_text_messages_are_dropped_and_empty_ones_kept() -> None:
    async with joined() as (stream, server):
        await server.frame(Opcode.TEXT, b"not sealed")
        await server.frame(Opcode.TEXT, b"nor this ", fin=False)
        await server.frame(Opcode.CONT, b"in pieces")
        await server.frame(Opcode.BINARY, b"")
        await server.frame(Opcode.BINARY, b"in ", fin=False)
        await server.frame(Opcode.PING, b"between")
        await server.frame(Opcode.CONT, b"pieces")
        assert [await stream.receive(), await stream.receive()] == [b"", b"in pieces"]
        assert await server.heard() == Frame(Opcode.PONG, b"between")


async def test_one_message_a_payload_and_no_header() -> None:
    async with joined() as (stream, server):
        stream.send(b"x" * 100)
        assert (await server.heard()).data == b"x" * 100


async def test_who_does_not_read_gets_no_pongs() -> None:
    async with joined() as (stream, server):
        for _ in range(100):
            stream.send(bytes(64 * 1024))
        draining = asyncio.create_task(stream.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        for _ in range(10_000):
            await server.frame(Opcode.PING, bytes(125))
        await server.frame(Opcode.BINARY, b"heard")
        assert await stream.receive() == b"heard"
        pongs = 0
        for _ in range(100):
            pongs += (await server.heard()).opcode is Opcode.PONG
        await draining
        assert pongs == 0


async def test_an_oversized_message_is_refused_from_its_header_on() -> None:
    async with joined() as (stream, server):
        await server.frame(Opcode.BINARY, b"before")
        await server.say(b"\x82\x7f" + (MAX_MESSAGE + 1).to_bytes(8, "big"))
        assert await stream.receive() == b"before"
        with pytest.raises(RemoteProtocolError, match=r"broke the WebSocket protocol: .*limit"):
            await stream.receive()


async def test_pieces_of_an_oversized_message_are_counted() -> None:
    async with joined() as (stream, server):
        await server.frame(Opcode.BINARY, bytes(MAX_MESSAGE), fin=False)
        await server.frame(Opcode.CONT, b"x", fin=False)
        with pytest.raises(RemoteProtocolError, match="limit"):
            await stream.receive()


@pytest.mark.parametrize("data", [b"\x93\x00", b"\x82\x81abcd", b"\xf2\x00", b"\x80\x00"])
async def test_what_is_no_frame_is_refused(data: bytes) -> None:
    async with joined() as (stream, server):
        await server.say(data)
        with pytest.raises(RemoteProtocolError, match="broke the WebSocket protocol"):
            await stream.receive()


async def test_an_end_without_a_close_frame_is_a_loss() -> None:
    async with joined() as (stream, server):
        await server.frame(Opcode.BINARY, b"last")
        server.sock.shutdown(socket.SHUT_WR)
        assert await stream.receive() == b"last"
        with pytest.raises(ConnectionLost):
            await stream.receive()


async def test_a_close_frame_is_the_end_and_is_answered() -> None:
    async with joined() as (stream, server):
        await server.frame(Opcode.CLOSE, b"\x03\xe8")
        assert await stream.receive() is None
        assert (await server.heard()).opcode is Opcode.CLOSE


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 404 Not\x1b Found\r\nContent-Length: 0\r\n\r\n", "does not speak WebSocket"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", "it answered HTTP 502 Bad Gateway"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "it does not speak WebSocket"),
        (b"HTTP/1.1 101 OK\r\n\r\n", "it does not speak WebSocket"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000, "it does not speak WebSocket"),
        (b"x" * 20_000, "it does not speak WebSocket"),
        (b"", "it does not speak WebSocket"),
    ],
)
async def test_who_is_no_websocket_is_named_in_one_line(answer: bytes, reason: str) -> None:
    async with dialled() as (connecting, server):
        await server.read()
        await server.say(answer)
        server.sock.shutdown(socket.SHUT_WR)
        with pytest.raises(OSError, match=r"^ws://127\.0\.0\.1:[0-9]+/ws/id: ") as failed:
            await connecting
        assert reason in str(failed.value)
        assert str(failed.value).isprintable()


async def test_one_that_says_nothing_is_waited_for_no_longer_than_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = WebAddress("127.0.0.1", listener.getsockname()[1], "ws")
        with pytest.raises(TimeoutError, match=f"^{address}: no answer within 0.1 s$"):
            await connect(address, limit=4096, timeout=0.1)


async def test_a_handshake_that_fails_when_nobody_waits_any_more_is_no_complaint() -> None:
    """A server that stops just then has given the visitor up."""
    complaints: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as there,
    ):
        here, _ = listener.accept()
        here.setblocking(False)
        stream = WebSocketStream(ServerProtocol(), 4096)
        await stream.run_over(here, None, None)
        there.sendall(b"\x00\r\n\r\n")
        await asyncio.wait({stream._handshake})
        stream.abort()
        del stream
        await asyncio.sleep(0)
        gc.collect()
    assert complaints == []


async def serve_tls(listener: socket.socket, context: ssl.SSLContext | None) -> None:
    """Until the client has gone: its verdict is all that counts."""
    listener.setblocking(False)
    sock, _ = await asyncio.get_running_loop().sock_accept(listener)
    stream = WebSocketStream(ServerProtocol(), 4096)
    try:
        await stream.run_over(sock, context, None)
        stream.accept(await stream.request())
    except OSError:
        return
    finally:
        stream.abort()


@pytest.mark.parametrize(
    ("names", "trust", "reason"),
    [
        (("localhost",), False, "its certificate is not trusted: "),
        (("elsewhere.example",), True, "its certificate is not trusted: .*localhost"),
    ],
)
async def test_a_certificate_must_be_trusted_and_the_servers(tmp_path, names, trust, reason) -> None:
    tls = make(tmp_path, *names)
    token = outbound.use(Outbound(ca_file=str(tls.ca) if trust else None))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(serve_tls(listener, tls.server))
        address = WebAddress("localhost", listener.getsockname()[1], "wss", "/ws/id")
        with pytest.raises(OSError, match=f"^{address}: {reason}"):
            await connect(address, limit=4096, timeout=10)
        await serving
    outbound.restore(token)


async def test_tls_at_a_port_without_it_is_said_in_words() -> None:
    with trusted(), socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(serve_tls(listener, None))
        address = WebAddress("localhost", listener.getsockname()[1], "wss", "/ws/id")
        with pytest.raises(OSError, match=r"^wss://.*: (TLS: |the connection was lost|Connection reset)"):
            await connect(address, limit=4096, timeout=10)
        await serving


async def test_a_file_without_certificates_is_a_bad_setting(tmp_path) -> None:
    token = outbound.use(Outbound(ca_file=str(tmp_path / "none.pem")))
    with pytest.raises(UsageError, match=r"none\.pem: No such file"):
        await connect(WebAddress("localhost", 1, "wss"), limit=4096, timeout=10)
    outbound.restore(token)


class Wire(asyncio.Transport):
    """Where a stream writes to, and nobody reads."""

    def __init__(self) -> None:
        super().__init__({"socket": socket.socket(), "sockname": ("127.0.0.1", 1), "peername": None})
        self.closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None: ...
    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...
    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True


REQUEST = (
    b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.mark.parametrize("behind", [b"\x82\x00", b"\x88\x80mask"], ids=["no frame", "a close frame"])
async def test_who_asks_for_no_websocket_and_sends_the_end_of_one_behind_it_is_not_let_in(
    behind: bytes,
) -> None:
    stream, wire = WebSocketStream(ServerProtocol(), 4096), Wire()
    stream.connection_made(wire)
    said = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" + behind
    stream.get_buffer(-1)[: len(said)] = said
    stream.buffer_updated(len(said))
    assert not stream.accept(await stream.request())
    stream.abort()
    wire.get_extra_info("socket").close()


@given(st.lists(st.binary(max_size=200)), st.booleans())
def test_any_bytes_give_payloads_or_an_error_of_ours(pieces: list[bytes], let_in: bool) -> None:
    async def feed() -> None:
        stream, wire = WebSocketStream(ServerProtocol(max_size=100), 100), Wire()
        stream.connection_made(wire)
        if let_in:
            pieces.insert(0, REQUEST)
        for piece in pieces:
            if wire.closing:
                break
            stream.get_buffer(-1)[: len(piece)] = piece
            stream.buffer_updated(len(piece))
            if let_in and piece is REQUEST:
                assert stream.accept(await stream.request())
        if not wire.closing:
            stream.eof_received()
        stream.connection_lost(None)
        wire.get_extra_info("socket").close()
        with contextlib.suppress(ConnectionLost, RemoteProtocolError):
            while await stream.receive() is not None:
                pass

    asyncio.run(feed())
