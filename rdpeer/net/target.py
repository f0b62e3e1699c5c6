"""A TCP connection to a target, as source and sink: what ``listen --to HOST:PORT`` carries streams to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Sequence
from typing import Self

from rdpeer.net.transport.dial import first_connected
from rdpeer.values import ServerAddress

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class SocketTarget:
    """Owns a connected socket. Half-close is carried both ways; after a failure the target sees a reset."""

    ends_with_peer = False

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._finished = False
        self._closed = False

    @classmethod
    async def connect(cls, address: ServerAddress, *, timeout: float) -> Self:
        """Connects within ``timeout`` seconds. Raises OSError that names each address tried and why."""
        try:
            async with asyncio.timeout(timeout):
                return cls(await first_connected(address))
        except TimeoutError:
            raise TimeoutError(f"{address}: no answer within {timeout:g} s") from None

    async def read(self, limit: int) -> bytes:
        """As :meth:`Source.read`."""
        return await self._loop.sock_recv(self._sock, limit)

    async def status(self) -> None:
        """As :meth:`Source.status`: a connection has none."""

    def close(self) -> None:
        """As :meth:`Source.close`. The other direction may go on, so the socket stays open until it ended."""

    async def write(self, chunks: Sequence[memoryview]) -> None:
        """As :meth:`Sink.write`: the kernel has them."""
        for chunk in chunks:
            await self._loop.sock_sendall(self._sock, chunk)

    def write_now(self, chunk: memoryview) -> memoryview:
        """As :meth:`Sink.write_now`."""
        try:
            return chunk[self._sock.send(chunk) :]
        except OSError:
            return chunk

    async def finish(self) -> None:
        """As :meth:`Sink.finish`: half-closes."""
        self._sock.shutdown(socket.SHUT_WR)
        self._finished = True

    def abort(self) -> None:
        """Closes the socket: in order if ``finish`` was called, with a reset if not."""
        if not self._closed:
            self._closed = True
            if not self._finished:
                with contextlib.suppress(OSError):  # it may be gone already
                    self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._sock.close()
