"""Asking the rendezvous server for a peer (docs/PROTOCOL.md 2.3, 9.3).

The server passes the request on to the responder, and the responder's answer
back, signed key added. The answer is an endpoint to dial, or a relay at which
the responder already waits.

A responder that is to punch a hole sends its first packet to the port that we
ask from, before it answers. So we listen there before we ask: where no NAT is
in the way, that packet is already the path.
"""

from __future__ import annotations

from dataclasses import dataclass

from rdpeer.errors import IdentityMismatch, PeerSilent, RemoteProtocolError, ServerRefused
from rdpeer.protocol.conversation import (
    Command,
    Done,
    Event,
    Fail,
    Listen,
    ListenerFailed,
    ListenerOpened,
)
from rdpeer.protocol.peer_answers import punch_failure, refused, signed_key
from rdpeer.protocol.question import SERVER, Question, RendezvousServer
from rdpeer.protocol.relays import Relays
from rdpeer.protocol.stock import STOCK_VERSION
from rdpeer.protocol.tokens import is_token
from rdpeer.protocol.traversal import LISTENER, Candidate, Kind, may_dial, may_meet_v6
from rdpeer.values import Endpoint, PeerId, PublicKey, ServerAddress, printable
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.endpoints import mangle, unmangle


@dataclass(frozen=True, slots=True)
class Offer:
    """How the peer may be reached.

    ``peer_key`` is what the server vouches for, verified under its configured
    key; None where the server signs no keys. ``candidates`` are the direct ways.
    Where ``token`` is given (it may be empty), the responder waits at ``relay``
    with it: join there, and do not ask for a relay again. Else ``relay`` is the
    one to ask for. ``local`` is our end of the connection to the server: the
    endpoint whose mapping the responder was told.
    """

    peer_key: PublicKey | None
    candidates: tuple[Candidate, ...]
    relay: ServerAddress
    token: str | None
    local: Endpoint

    @property
    def external(self) -> Endpoint | None:
        """Where the server sees the peer, if it said."""
        return next((one.endpoint for one in self.candidates if one.kind is Kind.PUNCH), None)


