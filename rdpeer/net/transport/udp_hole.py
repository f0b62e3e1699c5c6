"""A hole in a NAT for datagrams: one socket, whose place both peers know (docs/PROTOCOL.md 2.1).

Both send empty datagrams to each other at the same time, until one hears the other: each opens its own
NAT for what the other one sends. The initiator then connects, and the responder accepts what is not empty.
The stream of frames is imported only then: whoever is met in another way is not to wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Callable
from typing import Self

from rdpeer.net import trace
from rdpeer.net.transport import FrameStream
from rdpeer.values import Endpoint

_FIRST_WAIT, _LONGEST_WAIT, _SLOWER = 0.02, 0.2, 1.5
_LONGEST = 2048
_REPETITIONS = 2


class UdpHole:
    """Made by :meth:`open`. Its stream takes the socket over."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = sock
        self._taken = False

    @classmethod
    def open(cls, ip: str = "0.0.0.0") -> Self:  # noqa: S104 - only who is connected to is heard
        """At a free port of ``ip``, which is one of ours. Raises OSError."""
        sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
        try:
            sock.bind((ip, 0))
        except BaseException:
            sock.close()
            raise
        return cls(sock)

    @property
    def endpoint(self) -> Endpoint:
        """Our end of it."""
        return Endpoint.of(self.socket.getsockname())

    async def announce(self, payload: bytes, server: Endpoint) -> None:
        """Tells a server, which sees by it where we are: three times, since it does not answer."""
        for repetitions_left in reversed(range(_REPETITIONS + 1)):
            with contextlib.suppress(OSError):  # as if it were lost
                self.socket.sendto(payload, (server.ip, server.port))
                if trace.is_on():
                    trace.message(trace.SENT, "udp", server, payload)
            if repetitions_left:
                await asyncio.sleep(random.uniform(0.010, 0.029))  # noqa: S311 - stock's own spread

    async def connect(self, remote: Endpoint, *, limit: int, timeout: float) -> FrameStream:
        """A stream to ``remote``, which accepts at the same time.

        ``limit``: longest payload taken, in bytes. ``timeout``: seconds. Raises OSError; TimeoutError where
        nobody answered.
        """
        from rdpeer.net.transport import udp_stream

        async with _bounded(remote, timeout):
            udp_stream.hear_only(self.socket, remote)
            await self._punch(remote, lambda datagram: True)
            self._taken = True
            return await udp_stream.connect(self.socket, remote, limit=limit, timeout=timeout)

    async def accept(self, remote: Endpoint, *, limit: int, timeout: float) -> FrameStream:
        """As :meth:`connect`, at the end that is called."""
        from rdpeer.net.transport import udp_stream

        async with _bounded(remote, timeout):
            udp_stream.hear_only(self.socket, remote)
            first = await self._punch(remote, bool)
            self._taken = True
            return await udp_stream.accept(self.socket, remote, limit=limit, timeout=timeout, first=first)

    def close(self) -> None:
        """Unless a stream has taken the socket over. Safe to call twice."""
        if not self._taken:
            self.socket.close()

    async def _punch(self, remote: Endpoint, enough: Callable[[bytes], bool]) -> bytes:
        """The first datagram from ``remote`` that is ``enough``."""
        trace.happened(f"udp {remote}", "empty datagrams go there until one comes")
        wait = _FIRST_WAIT
        while True:
            with contextlib.suppress(OSError):  # ICMP on an earlier one, or no room: as if it were lost
                self.socket.send(b"")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    first = await self._hear(enough)
                    trace.happened(f"udp {remote}", "the way is open")
                    return first
            wait = min(wait * _SLOWER, _LONGEST_WAIT)

    async def _hear(self, enough: Callable[[bytes], bool]) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0)  # a flood is not to keep the timeout from its turn
            with contextlib.suppress(OSError):  # ICMP: anyone on the way may say so
                datagram = await loop.sock_recv(self.socket, _LONGEST)
                if enough(datagram):
                    return datagram


@contextlib.asynccontextmanager
async def _bounded(remote: Endpoint, timeout: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout):
            yield
    except TimeoutError:
        raise TimeoutError(f"{remote}: no answer by UDP within {timeout:g} s") from None
