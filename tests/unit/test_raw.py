"""A stream that turns raw: not a byte behind the last frame is lost, and its end is an end of both ways."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rdpeer.errors import ConnectionLost, LocalProtocolError
from rdpeer.net.raw import RawStream
from rdpeer.net.transport.tcp import TcpStream
from rdpeer.wire.frames import encode_frame

RESET_ON_CLOSE = b"\1\0\0\0\0\0\0\0"


@asynccontextmanager
async def stepping() -> AsyncIterator[tuple[TcpStream, socket.socket]]:
    """A stream that is read step by step, and the bare socket at its other end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    near.setblocking(False)
    far.setblocking(False)
    stream = await TcpStream.over(near, limit=1000)
    stream.step()
    with far:
        try:
            yield stream, far
        finally:
            stream.abort()


async def send(sock: socket.socket, data: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(sock, data)


async def everything(raw: RawStream) -> bytes:
    data = b""
    while piece := await raw.read(1000):
        data += piece
    return data


async def test_the_bytes_behind_the_last_frame_are_raw() -> None:
    """They arrive with it, and look like frames."""
    async with stepping() as (stream, sock):
        await send(sock, encode_frame(b"one") + encode_frame(b"last") + encode_frame(b"raw") + b"\xff")
        assert [await stream.receive(), await stream.receive()] == [b"one", b"last"]
        raw = await stream.turn_raw()
        await send(sock, b"more")
        sock.shutdown(socket.SHUT_WR)
        assert await everything(raw) == encode_frame(b"raw") + b"\xffmore"


async def test_what_comes_between_the_last_frame_and_the_turn_is_raw() -> None:
    async with stepping() as (stream, sock):
        await send(sock, encode_frame(b"last"))
        assert await stream.receive() == b"last"
        await send(sock, encode_frame(b"raw"))
        sock.shutdown(socket.SHUT_WR)
        raw = await stream.turn_raw()
        assert await everything(raw) == encode_frame(b"raw")


async def test_much_of_it_is_not_read_before_it_is_wanted() -> None:
    async with stepping() as (stream, sock):
        sending = asyncio.create_task(send(sock, encode_frame(b"last") + bytes(8 * 1024 * 1024)))
        assert await stream.receive() == b"last"
        raw = await stream.turn_raw()
        assert not sending.done()
        carried = 0
        while carried < 8 * 1024 * 1024:
            carried += len(await raw.read(1024 * 1024))
        await sending


async def test_frames_that_came_before_the_first_step_are_still_frames() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    stream = await TcpStream.over(near, limit=1000)
    with far:
        far.sendall(encode_frame(b"one") + encode_frame(b"two"))
        assert await stream.receive() == b"one"
        with pytest.raises(LocalProtocolError):
            await stream.turn_raw()
        stream.step()
        with pytest.raises(LocalProtocolError):
            await stream.turn_raw()
        assert await stream.receive() == b"two"
        (await stream.turn_raw()).abort()


async def test_what_was_sent_as_frames_comes_before_what_is_raw() -> None:
    async with stepping() as (stream, sock):
        stream.send(bytes(900) * 1000)
        turning = asyncio.create_task(stream.turn_raw())
        frame = encode_frame(bytes(900) * 1000)
        received = b""
        while len(received) < len(frame):
            received += await asyncio.get_running_loop().sock_recv(sock, 100_000)
        raw = await turning
        await raw.write([memoryview(b"ra"), memoryview(b"w")])
        while len(received) < len(frame) + 3:
            received += await asyncio.get_running_loop().sock_recv(sock, 100_000)
        assert received == frame + b"raw"
        raw.abort()


async def test_a_writer_waits_for_its_reader() -> None:
    async with stepping() as (stream, sock):
        raw = await stream.turn_raw()
        writing = asyncio.create_task(raw.write([memoryview(bytes(32 * 1024 * 1024))]))
        assert await asyncio.get_running_loop().sock_recv(sock, 1000)
        assert not writing.done()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        sock.close()
        with pytest.raises(ConnectionLost):
            await writing
        raw.abort()


async def test_finished_it_delivers_what_was_written_though_something_is_unread() -> None:
    async with stepping() as (stream, sock):
        await send(sock, encode_frame(b"last") + b"unread" * 10_000)
        assert await stream.receive() == b"last"
        raw = await stream.turn_raw()
        await raw.write([memoryview(b"goodbye")])
        finishing = asyncio.create_task(raw.finish())
        assert await asyncio.get_running_loop().sock_recv(sock, 100) == b"goodbye"
        assert await asyncio.get_running_loop().sock_recv(sock, 100) == b""
        sock.close()
        await finishing


@pytest.mark.parametrize("turned", [True, False])
async def test_a_reset_is_a_lost_connection(turned: bool) -> None:
    async with stepping() as (stream, sock):
        await send(sock, encode_frame(b"last"))
        assert await stream.receive() == b"last"
        raw = await stream.turn_raw() if turned else None
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        sock.close()
        raw = raw or await stream.turn_raw()
        with pytest.raises(ConnectionLost, match="was lost"):
            await everything(raw)
        raw.abort()
