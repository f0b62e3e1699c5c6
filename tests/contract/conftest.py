"""The paths that the stream contract is held against: each gives two joined FrameStreams."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from tls import Tls, trusted
from websockets.server import ServerProtocol

from rdpeer.net.transport import FrameStream, memory, udp_stream, websocket
from rdpeer.net.transport.tcp import TcpListener, TcpStream, connect
from rdpeer.net.transport.websocket import WebSocketStream
from rdpeer.values import Endpoint, ServerAddress, WebAddress

Ends = AbstractAsyncContextManager[tuple[FrameStream, FrameStream]]

LIMIT = 128 * 1024


@asynccontextmanager
async def over_memory() -> AsyncIterator[tuple[FrameStream, FrameStream]]:
    left, right = memory.pair(LIMIT)
    try:
        yield left, right
    finally:
        left.abort()
        right.abort()


@asynccontextmanager
async def over_tcp() -> AsyncIterator[tuple[FrameStream, FrameStream]]:
    async with await TcpListener.open(Endpoint("127.0.0.1", 0), limit=LIMIT) as listener:
        address = ServerAddress("127.0.0.1", listener.endpoint.port)
        left = await connect(address, limit=LIMIT, timeout=10)
        right = await listener.accept()
        try:
            yield left, right
        finally:
            left.abort()
            right.abort()


@asynccontextmanager
async def over_narrow_tcp() -> AsyncIterator[tuple[FrameStream, FrameStream]]:
    """With the smallest buffers that the kernel gives: every write is partial, both sides block at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        near = socket.socket()
        near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        near.connect(server.getsockname())
        far, _ = server.accept()
    for sock in (near, far):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        sock.setblocking(False)
    left, right = await TcpStream.over(near, limit=LIMIT), await TcpStream.over(far, limit=LIMIT)
    try:
        yield left, right
    finally:
        left.abort()
        right.abort()


@asynccontextmanager
async def over_udp() -> AsyncIterator[tuple[FrameStream, FrameStream]]:
    near, far = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for sock in (near, far):
        sock.bind(("127.0.0.1", 0))
    left, right = await asyncio.gather(
        udp_stream.connect(near, Endpoint.of(far.getsockname()), limit=LIMIT, timeout=10),
        udp_stream.accept(far, Endpoint.of(near.getsockname()), limit=LIMIT, timeout=10),
    )
    try:
        yield left, right
    finally:
        left.abort()
        right.abort()


@asynccontextmanager
async def over_websocket(tls: Tls | None = None) -> AsyncIterator[tuple[FrameStream, FrameStream]]:
    """The left end is the client's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        address = WebAddress("127.0.0.1", server.getsockname()[1], "wss" if tls else "ws", "/ws/relay")
        connecting = asyncio.create_task(websocket.connect(address, limit=LIMIT, timeout=10))
        sock, _ = await asyncio.get_running_loop().sock_accept(server)
    right = WebSocketStream(ServerProtocol(max_size=websocket.MAX_MESSAGE), LIMIT)
    await right.run_over(sock, tls.server if tls else None, None)
    right.accept(await right.request())
    left = await connecting
    try:
        yield left, right
    finally:
        left.abort()
        right.abort()


@asynccontextmanager
async def over_tls_websocket() -> AsyncIterator[tuple[FrameStream, FrameStream]]:
    with trusted() as tls:
        async with over_websocket(tls) as ends:
            yield ends


PATHS = {
    "memory": over_memory,
    "tcp": over_tcp,
    "narrow tcp": over_narrow_tcp,
    "udp": over_udp,
    "websocket": over_websocket,
    "websocket over TLS": over_tls_websocket,
}


@pytest.fixture(params=PATHS)
def joined(request: pytest.FixtureRequest) -> Callable[[], Ends]:
    """``async with joined() as (left, right)``: two ends of one connection over each path in turn."""
    return PATHS[request.param]
