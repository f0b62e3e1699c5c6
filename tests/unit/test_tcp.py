"""What is TCP's own: dialing, shared ports, partial frames, the limit that is raised on the way."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from contextlib import asynccontextmanager, suppress

import pytest

from rdpeer.errors import ConnectionLost, RemoteProtocolError
from rdpeer.net.transport import dial
from rdpeer.net.transport.tcp import TcpListener, TcpStream, connect
from rdpeer.values import Endpoint, Family, ServerAddress
from rdpeer.wire.frames import encode_frame

LOOPBACK = Endpoint("127.0.0.1", 0)


@asynccontextmanager
async def stream_and_socket(limit: int):
    """A stream, and the bare socket at its other end."""
    near, far = _tcp_pair()
    stream = await TcpStream.over(near, limit=limit)
    with far:
        try:
            yield stream, far
        finally:
            stream.abort()


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    near.setblocking(False)
    far.setblocking(False)
    return near, far


async def send(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def test_an_end_inside_a_frame_is_a_lost_connection():
    async with stream_and_socket(1000) as (stream, sock):
        await send(sock, encode_frame(b"whole") + encode_frame(b"cut short")[:-1])
        sock.shutdown(socket.SHUT_WR)
        assert await stream.receive() == b"whole"
        with pytest.raises(ConnectionLost, match="inside a frame"):
            await stream.receive()


async def test_a_reset_is_a_lost_connection():
    async with stream_and_socket(1000) as (stream, sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
        with pytest.raises(ConnectionLost, match=f"{stream.remote} was lost: Connection reset"):
            await stream.receive()


async def test_a_reset_that_was_not_heard_yet_does_not_keep_from_closing():
    async with stream_and_socket(1000) as (stream, sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
        await stream.close()
        with pytest.raises(ConnectionLost):
            await stream.receive()


async def test_the_limit_counts_when_a_frame_is_received_not_when_it_arrives():
    async with stream_and_socket(10) as (stream, sock):
        await send(sock, encode_frame(b"welcome") + encode_frame(b"x" * 5000))
        assert await stream.receive() == b"welcome"
        stream.limit = 5000
        assert await stream.receive() == b"x" * 5000


async def test_a_frame_over_the_limit_takes_no_memory_and_ends_the_stream():
    async with stream_and_socket(10) as (stream, sock):
        await send(sock, encode_frame(b"x" * 5000))
        with pytest.raises(RemoteProtocolError, match="over the limit of 10"):
            await stream.receive()
        assert await asyncio.get_running_loop().sock_recv(sock, 1) == b""


async def test_connecting_and_listening():
    async with await TcpListener.open(LOOPBACK, limit=100) as listener:
        near = await connect(ServerAddress("localhost", listener.endpoint.port), limit=100, timeout=10)
        far = await listener.accept()
        assert (near.local, near.remote) == (far.remote, far.local)
        near.send(b"hello")
        assert await far.receive() == b"hello"
        near.abort()
        far.abort()


async def test_one_that_asyncio_hands_over_after_the_close_is_dropped():
    listener = await TcpListener.open(LOOPBACK, limit=100)
    listener.close()
    async with stream_and_socket(limit=100) as (stream, far):
        listener._offer(stream)
        assert await asyncio.get_running_loop().sock_recv(far, 1) == b""


async def test_streams_that_nobody_accepted_are_dropped_with_the_listener():
    async with await TcpListener.open(LOOPBACK, limit=100) as listener:
        near = await connect(ServerAddress("127.0.0.1", listener.endpoint.port), limit=100, timeout=10)
    with suppress(ConnectionLost):  # or in order: it depends on whether the kernel had handed it over
        assert await near.receive() is None
    near.abort()


async def test_a_closed_port_is_named_with_its_reason():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port}: Connection refused"):
            await connect(ServerAddress("127.0.0.1", port), limit=100, timeout=10)


async def test_a_name_that_does_not_exist_is_named():
    with pytest.raises(OSError, match=r"no-such-host\.invalid:21116: "):
        await connect(ServerAddress("no-such-host.invalid"), limit=100, timeout=10)


async def test_no_answer_in_time():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(TimeoutError, match=f"127.0.0.1:{port}: no answer within 0 s"):
            await connect(ServerAddress("127.0.0.1", port), limit=100, timeout=0)


async def test_the_second_address_is_tried_when_the_first_refuses(monkeypatch):
    """A listener on v4 only, reached by a name that may resolve to v6 first."""
    async with await TcpListener.open(LOOPBACK, limit=100) as listener:
        port = listener.endpoint.port

        async def both(address: ServerAddress, family: Family) -> list[Endpoint]:
            return [Endpoint("::1", port), Endpoint("127.0.0.1", port)]

        monkeypatch.setattr(dial, "resolve", both)
        stream = await connect(ServerAddress("both.example", port), limit=100, timeout=10)
        assert stream.remote == Endpoint("127.0.0.1", port)
        stream.abort()


async def test_a_listener_may_share_the_local_port_of_a_connection():
    async with await TcpListener.open(LOOPBACK, limit=100) as server:
        address = ServerAddress("127.0.0.1", server.endpoint.port)
        out = await connect(address, limit=100, timeout=10, local_port_reuse=True)
        async with await TcpListener.open(out.local, limit=100) as beside:
            assert beside.endpoint == out.local
        out.abort()


async def test_a_taken_port_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(OSError, match="in use"):
        await TcpListener.open(Endpoint("127.0.0.1", server.getsockname()[1]), limit=100)


async def test_bulk_in_frames_larger_than_the_buffer():
    payloads = [hashlib.sha256(bytes([n])).digest() * 20_000 for n in range(5)]
    async with stream_and_socket(1024 * 1024) as (stream, sock):
        sending = asyncio.create_task(send(sock, b"".join(map(encode_frame, payloads))))
        assert [await stream.receive() for _ in payloads] == payloads
        await sending
