"""The ways to a peer that an offer opens: an attempt for each direct candidate, and one for the relay."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from rdpeer.errors import ConnectionLost, DeadlineExceeded, NoPath, PeerRefused
from rdpeer.net.clock import monotonic
from rdpeer.net.driver import converse
from rdpeer.net.transport import FrameStream
from rdpeer.net.transport.dial import first_to_answer
from rdpeer.net.transport.hole import TcpHole
from rdpeer.net.transport.tcp import connect as connect_tcp
from rdpeer.net.transport.udp_hole import UdpHole
from rdpeer.peer import handshaking
from rdpeer.peer.by_udp import UdpRequest, call
from rdpeer.peer.handshaking import Initiating
from rdpeer.peer.meeting import meet
from rdpeer.peer.paths import Attempt, VerifiedPath
from rdpeer.protocol.handshake import MAX_PAYLOAD
from rdpeer.protocol.question import RendezvousServer
from rdpeer.protocol.relay_leg import RELAY, JoinRelay, RelayRequest
from rdpeer.protocol.rendezvous import Offer
from rdpeer.protocol.tokens import UsedTokens, fresh_token
from rdpeer.protocol.traversal import Candidate, Kind
from rdpeer.values import Endpoint, PeerId, ServerAddress

DIAL_TIMEOUT = 5.0
"""Seconds for a plain TCP connection: a peer on the same LAN answers in milliseconds, or never."""

RELAY_WITHIN = 3.0
"""Seconds in which the nearest of several relays must have taken a connection."""

RELAY_TRIES = 3
"""Legs tried at a relay, each with a fresh token."""


@dataclass(frozen=True)
class Ways:
    """``relays``: those that may be used, the offer's first, each with where to connect for it. ``hole``: the
    port that the server saw, if candidates need it; ``hole_v6``: where the peer was told to meet us by IPv6.
    ``by_udp`` asks for a meeting by UDP. ``handshake`` makes one for each stream, with keys of its own.
    ``used``: the tokens that were joined before. ``report`` is told what fails while an attempt goes on."""

    peer: PeerId
    server: RendezvousServer
    offer: Offer
    relays: Mapping[ServerAddress, ServerAddress]
    hole: TcpHole | None
    hole_v6: UdpHole | None
    by_udp: UdpRequest | None
    handshake: Callable[[], Initiating]
    used: UsedTokens
    report: Callable[[str], None]

    def direct(self) -> list[Attempt]:
        """One for each candidate, and one more by UDP where a NAT may be between."""
        if not self.offer.candidates:
            self.report("no direct path: the peer offers only a relay")
        attempts = [self._to(candidate, self.hole) for candidate in self.offer.candidates]
        if self.by_udp and any(candidate.kind is Kind.PUNCH for candidate in self.offer.candidates):
            attempts.append(Attempt("direct by UDP", partial(self._meet_by_udp, self.by_udp)))
        return attempts

    def relay(self) -> Attempt:
        """The one that always works; of several relays the nearest."""
        waits_there = self.offer.token is not None
        name = f"relay {' or '.join(map(str, self.relays.values()))}"
        return Attempt(name, self._relay, is_relay=True, at_once=waits_there)

    def _to(self, candidate: Candidate, hole: TcpHole | None) -> Attempt:
        endpoint = candidate.endpoint
        name = f"direct {endpoint}"
        match candidate.kind:
            case Kind.AWAIT if hole:
                name = f"direct to us at {endpoint}"
                run = partial(meet, hole, self._verified, self.report)
                return Attempt(name, run, pending=lambda: "nobody came")
            case Kind.PUNCH if hole and hole.endpoint.is_v6 == endpoint.is_v6:
                run = partial(meet, hole, self._verified, self.report, dial=endpoint)
                return Attempt(name, run, pending=lambda: hole.failure or "no answer")
            case Kind.UDP if self.hole_v6:
                return Attempt(f"{name} by UDP", partial(self._call, self.hole_v6, endpoint))
        return Attempt(name, partial(self._dial, endpoint))

    async def _dial(self, endpoint: Endpoint) -> VerifiedPath:
        address = ServerAddress(endpoint.ip, endpoint.port)
        try:
            stream = await connect_tcp(address, limit=MAX_PAYLOAD, timeout=DIAL_TIMEOUT)
        except OSError as error:
            raise NoPath(str(error)) from error
        return await self._verified(stream)

    async def _call(self, hole: UdpHole, endpoint: Endpoint) -> VerifiedPath:
        return await self._verified_by_udp(await call(hole, endpoint))

    async def _meet_by_udp(self, request: UdpRequest) -> VerifiedPath:
        return await self._verified_by_udp(await request.meet())

    async def _verified_by_udp(self, stream: FrameStream) -> VerifiedPath:
        return await _verified(f"direct {stream.remote} by UDP", stream, self.handshake())

    async def _verified(self, stream: FrameStream) -> VerifiedPath:
        return await _verified(f"direct {stream.remote}", stream, self.handshake())

    async def _relay(self) -> VerifiedPath:
        """Over the nearest relay that the peer takes."""
        nearest = await self._nearest()
        if nearest == self.offer.relay:
            return await self._over(nearest)
        try:
            return await self._over(nearest)
        except PeerRefused as refusal:  # it takes the one that it named, if no other
            self.report(f"relay {self.relays[nearest]}: {refusal}")
            return await self._over(self.offer.relay)

    async def _nearest(self) -> ServerAddress:
        """The one that a connection comes about with first; the offer's where none does."""
        if len(self.relays) == 1:
            return self.offer.relay
        at = await first_to_answer(list(self.relays.values()), RELAY_WITHIN)
        return next((relay for relay in self.relays if self.relays[relay] == at), self.offer.relay)

    async def _over(self, relay: ServerAddress) -> VerifiedPath:
        """A leg that ends or stays silent before the peer has opened is tried again; nothing else is."""
        name = f"relay {self.relays[relay]}"
        token = self._unused(self.offer.token)
        for tries_left in reversed(range(RELAY_TRIES)):
            ours = self.handshake()
            stream = await self._relay_leg(relay, token)
            try:
                return await _verified(name, stream, ours)
            except (ConnectionLost, DeadlineExceeded) as error:
                if ours.heard:
                    raise
                if not tries_left:
                    text = f"{self.peer} was not met at the {name} in {RELAY_TRIES} tries"
                    raise NoPath(text, hint="a relay that wants another key closes without a word") from error
                self.report(f"{name}: {error}; trying again")
                token = None
        raise AssertionError("unreachable")

    def _unused(self, token: str | None) -> str | None:
        """The responder's token, unless we have joined it before: no token is joined twice."""
        return token if token is not None and self.used.use(token, monotonic()) else None

    async def _relay_leg(self, relay: ServerAddress, token: str | None) -> FrameStream:
        at = self.relays[relay]
        if token is None:
            outcome = await converse(RelayRequest(self.peer, self.server, relay, fresh_token(), at=at))
        else:
            outcome = await converse(JoinRelay(self.server, at, token, self.peer))
        return outcome.streams[RELAY]


async def _verified(name: str, stream: FrameStream, handshake: Initiating) -> VerifiedPath:
    try:
        return VerifiedPath(name, stream, handshake, await handshaking.verify(stream, handshake))
    except BaseException:
        stream.abort()
        raise
