"""Searching a direct path for a session that runs already (docs/CHANNEL.md 6.1).

Both ends tell each other inside the channel where they may be met, and try: datagrams both ways, which
open the way through NATs, and TCP towards the responder. A path counts when both ends have joined it.
The initiator takes the first one; the responder holds those that were joined until it hears which.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import suppress

from rdpeer.crypto.move_key import NONCE_BYTES, MoveKey
from rdpeer.errors import NoPath
from rdpeer.net import direct
from rdpeer.net.clock import monotonic
from rdpeer.net.gathering import Gathering
from rdpeer.net.interfaces import attached_subnets, own_addresses
from rdpeer.net.link import Link
from rdpeer.net.outbound import outbound
from rdpeer.net.stun import reflexive
from rdpeer.net.tasks import beside
from rdpeer.net.transport import FrameStream
from rdpeer.net.transport.udp_stream import UdpStream
from rdpeer.peer.relayed import Relayed
from rdpeer.protocol.candidates import (
    MOST_CANDIDATES,
    Candidate,
    Candidates,
    Surroundings,
    Transport,
    chosen,
    targets,
)
from rdpeer.protocol.checks import Checks
from rdpeer.protocol.joining import JOIN_BYTES
from rdpeer.values import Endpoint

EXCHANGE_WITHIN = 60.0
"""Seconds for the other end's candidates: it may be busy, and its word wait behind much else on its way."""

FIND_WITHIN = 10.0
"""Seconds that the initiator tries, from when it knows where to."""

WAIT_FOR = 30.0
"""Seconds that the responder can be met, for the same reasons."""


async def search(link: Link, relayed: Relayed, tell: Callable[[str], None]) -> None:
    """Returns when the link moves, or may yet: NoPath says why it does not."""
    surroundings = Surroundings(relayed.relay.address.is_loopback, attached_subnets(), outbound().family)
    await _Search(link, relayed, surroundings, tell).run()


def name(stream: FrameStream) -> str:
    """Of the path that a session has moved to, for people."""
    return f"direct {stream.remote}{' by UDP' if isinstance(stream, UdpStream) else ''}"


class _Search:
    def __init__(
        self, link: Link, relayed: Relayed, surroundings: Surroundings, tell: Callable[[str], None]
    ) -> None:
        self._link = link
        self._relayed = relayed
        self._surroundings = surroundings
        self._tell = tell

    async def run(self) -> None:
        found = own_addresses(self._relayed.relay.ip)
        addresses = [ip for ip in found if self._surroundings.is_usable(Endpoint(ip, 0))][:MOST_CANDIDATES]
        listen = not self._relayed.initiator
        with await Gathering.open(addresses, limit=JOIN_BYTES, listen=listen) as gathering:
            key, theirs = await self._exchange(await self._ours(gathering))
            meet = self._take_first if self._relayed.initiator else self._hold
            await meet(gathering, key, theirs)

    async def _ours(self, gathering: Gathering) -> tuple[Candidate, ...]:
        asking = (reflexive(sock, self._relayed.reflectors) for sock in gathering.sockets)
        outside = [Candidate(Transport.UDP, seen) for seen in await asyncio.gather(*asking) if seen]
        if not outside:
            self._tell(
                "nobody says how our UDP looks from outside: no answer from a STUN server or an rdpeer server"
            )
        return chosen([*outside, *gathering.candidates], self._surroundings)

    async def _exchange(self, ours: tuple[Candidate, ...]) -> tuple[MoveKey, Sequence[Candidate]]:
        nonce = secrets.token_bytes(NONCE_BYTES)
        self._link.offer_candidates(Candidates(nonce, ours))
        try:
            async with asyncio.timeout(EXCHANGE_WITHIN):
                said = await self._link.candidates()
        except TimeoutError:
            raise NoPath("the peer does not say where it can be met") from None
        nonces = (nonce, said.nonce) if self._relayed.initiator else (said.nonce, nonce)
        key = MoveKey(
            initiator=self._relayed.initiator,
            exporter=self._relayed.exporter,
            t2=self._relayed.t2,
            initiator_nonce=nonces[0],
            responder_nonce=nonces[1],
        )
        return key, said.candidates

    async def _take_first(self, gathering: Gathering, key: MoveKey, theirs: Sequence[Candidate]) -> None:
        """The initiator's side."""
        attempts = [direct.dial(endpoint, key) for endpoint in self._targets(theirs, Transport.TCP)]
        for sock, there in gathering.facing(self._targets(theirs, Transport.UDP)):
            attempts.append(direct.call(gathering, sock, Checks(key, there, monotonic()), key))
        if not attempts:
            raise NoPath("the peer names no place where we could come")
        if not self._link.move(*await direct.first(attempts, FIND_WITHIN)):
            raise NoPath("the session is about to end")

    async def _hold(self, gathering: Gathering, key: MoveKey, theirs: Sequence[Candidate]) -> None:
        """The responder's: everything that is joined is the link's to keep, until the initiator chooses."""
        joined = False

        def keep(name: bytes, stream: FrameStream) -> None:
            nonlocal joined
            joined = True
            self._link.keep(name, stream)

        work = [direct.accept(listener, key, keep) for listener in gathering.listeners]
        for sock, there in gathering.facing(self._targets(theirs, Transport.UDP)):
            work.append(direct.answer(gathering, sock, Checks(key, there, monotonic()), key, keep))
        async with beside(work):
            with suppress(TimeoutError):
                async with asyncio.timeout(WAIT_FOR):
                    await self._link.moved()
        if not joined:
            raise NoPath(f"the peer has not come to us within {WAIT_FOR:g} s")

    def _targets(self, theirs: Sequence[Candidate], transport: Transport) -> list[Endpoint]:
        return targets(theirs, transport, self._surroundings, self._relayed.seen)
