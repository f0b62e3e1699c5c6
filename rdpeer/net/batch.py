"""A connected datagram socket that takes and gives many datagrams at a time.

A system call costs more than all that we do to a datagram. Linux moves a row of equal
ones in one call each way: UDP_SEGMENT cuts what is sent, UDP_GRO joins what came, and says
where to cut. Elsewhere each goes alone. Event loops that cannot watch a socket (Windows)
lend their own datagram transport for reading.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import socket
import struct
import sys
from collections.abc import Callable, Sequence

Take = Callable[[list[bytes]], None]

_UDP_SEGMENT, _UDP_GRO = 103, 104  # linux/udp.h; the socket module has no names for them
_BUFFER = 4 * 1024 * 1024  # asked for; the kernel grants less
_LONGEST = 65535
_ANCILLARY = socket.CMSG_SPACE(struct.calcsize("i")) if hasattr(socket, "CMSG_SPACE") else 0
_TURN = 64
"""Calls that take, before others have their turn."""
_ROW = 40
"""Datagrams sent in one call: 64 at most, and together less than the longest datagram."""


class BatchSocket:
    """Takes over ``sock``, bound and connected. ``take`` is called with what has arrived, by the event loop,
    once :meth:`start` was awaited and until :meth:`close`."""

    def __init__(self, sock: socket.socket, take: Take) -> None:
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, _BUFFER)
        self._socket = sock
        self._take = take
        self._segments = _supports(sock, _UDP_SEGMENT, 0)
        self._joins = False
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None

    async def start(self) -> None:
        """Begins to read."""
        try:
            self._loop.add_reader(self._socket, self._readable)
        except NotImplementedError:
            self._transport, _ = await self._loop.create_datagram_endpoint(
                lambda: _Reader(self._take), sock=self._socket
            )
        else:
            self._joins = _supports(self._socket, _UDP_GRO, 1)

    def send(self, datagrams: Sequence[bytes]) -> Sequence[bytes]:
        """Sends them in order: those for which the kernel has no room now. What it will not send is lost."""
        at = 0
        while at < len(datagrams):
            count = self._row(datagrams, at) if self._segments else 1
            try:
                if count == 1:
                    self._socket.send(datagrams[at])
                else:
                    size = struct.pack("=H", len(datagrams[at]))
                    self._socket.sendmsg(datagrams[at : at + count], [(socket.SOL_UDP, _UDP_SEGMENT, size)])
            except BlockingIOError:
                return datagrams[at:]
            except OSError as error:
                if count > 1 and error.errno in (errno.EIO, errno.EINVAL, errno.EMSGSIZE):
                    self._segments = False  # no checksum offload on this way, or a smaller MTU: each alone
                    continue
            at += count
        return ()

    def close(self) -> None:
        """Safe to call twice."""
        if self._transport is not None:
            self._transport.abort()
        elif self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
        self._socket.close()

    def _row(self, datagrams: Sequence[bytes], at: int) -> int:
        """How many from ``at`` on can go in one call: equally long ones, then at most one shorter."""
        size = len(datagrams[at])
        count = 1
        for datagram in itertools.islice(datagrams, at + 1, at + _ROW):
            if len(datagram) > size:
                break
            count += 1
            if len(datagram) < size:
                break
        return count

    def _readable(self) -> None:
        datagrams: list[bytes] = []
        for _ in range(_TURN):
            try:
                datagrams += self._receive()
            except BlockingIOError:
                break
            except OSError:
                continue  # ICMP: anyone on the way may say so; it is no more than no answer
        if datagrams:
            self._take(datagrams)

    def _receive(self) -> list[bytes]:
        if not self._joins:
            return [self._socket.recv(_LONGEST)]
        data, ancillary, _, _ = self._socket.recvmsg(_LONGEST, _ANCILLARY)
        for level, kind, value in ancillary:
            if (level, kind) == (socket.SOL_UDP, _UDP_GRO):
                (size,) = struct.unpack("=i", value[:4])
                return [data[at : at + size] for at in range(0, len(data), size)]
        return [data]


class _Reader(asyncio.DatagramProtocol):
    """asyncio's own way: one datagram at a time."""

    def __init__(self, take: Take) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._take([data])

    def error_received(self, exc: Exception) -> None:
        """As above: no more than no answer."""


def _supports(sock: socket.socket, option: int, value: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        sock.setsockopt(socket.SOL_UDP, option, value)
    except OSError:
        return False
    return True
