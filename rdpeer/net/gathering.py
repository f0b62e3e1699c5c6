"""The sockets at which this end may be met without the relay, and the candidates that they make.

One datagram socket a family: checks go out of the very socket whose endpoint was told, since that
is the hole that a NAT keeps open. The responder also listens for TCP, at each address of its own.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from rdpeer.net.transport.tcp import TcpListener
from rdpeer.protocol.candidates import Candidate, Transport
from rdpeer.values import Endpoint


@dataclass
class Gathering:
    """Made by :meth:`open`; closed at the end of the block, but for what was taken out."""

    sockets: list[socket.socket] = field(default_factory=list)
    """Datagram sockets, bound, at most one a family."""
    listeners: list[TcpListener] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    """Where they are, in the order of the addresses."""

    @classmethod
    async def open(cls, addresses: Iterable[str], *, limit: int, listen: bool) -> Self:
        """At ``addresses`` of ours; what cannot be opened is left out.

        ``listen``: by TCP, too. ``limit``: longest payload taken there, in bytes.
        """
        gathering = cls()
        try:
            await gathering._open(list(addresses), limit, listen)
        except BaseException:
            gathering.close()
            raise
        return gathering

    async def _open(self, addresses: list[str], limit: int, listen: bool) -> None:
        for v6 in sorted({":" in ip for ip in addresses}):
            with contextlib.suppress(OSError):  # no such family here
                self.sockets.append(datagram_socket(v6=v6))
        for ip in addresses:
            if listen:
                await self._listen(ip, limit)
            self.candidates += [
                Candidate(Transport.UDP, Endpoint(ip, sock.getsockname()[1]))
                for sock, _ in self.facing([Endpoint(ip, 0)])
            ]

    async def _listen(self, ip: str, limit: int) -> None:
        with contextlib.suppress(OSError):  # an address that is gone, or cannot be bound
            listener = await TcpListener.open(Endpoint(ip, 0), limit=limit)
            self.listeners.append(listener)
            self.candidates.append(Candidate(Transport.TCP, listener.endpoint))

    def facing(self, targets: Iterable[Endpoint]) -> list[tuple[socket.socket, list[Endpoint]]]:
        """The datagram sockets from which there is something to try, and what of ``targets``."""
        found = []
        targets = list(targets)
        for sock in self.sockets:
            there = [target for target in targets if target.is_v6 == (sock.family == socket.AF_INET6)]
            if there:
                found.append((sock, there))
        return found

    def take(self, sock: socket.socket) -> None:
        """``sock`` is the caller's from here on."""
        self.sockets.remove(sock)

    def close(self) -> None:
        """Safe to call twice."""
        for sock in self.sockets:
            sock.close()
        for listener in self.listeners:
            listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def datagram_socket(*, v6: bool) -> socket.socket:
    """A non-blocking datagram socket of one family, at any address and a port of its own."""
    sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        if v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(("::" if v6 else "0.0.0.0", 0))  # noqa: S104 - the checks say who may be heard
    except BaseException:
        sock.close()
        raise
    return sock
