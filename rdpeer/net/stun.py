"""Asking STUN servers where the datagrams of a socket come from, as they see it (RFC 8489)."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Iterable

from rdpeer.errors import RemoteProtocolError
from rdpeer.net import trace
from rdpeer.net.outbound import outbound
from rdpeer.net.resolve import resolve
from rdpeer.values import Endpoint, ServerAddress
from rdpeer.wire import stun

_WAITS = (0.1, 0.2, 0.4, 0.8)
"""Seconds after each request; then nobody answers."""

_LONGEST = 2048


async def reflexive(sock: socket.socket, servers: Iterable[ServerAddress]) -> Endpoint | None:
    """What the first of ``servers`` to answer sees of ``sock``, a bound, non-blocking datagram socket.

    All are asked at once. None where no server answers within 1.5 s, or none can be asked: no name that
    resolves, no address of the socket's family. An answer counts only from where it was asked for, with the
    number that it was asked with; anything else that comes meanwhile is dropped.
    """
    asked: dict[Endpoint, bytes] = {}
    for found in await asyncio.gather(*map(resolve_all, servers)):
        v6 = sock.family == socket.AF_INET6
        asked.update((one, secrets.token_bytes(stun.TRANSACTION_SIZE)) for one in found if one.is_v6 == v6)
    for wait in _WAITS if asked else ():
        for server, transaction in asked.items():
            with contextlib.suppress(OSError):  # no way there: as if it were lost
                request = stun.encode_request(transaction)
                sock.sendto(request, (server.ip, server.port))
                if trace.is_on():
                    trace.message(trace.SENT, "udp", server, request)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait):
                return await _answer(sock, asked)
    return None


async def resolve_all(server: ServerAddress) -> list[Endpoint]:
    """The endpoints of ``server``; none where its name does not resolve."""
    try:
        return await resolve(server, outbound().family)
    except OSError:
        return []


async def _answer(sock: socket.socket, asked: dict[Endpoint, bytes]) -> Endpoint:
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(0)  # a flood is not to keep the timeout from its turn
        try:
            datagram, address = await loop.sock_recvfrom(sock, _LONGEST)
        except ConnectionResetError:
            continue  # Windows: a request found nobody
        if trace.is_on():
            trace.message(trace.RECEIVED, "udp", Endpoint.of(address), datagram)
        transaction = asked.get(Endpoint.of(address))
        if transaction is not None:
            with contextlib.suppress(RemoteProtocolError):
                return stun.parse_answer(datagram, transaction)
