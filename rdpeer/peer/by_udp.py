"""Meeting peers by UDP, with the server's help: the initiator's side (docs/PROTOCOL.md 2.1)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from rdpeer.errors import IdentityMismatch, NoPath, RdpeerError
from rdpeer.net.driver import converse
from rdpeer.net.interfaces import ROUTED_V6, address_towards
from rdpeer.net.outbound import outbound
from rdpeer.net.stun import reflexive
from rdpeer.net.transport import FrameStream
from rdpeer.net.transport.udp_hole import UdpHole
from rdpeer.protocol.handshake import MAX_PAYLOAD
from rdpeer.protocol.question import RendezvousServer
from rdpeer.protocol.relays import Relays
from rdpeer.protocol.rendezvous import Offer, PunchRequest
from rdpeer.protocol.traversal import Kind, may_meet_v6
from rdpeer.values import Endpoint, Family, PeerId, ServerAddress

UDP_DELAY = 0.25
"""Seconds that the other direct ways have before the server is asked once more, for UDP."""

MEET_FOR = 10.0
"""Seconds until the peer must have been met."""


@dataclass(frozen=True)
class UdpRequest:
    """A wish to meet ``peer`` by UDP. ``reflectors`` may say what our datagrams look like from outside.

    Stock's server does not pass such a wish on, and stock's responder answers it by UDP alone. So it is
    a request of its own, and only where one of them has answered: a server that does is one that helps.
    """

    peer: PeerId
    server: RendezvousServer
    relays: Relays
    reflectors: Sequence[ServerAddress]

    async def meet(self) -> FrameStream:
        """A stream to whoever is there. Raises NoPath, IdentityMismatch."""
        await asyncio.sleep(UDP_DELAY)
        with closing(_hole("0.0.0.0")) as hole:  # noqa: S104 - as in UdpHole.open
            seen = await reflexive(hole.socket, self.reflectors)
            if seen is None:
                raise NoPath("nobody says how our datagrams look from outside: no answer to STUN")
            return await call(hole, await self._ask(seen.port))

    async def _ask(self, port: int) -> Endpoint:
        """Where the peer waits for our datagrams."""
        request = PunchRequest(self.peer, self.server, self.relays, udp_port=port)
        try:
            offer: Offer = (await converse(request)).value
        except IdentityMismatch:
            raise
        except RdpeerError as error:
            raise NoPath(str(error)) from error
        for candidate in offer.candidates:
            if candidate.kind is Kind.UDP:
                return candidate.endpoint
        raise NoPath("the server does not pass it on, or the peer does not take it")


async def call(hole: UdpHole, endpoint: Endpoint) -> FrameStream:
    """A stream from ``hole`` to ``endpoint``, where the peer accepts. Raises NoPath."""
    try:
        return await hole.connect(endpoint, limit=MAX_PAYLOAD, timeout=MEET_FOR)
    except OSError as error:
        raise NoPath(str(error)) from error


def hole_v6() -> UdpHole | None:
    """At our IPv6 address, where we have one that others may reach and that we may use."""
    ip = address_towards(ROUTED_V6)
    if ip is None or outbound().family is Family.V4 or not may_meet_v6(Endpoint(ip, 1), None):
        return None
    try:
        return UdpHole.open(ip)
    except OSError:
        return None  # it is gone again


def _hole(ip: str) -> UdpHole:
    try:
        return UdpHole.open(ip)
    except OSError as error:
        raise NoPath(f"no socket for it: {error.strerror or error}") from error
