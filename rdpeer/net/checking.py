"""Running checks (rdpeer.protocol.checks) on a datagram socket, until an address is found."""

from __future__ import annotations

import asyncio
import contextlib
import socket

from rdpeer.net.clock import monotonic
from rdpeer.protocol.checks import CHECK_BYTES, Checks, Datagram
from rdpeer.values import Endpoint

_LONGEST = 2048


async def works(sock: socket.socket, checks: Checks) -> Endpoint:
    """The first address that datagrams reach and come from. For the initiator, which calls there.

    Waits for ever; the caller sets the time, here and in :func:`caller`.
    """
    while not checks.working:
        await _hear(sock, checks)
    return checks.working[0]


async def caller(sock: socket.socket, checks: Checks) -> tuple[Endpoint, bytes]:
    """The first address whose check was valid and that now calls: it, and the first datagram of its call."""
    while True:
        datagram, source = await _hear(sock, checks)
        if len(datagram) > CHECK_BYTES and checks.was_checked_by(source):
            return source, datagram


async def _hear(sock: socket.socket, checks: Checks) -> tuple[bytes, Endpoint]:
    """The next datagram, answered; checks that fall due are sent meanwhile."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(0)  # a flood is not to keep others, and the caller's timeout, from their turn
        _send(sock, checks.due(monotonic()))
        wait = None if checks.deadline is None else max(0.0, checks.deadline - monotonic())
        with contextlib.suppress(TimeoutError, ConnectionResetError):  # Windows: a check found nobody
            async with asyncio.timeout(wait):
                datagram, address = await loop.sock_recvfrom(sock, _LONGEST)
            source = Endpoint.of(address)
            _send(sock, checks.receive(datagram, source, monotonic()))
            return datagram, source


def _send(sock: socket.socket, datagrams: list[Datagram]) -> None:
    for to, datagram in datagrams:
        with contextlib.suppress(OSError):  # no way there, or no room: as if it were lost
            sock.sendto(datagram, (to.ip, to.port))
