"""Moving a session from the relay to a direct path, while it runs (docs/CHANNEL.md 6.1).

All of it happens beside the session, and whatever fails in it leaves the session where it is. It begins
when the session has lived for a moment, and only then is what it takes imported: the first byte is not
to wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field

from rdpeer.errors import NoPath, RdpeerError
from rdpeer.net.link import Link
from rdpeer.net.tasks import beside
from rdpeer.net.transport import FrameStream
from rdpeer.protocol.handshake import InitiatorHandshake
from rdpeer.protocol.handshake_base import Handshake
from rdpeer.protocol.question import RendezvousServer
from rdpeer.values import Endpoint, ServerAddress, WebAddress

SETTLE = 0.5
"""Seconds that a session has lived before it is worth a move."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Relayed:
    """A session that begins on a relay, and may leave it.

    ``path`` is for people. ``relay`` is where we reached it, ``seen`` where the server saw the other
    end, if it said. ``reflectors`` may tell how our datagrams look from outside. ``exporter`` and ``t2``
    are the channel's secret and the handshake's transcript. ``turn`` is held while a path is sought.
    """

    initiator: bool
    path: str
    relay: Endpoint
    seen: Endpoint | None
    reflectors: Sequence[ServerAddress]
    t2: bytes
    exporter: bytes = field(repr=False)
    turn: AbstractAsyncContextManager[None] = field(default_factory=nullcontext)

    @classmethod
    def of(
        cls,
        path: str,
        stream: FrameStream,
        handshake: Handshake,
        seen: Endpoint | None,
        reflectors: Sequence[ServerAddress],
        turn: AbstractAsyncContextManager[None] | None = None,
    ) -> Relayed:
        """From what the session was made of: ``handshake`` has authenticated over ``stream``."""
        return cls(
            isinstance(handshake, InitiatorHandshake),
            path,
            stream.remote,
            seen,
            reflectors,
            handshake.transcript,
            handshake.channel.exporter,
            turn or nullcontext(),
        )


def reflectors_of(server: RendezvousServer, stun: ServerAddress | None) -> list[ServerAddress]:
    """Who may tell how our datagrams look from outside: the STUN server that is set, and an rdpeer server."""
    own = [] if isinstance(server.address, WebAddress) else [server.address]
    return [stun, *own] if stun else own


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
