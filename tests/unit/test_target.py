"""The socket of ``--to``: half-close both ways, resets, what cannot be reached."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager

import pytest

from rdpeer.net.target import SocketTarget
from rdpeer.values import ServerAddress


@asynccontextmanager
async def reached():
    """A target and the socket behind it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = await SocketTarget.connect(ServerAddress(*server.getsockname()), timeout=10)
        behind, _ = server.accept()
    behind.setblocking(False)
    with behind:
        yield target, behind
    target.abort()


async def receive(sock: socket.socket) -> bytes:
    return await asyncio.get_running_loop().sock_recv(sock, 100)


async def test_half_close_from_us():
    async with reached() as (target, behind):
        await target.write([memoryview(b"que"), memoryview(b"stion")])
        await target.finish()
        assert await receive(behind) == b"question"
        assert await receive(behind) == b""
        behind.send(b"answer")
        assert await target.read(100) == b"answer"


async def test_half_close_from_the_target():
    async with reached() as (target, behind):
        behind.send(b"all")
        behind.shutdown(socket.SHUT_WR)
        assert await target.read(100) == b"all"
        assert await target.read(100) == b""
        target.close()
        await target.write([memoryview(b"still open")])
        assert await receive(behind) == b"still open"


async def test_a_reset_of_the_target_is_an_error():
    async with reached() as (target, behind):
        behind.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        behind.close()
        with pytest.raises(ConnectionResetError):
            await target.read(100)


async def test_given_up_it_is_reset_and_not_ended():
    async with reached() as (target, behind):
        target.abort()
        target.abort()
        with pytest.raises(ConnectionResetError):
            await receive(behind)


async def test_after_finish_it_is_closed_in_order():
    async with reached() as (target, behind):
        await target.finish()
        target.abort()
        assert await receive(behind) == b""


async def test_a_closed_port():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1:{port}: Connection refused"):
            await SocketTarget.connect(ServerAddress("127.0.0.1", port), timeout=10)


async def test_no_answer_in_time():
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        pytest.raises(TimeoutError, match="no answer within 0 s"),
    ):
        await SocketTarget.connect(ServerAddress(*server.getsockname()), timeout=0)
