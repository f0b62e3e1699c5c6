"""Moving a session from the relay to a direct path, while it runs (docs/CHANNEL.md 6.1).

Both ends tell each other inside the channel where they may be met, and try: datagrams both ways, which
open the way through NATs, and TCP towards the responder. A path counts when both ends have joined it.
The initiator takes the first one; the responder holds those that were joined until it hears which.

All of this happens beside the session, and whatever fails in it leaves the session where it is.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

from rdpeer.crypto.move_key import NONCE_BYTES, MoveKey
from rdpeer.errors import NoPath, RdpeerError
from rdpeer.net import direct
from rdpeer.net.clock import monotonic
from rdpeer.net.gathering import Gathering
from rdpeer.net.interfaces import attached_subnets, own_addresses
from rdpeer.net.link import Link
from rdpeer.net.outbound import outbound
from rdpeer.net.stun import reflexive
from rdpeer.net.transport import FrameStream
from rdpeer.net.transport.udp_stream import UdpStream
from rdpeer.protocol.candidates import Candidate, Candidates, Surroundings, Transport, chosen, targets
from rdpeer.protocol.checks import Checks
from rdpeer.protocol.handshake import InitiatorHandshake
from rdpeer.protocol.handshake_base import Handshake
from rdpeer.protocol.joining import JOIN_BYTES
from rdpeer.protocol.question import RendezvousServer
from rdpeer.values import Endpoint, ServerAddress, WebAddress

SETTLE = 0.5
"""Seconds that a session has lived before it is worth a move."""

FIND_WITHIN = 10.0
"""Seconds that the initiator tries, from when both know where to."""

WAIT_FOR = 30.0
"""Seconds that the responder can be met: what it said may have waited behind much else on its way."""

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
    work = [] if relayed is None else [_Move(link, relayed, tell).run()]
    async with _beside(work):
        yield


class _Move:
    def __init__(self, link: Link, relayed: Relayed, tell: Tell) -> None:
        self._link = link
        self._relayed = relayed
        self._tell = tell
        self._surroundings = Surroundings(loopback=False, subnets=())

    async def run(self) -> None:
        await asyncio.sleep(SETTLE)
        try:
            self._tell(f"path: {_name(await self._moved())} (was {self._relayed.path})")
        except (NoPath, OSError) as reason:
            self._tell(f"staying on {self._relayed.path}: {reason}")
        except RdpeerError:
            return  # the link's: those who use it are told

    async def _moved(self) -> FrameStream:
        """The stream that it is on then. NoPath says why it stays."""
        if not await self._link.may_move():
            raise NoPath("the peer does not move")
        async with self._relayed.turn:
            return await self._search()

    async def _search(self) -> FrameStream:
        family = outbound().family
        over_loopback = self._relayed.relay.address.is_loopback
        self._surroundings = Surroundings(over_loopback, attached_subnets(), family)
        addresses = own_addresses(self._relayed.relay.ip)
        listen = not self._relayed.initiator
        with await Gathering.open(addresses, limit=JOIN_BYTES, listen=listen) as gathering:
            key, theirs = await self._exchange(await self._ours(gathering))
            meet = self._take_first if self._relayed.initiator else self._hold
            return await meet(gathering, key, theirs)

    async def _ours(self, gathering: Gathering) -> tuple[Candidate, ...]:
        asking = (reflexive(sock, self._relayed.reflectors) for sock in gathering.sockets)
        seen = await asyncio.gather(*asking)
        outside = [Candidate(Transport.UDP, endpoint) for endpoint in seen if endpoint]
        if not outside:
            self._tell(
                "nobody says how our UDP looks from outside: no STUN server, no rdpeer server is known"
            )
        return chosen([*outside, *gathering.candidates], self._surroundings)

    async def _exchange(self, ours: tuple[Candidate, ...]) -> tuple[MoveKey, Sequence[Candidate]]:
        nonce = secrets.token_bytes(NONCE_BYTES)
        self._link.offer_candidates(Candidates(nonce, ours))
        said = await self._link.candidates()
        nonces = (nonce, said.nonce) if self._relayed.initiator else (said.nonce, nonce)
        key = MoveKey(
            initiator=self._relayed.initiator,
            exporter=self._relayed.exporter,
            t2=self._relayed.t2,
            initiator_nonce=nonces[0],
            responder_nonce=nonces[1],
        )
        return key, said.candidates

    async def _take_first(
        self, gathering: Gathering, key: MoveKey, theirs: Sequence[Candidate]
    ) -> FrameStream:
        """The initiator's side."""
        attempts = [direct.dial(endpoint, key) for endpoint in self._targets(theirs, Transport.TCP)]
        for sock, there in gathering.facing(self._targets(theirs, Transport.UDP)):
            attempts.append(direct.call(gathering, sock, Checks(key, there, monotonic()), key))
        if not attempts:
            raise NoPath("the peer names no place where we could come")
        name, stream = await direct.first(attempts, FIND_WITHIN)
        if not self._link.move(name, stream):
            raise NoPath("the session is about to end")
        return await self._link.moved()

    async def _hold(self, gathering: Gathering, key: MoveKey, theirs: Sequence[Candidate]) -> FrameStream:
        """The responder's: everything that is joined is the link's to keep, until the initiator chooses."""
        joined = 0

        def keep(name: bytes, stream: FrameStream) -> None:
            nonlocal joined
            joined += 1
            self._link.keep(name, stream)

        work = [direct.accept(listener, key, keep) for listener in gathering.listeners]
        for sock, there in gathering.facing(self._targets(theirs, Transport.UDP)):
            work.append(direct.answer(gathering, sock, Checks(key, there, monotonic()), key, keep))
        async with _beside(work):
            with suppress(TimeoutError):
                async with asyncio.timeout(WAIT_FOR):
                    return await self._link.moved()
        if not joined:
            raise NoPath(f"the peer has not come to us within {WAIT_FOR:.0f} s")
        return await self._link.moved()  # its SWITCH waits behind much else

    def _targets(self, theirs: Sequence[Candidate], transport: Transport) -> list[Endpoint]:
        return targets(theirs, transport, self._surroundings, self._relayed.seen)


def _name(stream: FrameStream) -> str:
    return f"direct {stream.remote}{' udp' if isinstance(stream, UdpStream) else ''}"


@asynccontextmanager
async def _beside(work: Iterable[Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """Runs ``work`` while the block runs. What it raises is a bug, and is raised at the end."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
