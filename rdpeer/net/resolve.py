"""Names to addresses, beside the event loop.

Not by ``loop.getaddrinfo``: its threads are waited for at the end of the
process, and a look-up that hangs (no network, a dead DNS server) would hold up
a program that was told to stop for as long as the resolver likes to try. Ours
is a daemon thread, forgotten when nobody waits for it any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading

from rdpeer.values import Endpoint, Family, ServerAddress

_FAMILIES = {Family.ANY: socket.AF_UNSPEC, Family.V4: socket.AF_INET, Family.V6: socket.AF_INET6}


async def resolve(address: ServerAddress, family: Family = Family.ANY) -> list[Endpoint]:
    """The endpoints of ``address`` in ``family``, in the resolver's order, none twice.

    Raises OSError, its text the reason, where there are none.
    """
    if (literal := _literal(address)) is not None:
        if not family.allows(literal):
            raise OSError(f"{address}: not an IPv{family} address")
        return [literal]
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Endpoint]] = loop.create_future()

    def settle(found: list[Endpoint], error: OSError | None) -> None:
        if answer.cancelled():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(found)

    def look_up() -> None:
        found: list[Endpoint] = []
        error: OSError | None = None
        try:
            found = _look_up(address, family)
        except OSError as problem:
            which = "" if family is Family.ANY else f"no IPv{family} address: "
            error = OSError(f"{address}: {which}{problem.strerror or problem}")
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits any more
            loop.call_soon_threadsafe(settle, found, error)

    threading.Thread(target=look_up, name=f"resolve {address.host}", daemon=True).start()
    return await answer


def _literal(address: ServerAddress) -> Endpoint | None:
    try:
        return Endpoint(str(ipaddress.ip_address(address.host)), address.port)
    except ValueError:
        return None


def _look_up(address: ServerAddress, family: Family) -> list[Endpoint]:
    try:
        infos = socket.getaddrinfo(
            address.host, address.port, family=_FAMILIES[family], type=socket.SOCK_DGRAM
        )
    except UnicodeError:  # a label that is empty or too long, from the idna codec
        raise OSError("not a host name") from None
    endpoints = [
        Endpoint.of((str(sockaddr[0]), address.port))
        for kind, _, _, _, sockaddr in infos
        if kind in (socket.AF_INET, socket.AF_INET6)
    ]
    if not endpoints:
        raise OSError("no address")
    return list(dict.fromkeys(endpoints))