class PunchRequest(Question):
    """Asks for ``peer``; Done(Offer), which keeps LISTENER if a candidate needs our port.

    ``force_relay``: the answer is to be a relay; said in the field for it and, since
    stock servers drop that field, by calling our NAT symmetric too. That is all that
    any responder reads of our NAT; so a NAT that is in fact symmetric is not called
    so (a peer without NAT can still be dialled from behind it), and none is probed.

    ``udp_port``: the port at which the server sees our datagrams come from; then nothing
    is asked for but to be met there. ``v6``: our endpoint, where we may be met by IPv6.

    Fails with ServerUnreachable, ServerRefused, PeerUnknown, PeerOffline,
    PeerSilent (18 s), PeerRefused, IdentityMismatch, RemoteProtocolError.
    """

    waits = (3.0, 6.0, 9.0)
    expected = ("punch_hole_response", "relay_response")

    def __init__(
        self,
        peer: PeerId,
        server: RendezvousServer,
        relays: Relays,
        *,
        force_relay: bool = False,
        udp_port: int = 0,
        v6: Endpoint | None = None,
    ) -> None:
        super().__init__(server.address)
        self._udp_port = udp_port
        self._v6 = v6
        self._peer = peer
        self._server = server
        self._relays = relays
        self._force_relay = force_relay
        self.reuse = not force_relay and not udp_port
        self._listening = False

    def handle(self, event: Event, now: float) -> list[Command]:
        match event:
            case ListenerOpened():
                self._listening = True
                return self._ask(now)
            case ListenerFailed():
                return self._ask(now)
            case _:
                return super().handle(event, now)

    def _opened(self, now: float) -> list[Command]:
        return [Listen(LISTENER, beside=SERVER)] if self.reuse else self._ask(now)

    def _request(self) -> pb.RendezvousMessage:
        request = pb.PunchHoleRequest(
            id=str(self._peer),
            nat_type=pb.SYMMETRIC if self._force_relay else pb.UNKNOWN_NAT,
            licence_key=self._server.licence_key,
            conn_type=pb.PORT_FORWARD,
            version=STOCK_VERSION,
            force_relay=self._force_relay,
            udp_port=self._udp_port,
            socket_addr_v6=mangle(self._v6, 0) if self._v6 else b"",
        )
        return pb.RendezvousMessage(punch_hole_request=request)

    def _answered(self, message: pb.RendezvousMessage, now: float) -> list[Command]:
        self._relays.server_ip = self._remote.ip if self._remote else None
        try:
            if message.HasField("relay_response"):
                end = self._relayed(message.relay_response)
            else:
                end = self._punched(message.punch_hole_response)
        except (IdentityMismatch, RemoteProtocolError) as error:
            return [Fail(error)]
        return [end]

    def _punched(self, answer: pb.PunchHoleResponse) -> Done | Fail:
        endpoint = unmangle(answer.socket_addr)
        if endpoint is None:
            return Fail(punch_failure(answer, self._peer, self._server, self._where))
        return self._offer(
            blob=answer.pk,
            candidates=(*self._at(endpoint, answer), *self._by_v6(answer.socket_addr_v6)),
            relay=self._relays.theirs(answer.relay_server),
            token=None,
        )

    def _at(self, endpoint: Endpoint, answer: pb.PunchHoleResponse) -> tuple[Candidate, ...]:
        """The candidate at which the peer says it is, if it is there by what we asked for."""
        if answer.is_udp != bool(self._udp_port) or not may_dial(endpoint, self._relays.server_ip):
            return ()
        kind = Kind.UDP if answer.is_udp else Kind.LOCAL if answer.is_local else Kind.PUNCH
        return (Candidate(kind, endpoint),)

    def _by_v6(self, mangled: bytes) -> tuple[Candidate, ...]:
        endpoint = unmangle(mangled)
        if self._v6 is None or endpoint is None or not may_meet_v6(endpoint, self._relays.server_ip):
            return ()
        return (Candidate(Kind.UDP, endpoint),)

    def _relayed(self, answer: pb.RelayResponse) -> Done | Fail:
        if answer.refuse_reason:
            return Fail(refused(self._peer, answer.refuse_reason))
        if not is_token(answer.uuid):
            raise RemoteProtocolError(f"the pairing token from {self._peer} is not a UUID")
        try:
            relay = self._relays.read(answer.relay_server)
        except ValueError:
            name = printable(answer.relay_server)
            raise RemoteProtocolError(f"the relay of {self._peer} cannot be read: {name}") from None
        assert self._local is not None  # noqa: S101 - as above
        comes = answer.dials and self._listening
        candidates = self._by_v6(answer.socket_addr_v6)
        if comes:
            candidates += (Candidate(Kind.AWAIT, self._local),)
        return self._offer(blob=answer.pk, candidates=candidates, relay=relay, token=answer.uuid)

    def _offer(
        self, *, blob: bytes, candidates: tuple[Candidate, ...], relay: ServerAddress, token: str | None
    ) -> Done:
        assert self._local is not None  # noqa: S101 - as above
        key = signed_key(blob, self._peer, self._server)
        needs_port = self._listening and any(c.kind in (Kind.PUNCH, Kind.AWAIT) for c in candidates)
        return Done(Offer(key, candidates, relay, token, self._local), (LISTENER,) if needs_port else ())

    def _silent(self) -> PeerSilent:
        return PeerSilent(f"{self._peer} is registered at {self._where}, but did not answer for 18 s")

    def _closed(self) -> ServerRefused:
        return ServerRefused(
            f"{self._where} closed the connection without an answer about {self._peer}",
            hint="the smallest servers do so when they do not know the ID",
        )
