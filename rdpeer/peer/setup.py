"""What every use case begins with: the server as it is configured, and the time that the user gave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from rdpeer.errors import DeadlineExceeded, UsageError
from rdpeer.net.outbound import outbound
from rdpeer.protocol.question import RendezvousServer
from rdpeer.settings import Settings
from rdpeer.values import ServerAddress, WebAddress


def rendezvous_server(settings: Settings) -> RendezvousServer:
    """The server in force, with its key and where that was set. UsageError where no server is set.

    Its port has to leave room for those beside it: UsageError too.
    """
    address = settings.require_server()
    if not isinstance(address, WebAddress) and not 1 < address.port < 65535:
        raise UsageError(f"no server is at {address}: it needs the ports below and above that one too")
    return RendezvousServer(address, settings.key, settings.origin("key"))


def why_relayed(server: RendezvousServer) -> str | None:
    """Why only a relay leads to peers, where that is so: what carries our connections goes nowhere else."""
    if outbound().proxy:
        return "connections go through a proxy"
    if isinstance(server.address, WebAddress):
        return "the server is reached by WebSocket"
    return None


@asynccontextmanager
async def within(seconds: float | None) -> AsyncIterator[asyncio.Timeout]:
    """Bounds what is done inside by the user's ``--timeout``; DeadlineExceeded when it is over.

    Once everything is set up, ``reschedule(None)`` on what this gives lifts the bound.
    """
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            yield limit
    except TimeoutError:
        if not limit.expired():
            raise
        raise DeadlineExceeded(f"not done within the {seconds:g} s of --timeout") from None


def reflectors_of(server: RendezvousServer, stun: ServerAddress | None) -> list[ServerAddress]:
    """Who may tell how our datagrams look from outside: the STUN server that is set, and an rdpeer server."""
    own = [] if isinstance(server.address, WebAddress) else [server.address]
    return [stun, *own] if stun else own
