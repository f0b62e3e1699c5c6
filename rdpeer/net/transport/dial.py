"""Connected TCP sockets: all addresses of a name tried, the first that answers taken (RFC 8305)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import socket
from collections.abc import Sequence

from rdpeer.net.outbound import outbound
from rdpeer.net.resolve import resolve
from rdpeer.net.transport.proxy import tunnel
from rdpeer.values import Endpoint, Family, ServerAddress

_NEXT_ADDRESS_AFTER = 0.25


async def dial(
    address: ServerAddress, *, reuse: bool = False, local: Endpoint | None = None
) -> socket.socket:
    """As :func:`first_connected`, but the way that rdpeer.net.outbound says: through its proxy, if any."""
    way = outbound()
    if way.proxy is None:
        return await first_connected(address, reuse=reuse, local=local, family=way.family)
    try:
        sock = await first_connected(way.proxy.address, family=way.family)
    except OSError as error:
        raise OSError(f"{address}: the proxy cannot be reached: {error}") from None
    try:
        await tunnel(sock, way.proxy, address)
    except OSError as error:
        sock.close()
        raise OSError(f"{address}: the proxy {way.proxy}: {error.strerror or error}") from None
    except BaseException:
        sock.close()
        raise
    return sock


async def first_connected(
    address: ServerAddress,
    *,
    reuse: bool = False,
    local: Endpoint | None = None,
    family: Family = Family.ANY,
) -> socket.socket:
    """A connected, non-blocking socket; the caller sets the time it may take, and owns the socket.

    ``reuse``: bound so that what is made with :func:`reusable` can share the local port; ``local``: bound
    there, where the port is shared already. Raises OSError whose text names each address tried with its
    reason.
    """
    untried = _families_in_turn(await resolve(address, family))
    attempts: set[asyncio.Task[socket.socket]] = set()
    failures: list[str] = []
    try:
        while untried or attempts:
            if untried:
                attempts.add(asyncio.create_task(connected(untried.pop(0), reuse=reuse, local=local)))
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


async def answers(address: ServerAddress, within: float) -> bool:
    """Whether a TCP connection to ``address`` can be made ``within`` so many seconds."""
    try:
        async with asyncio.timeout(within):
            (await dial(address)).close()
    except OSError:  # TimeoutError is one
        return False
    return True


async def first_to_answer(addresses: Sequence[ServerAddress], within: float) -> ServerAddress | None:
    """The one to which a TCP connection comes about first, all begun together: the nearest.

    None where none does ``within`` so many seconds.
    """

    async def answered(address: ServerAddress) -> ServerAddress:
        (await dial(address)).close()
        return address

    attempts = [asyncio.create_task(answered(address)) for address in addresses]
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                for attempt in asyncio.as_completed(attempts):
                    with contextlib.suppress(OSError):
                        return await attempt
    finally:
        for task in attempts:
            task.cancel()
        await asyncio.gather(*attempts, return_exceptions=True)
    return None


def reusable(sock: socket.socket) -> socket.socket:
    """``sock`` with its local port open to other sockets of this user that say the same.

    Windows has no SO_REUSEPORT; its SO_REUSEADDR means the same.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "SO_REUSEPORT"):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return sock


def _families_in_turn(found: Sequence[Endpoint]) -> list[Endpoint]:
    """The resolver's order, but no two addresses of one family while the other one has some left."""
    first = [endpoint for endpoint in found if endpoint.is_v6 == found[0].is_v6]
    other = [endpoint for endpoint in found if endpoint.is_v6 != found[0].is_v6]
    pairs = itertools.zip_longest(first, other)
    return [endpoint for pair in pairs for endpoint in pair if endpoint]


async def connected(
    endpoint: Endpoint, *, reuse: bool = False, local: Endpoint | None = None
) -> socket.socket:
    """As :func:`first_connected`, to this endpoint alone. The SYN leaves before it waits for anything."""
    sock = socket.socket(socket.AF_INET6 if endpoint.is_v6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        if local:
            reusable(sock).bind((local.ip, local.port))
        elif reuse:
            reusable(sock).bind(("::" if endpoint.is_v6 else "0.0.0.0", 0))  # noqa: S104
        await asyncio.get_running_loop().sock_connect(sock, (endpoint.ip, endpoint.port))
    except OSError as error:
        sock.close()
        # The number's text: asyncio's own repeats the address.
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise type(error)(f"{endpoint}: {reason}") from None
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
