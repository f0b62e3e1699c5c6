"""Moving a session from the relay to a direct path, while it runs (docs/CHANNEL.md 6.1).

All of it happens beside the session, and whatever fails in it leaves the session where it is. It begins
when the session has lived for a moment, and only then is what it takes imported: the first byte is not
to wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from rdpeer.errors import NoPath, RdpeerError
from rdpeer.net.link import Link
from rdpeer.net.tasks import beside
from rdpeer.peer.relayed import Relayed

SETTLE = 0.5
"""Seconds that a session has lived before it is worth a move."""

Tell = Callable[[str], None]


@asynccontextmanager
async def moving(link: Link, relayed: Relayed | None, tell: Tell) -> AsyncIterator[None]:
    """Moves ``link``, if it is ``relayed`` and that can be done, while the block runs.

    ``tell`` gets the path that it is on then, or why it stays: a line each.
    """
    async with beside([] if relayed is None else [_move(link, relayed, tell)]):
        yield


async def _move(link: Link, relayed: Relayed, tell: Tell) -> None:
    await asyncio.sleep(SETTLE)
    from rdpeer.peer.search import name, search

    try:
        if not await link.may_move():
            raise NoPath("the peer does not move")
        async with relayed.turn:
            await search(link, relayed, tell)
        tell(f"path: {name(await link.moved())} (was {relayed.path})")
    except (NoPath, OSError) as reason:
        tell(f"staying on {relayed.path}: {reason}")
    except RdpeerError:
        return  # the link's: those who use it are told
