"""Connected TCP sockets: all addresses of a name tried, the first that answers taken (RFC 8305)."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Any

from rdpeer.values import ServerAddress, join_host_port

_NEXT_ADDRESS_AFTER = 0.25

_AddressInfo = tuple[int, int, int, str, Any]


async def first_connected(address: ServerAddress, *, reuse: bool = False) -> socket.socket:
    """A connected, non-blocking socket; the caller sets the time it may take, and owns the socket.

    ``reuse``: bound so that a listener made with :func:`reusable` can share the local port. Raises
    OSError whose text names each address tried with its reason.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise OSError(f"{address}: {error.strerror or error}") from None
    untried = _families_in_turn(found)
    attempts: set[asyncio.Task[socket.socket]] = set()
    failures: list[str] = []
    try:
        while untried or attempts:
            if untried:
                attempts.add(asyncio.create_task(_connected(untried.pop(0), reuse)))
            done, _ = await asyncio.wait(
                attempts,
                timeout=_NEXT_ADDRESS_AFTER if untried else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for attempt in done:
                attempts.remove(attempt)
                if (failure := attempt.exception()) is None:
                    return attempt.result()
                failures.append(str(failure))
        raise OSError("; ".join(failures))
    finally:
        await _drop(attempts)


def reusable(sock: socket.socket) -> socket.socket:
    """``sock`` with its local port open to other sockets of this user that say the same.

    Windows has no SO_REUSEPORT; its SO_REUSEADDR means the same.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return sock


def _families_in_turn(found: Sequence[_AddressInfo]) -> list[_AddressInfo]:
    """The resolver's order, but no two addresses of one family while the other one has some left."""
    first = [info for info in found if info[0] == found[0][0]]
    other = [info for info in found if info[0] != found[0][0]]
    turns = max(len(first), len(other))
    return [info for turn in range(turns) for family in (first, other) for info in family[turn : turn + 1]]


async def _connected(info: _AddressInfo, reuse: bool) -> socket.socket:
    family, kind, protocol, _, sockaddr = info
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        if reuse:
            reusable(sock).bind(("::" if family == socket.AF_INET6 else "0.0.0.0", 0))  # noqa: S104
        await asyncio.get_running_loop().sock_connect(sock, sockaddr)
    except OSError as error:
        sock.close()
        reason = (
            os.strerror(error.errno) if error.errno else str(error)
        )  # asyncio's own text repeats the address
        raise OSError(f"{join_host_port(*sockaddr[:2])}: {reason}") from None
    except BaseException:
        sock.close()
        raise
    return sock


async def _drop(attempts: set[asyncio.Task[socket.socket]]) -> None:
    """Ends the attempts that lost, one that connected in the last moment included."""
    for attempt in attempts:
        attempt.cancel()
    for result in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(result, socket.socket):
            result.close()
