"""Accepted TCP connections, read frame by frame from the plain socket.

A server's connections say one or two short messages, or turn into bulk bytes
after the first. So not a byte is read beyond a frame: whatever follows stays in
the kernel, for the pump that takes over, and an idle connection holds no buffer.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator
from typing import Any

from rdpeer.errors import RemoteProtocolError
from rdpeer.net import trace
from rdpeer.values import Endpoint
from rdpeer.wire.frames import decode_header, encode_frame, header_size

Listener = socket.socket
"""Bound and listening."""

log = logging.getLogger(__name__)

_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_REST = 1.0
_KEEPALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}


class Connection:
    """``socket`` is the connection's own, non-blocking. Whoever serves it calls ``close`` at the end."""

    __slots__ = ("remote", "socket")

    kind = "tcp"
    """What carries it, for people: tcp or ws."""

    def __init__(self, sock: socket.socket, remote: Endpoint) -> None:
        self.socket = sock
        self.remote = remote

    async def receive(self, limit: int) -> bytes | None:
        """The next payload of at most ``limit`` bytes; None where the stream has ended or broken.

        Raises RemoteProtocolError for a longer one.
        """
        try:
            header = await self._exactly(1)
            header += await self._exactly(header_size(header[0]) - 1)
            length = decode_header(header)
            if length > limit:
                raise RemoteProtocolError(f"a frame of {length} bytes is over the limit of {limit}")
            return await self._exactly(length)
        except (OSError, EOFError):
            return None

    def send(self, payload: bytes) -> None:
        """One frame, at once. A connection that does not take it whole, because its reader does not read or
        is gone, is hung up: nothing is queued."""
        frame = encode_frame(payload)
        try:
            if self.socket.send(frame) == len(frame):
                return
        except OSError:
            pass  # broken, or full
        self.hang_up()

    def hang_up(self) -> None:
        """Ends both directions: whoever receives hears the end."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # it has ended already

    def end(self) -> None:
        """Ends our direction alone. OSError where the connection is broken."""
        self.socket.shutdown(socket.SHUT_WR)

    @property
    def is_broken(self) -> bool:
        """True once the system has found the far end gone, also where nobody reads or writes."""
        return self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0

    async def finish(self) -> None:
        """Ends our direction and waits for the other's end: a plain close would reset the connection where
        something is left unread, and take back what was sent last."""
        loop = asyncio.get_running_loop()
        try:
            self.end()
            while True:
                if not await loop.sock_recv(self.socket, 4096):
                    return
                await asyncio.sleep(0)
        except OSError:
            return  # it has ended already

    def close(self) -> None:
        self.socket.close()

    def detach(self) -> socket.socket:
        """The socket, for somebody else; this connection is closed by it. OSError where it is broken."""
        self.socket.getpeername()
        sock = socket.socket(fileno=self.socket.detach())
        sock.setblocking(False)
        return sock

    async def _exactly(self, count: int) -> bytes:
        """So many bytes; EOFError where the stream ends before."""
        loop = asyncio.get_running_loop()
        data = b""
        while len(data) < count:
            piece = await loop.sock_recv(self.socket, count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data


class TracedConnection(Connection):
    """A connection whose messages are told; before another kind among the bases, of that kind."""

    told = True
    """Until another one tells what is sealed in its messages."""

    async def receive(self, limit: int) -> bytes | None:
        payload = await super().receive(limit)
        if payload is not None and self.told:
            trace.message(trace.RECEIVED, self.kind, self.remote, payload)
        return payload

    def send(self, payload: bytes) -> None:
        if self.told:
            trace.message(trace.SENT, self.kind, self.remote, payload)
        super().send(payload)


async def accept(listener: Listener) -> AsyncIterator[Connection]:
    """Connections as they come, until it is cancelled."""
    kind = TracedConnection if trace.is_on() else Connection
    listener.setblocking(False)
    while True:
        sock, address = await next_caller(listener)
        try:
            _prepare(sock)
        except OSError:
            sock.close()  # macOS says so where the caller is gone
            continue
        yield kind(sock, Endpoint.of(address))
        await asyncio.sleep(0)  # whoever connects without end leaves others their turn


async def next_caller(listener: Listener) -> tuple[socket.socket, Any]:
    """The next connection at ``listener``, which does not block: its socket, and the address of its far end.
    Out of file descriptors it rests and tries again."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return await loop.sock_accept(listener)
        except OSError as error:
            exhausted = error.errno in _OUT_OF_RESOURCES  # else the caller was gone before we came
            if exhausted:
                log.error("cannot accept connections: %s", error.strerror)
            await asyncio.sleep(_REST if exhausted else 0)


def _prepare(sock: socket.socket) -> None:
    """What is small leaves at once; a far end that died is noticed after two minutes."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
