"""The responder's answer to one notification (docs/PROTOCOL.md 2.6, 9.4).

    FetchLocalAddr   LocalAddr: the initiator shares our external address and dials our local
                     one, where we listen before we say so. Where we cannot: as for PunchHole.
    PunchHole        PunchHoleSent: the initiator dials the endpoint that this answer comes from,
                     where we listen and dial it, too, before we say so. Behind a symmetric NAT,
                     where only a relay is wanted, and where it cannot be: RelayResponse with a
                     fresh token, and we go to the relay that it names.
    RequestRelay     RelayResponse, and we go to the relay with the token that the initiator
                     named, if they will do.

The answer travels by TCP to the server, which finds the waiting initiator by
the mangled endpoint in the notification: it is copied back byte for byte.
"""

from __future__ import annotations

from dataclasses import dataclass

from rdpeer.errors import LocalProtocolError, ServerUnreachable
from rdpeer.protocol.conversation import (
    CloseStream,
    Command,
    DeadlineReached,
    Done,
    Event,
    Fail,
    Listen,
    ListenerFailed,
    ListenerOpened,
    OpenStream,
    SendFrame,
    Started,
    StreamClosed,
    StreamFailed,
    StreamOpened,
)
from rdpeer.protocol.nat import Mapping
from rdpeer.protocol.notifications import FetchLocalAddr, Notification, PunchHole, RequestRelay
from rdpeer.protocol.places import not_reached
from rdpeer.protocol.question import CONNECT_TIMEOUT, SERVER, RendezvousServer
from rdpeer.protocol.relay_leg import JoinRelay
from rdpeer.protocol.relays import Relays
from rdpeer.protocol.stock import STOCK_VERSION
from rdpeer.protocol.tokens import UsedTokens, is_token
from rdpeer.protocol.traversal import LISTENER, may_dial
from rdpeer.values import Endpoint, PeerId, ServerAddress, WebAddress, printable
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.endpoints import mangle


@dataclass(frozen=True, slots=True)
class Listening:
    """The initiator was told where the kept LISTENER is; ``local`` is that endpoint on our side."""

    local: Endpoint


@dataclass(frozen=True, slots=True)
class Refused:
    """The initiator was told why not; nothing is kept."""

    reason: str


@dataclass(frozen=True, slots=True)
class Dropped:
    """Nothing was answered; nothing is kept."""

    reason: str


@dataclass(slots=True)
class Responder:
    """What all answers of one registered peer share. ``mapping``: what is known of the NAT before us."""

    peer: PeerId
    server: RendezvousServer
    relays: Relays
    used: UsedTokens
    mapping: Mapping = Mapping.UNKNOWN
    relay_only: bool = False
    """No direct path can be had from here: nobody is told where we might listen."""

    @property
    def registered_at(self) -> ServerAddress:
        """The address where we are registered: another one of the same name may be another machine's, and
        a server takes an answer only from the address that it knows us by. To a WebSocket only the name
        leads."""
        where, ip = self.server.address, self.relays.server_ip
        return where if ip is None or isinstance(where, WebAddress) else ServerAddress(ip, where.port)


class Answer:
    """Answers ``notification``. Done with one of

    - Listening, keeping LISTENER: a FrameStream is accepted there;
    - Joined (rdpeer.protocol.relay_leg), keeping RELAY;
    - Refused or Dropped, keeping nothing.

    ``token``: a fresh one, for a relay that we choose. ``refuse``: the text with
    which to say no to whatever is asked. ``relay_only``: no direct path is offered.
    ``v6``: where we wait for the initiator's datagrams by IPv6.
    Fails with ServerUnreachable.
    """

    def __init__(
        self,
        responder: Responder,
        notification: Notification,
        token: str,
        *,
        refuse: str | None = None,
        relay_only: bool = False,
        v6: Endpoint | None = None,
    ) -> None:
        self._responder = responder
        self._notification = notification
        self._token = token
        self._refuse = refuse
        self._relay_only = relay_only or responder.relay_only or refuse is not None
        self._is_symmetric = responder.mapping is Mapping.SYMMETRIC
        self._v6 = mangle(v6, 0) if v6 else b""
        self._relay: ServerAddress | None = None
        self._leg: JoinRelay | None = None
        self._deadline: float | None = None

    @property
    def deadline(self) -> float | None:
        return self._leg.deadline if self._leg else self._deadline

    @property
    def dials(self) -> Endpoint | None:
        """The initiator's endpoint, if the answer promises that we dial it beside the relay.

        Behind a symmetric NAT nobody can come to us; but we can go to who is behind none.
        """
        return self._initiator if self._is_symmetric else None

    def handle(self, event: Event, now: float) -> list[Command]:
        if self._leg:
            return self._leg.handle(event, now)
        match event:
            case Started():
                return self._start(now)
            case StreamOpened(local=local):
                return self._opened(local, now)
            case ListenerOpened(local=local):
                return self._listening(local, now)
            case ListenerFailed():
                return self._to_relay(now)
            case StreamFailed(reason=reason):
                return [Fail(not_reached(self._where, reason))]
            case StreamClosed():
                return [Fail(ServerUnreachable(f"{self._where} closed the connection before our answer"))]
            case DeadlineReached():
                return [Fail(ServerUnreachable(f"no answer from {self._where} for {CONNECT_TIMEOUT:.0f} s"))]
            case _:
                raise LocalProtocolError(f"an answer has no use for {type(event).__name__}")

    # What to answer

    def _start(self, now: float) -> list[Command]:
        relays, asked = self._responder.relays, self._notification
        if isinstance(asked, RequestRelay):
            if not is_token(asked.token):
                return [Done(Dropped("the pairing token is not a UUID"))]
            self._token = asked.token
            self._choose_asked(asked, now)
        else:
            if asked.relay_server:
                relays.name(asked.relay_server, now)
            self._relay = relays.ours(asked.relay_server)
        if not self._refuse and not self._responder.used.use(self._token, now):
            return [Done(Dropped("the pairing token was used before"))]
        self._deadline = now + CONNECT_TIMEOUT
        return [OpenStream(SERVER, self._responder.registered_at, reuse=self._listens)]

    def _choose_asked(self, asked: RequestRelay, now: float) -> None:
        """The relay is the initiator's word: taken if it is one of ours, else refused."""
        try:
            relay = self._responder.relays.read(asked.relay_server)
        except ValueError:
            relay = None
        if relay and self._responder.relays.allows(relay, now):
            self._relay = relay
        elif not self._refuse:
            self._refuse = f"relay {printable(asked.relay_server, 80)} is not allowed here"

    def _opened(self, local: Endpoint, now: float) -> list[Command]:
        if self._refuse:
            answer = pb.RelayResponse(refuse_reason=self._refuse, id=str(self._responder.peer))
            return [*self._send(answer), Done(Refused(self._refuse))]
        dial = self._initiator
        if not self._listens or (dial and dial.is_v6 != local.is_v6):
            return self._to_relay(now)
        return [Listen(LISTENER, beside=SERVER, dial=dial)]

    def _listening(self, local: Endpoint, now: float) -> list[Command]:
        answer: pb.LocalAddr | pb.PunchHoleSent
        if isinstance(self._notification, FetchLocalAddr):
            # Any 32-bit number will do for tm (docs/PROTOCOL.md 10.2); stock takes the time.
            answer = pb.LocalAddr(local_addr=mangle(local, int(now * 1_000_000) & 0xFFFFFFFF))
        else:
            answer = pb.PunchHoleSent(nat_type=self._responder.mapping.value)
        answer.relay_server = str(self._relay)
        answer.id = str(self._responder.peer)
        return [*self._send(answer), Done(Listening(local), (LISTENER,))]

    def _to_relay(self, now: float) -> list[Command]:
        assert self._relay is not None  # noqa: S101 - without one the request was refused
        relay = self._responder.relays.reach(self._relay)
        self._leg = JoinRelay(self._responder.server, relay, self._token)
        if isinstance(self._notification, RequestRelay):
            answer = pb.RelayResponse()
        else:
            answer = pb.RelayResponse(
                uuid=self._token,
                relay_server=str(self._relay),
                id=str(self._responder.peer),
                dials=self.dials is not None,
            )
        return [*self._send(answer), *self._leg.handle(Started(), now)]

    def _send(self, answer: pb.RelayResponse | pb.LocalAddr | pb.PunchHoleSent) -> list[Command]:
        answer.socket_addr = self._notification.initiator
        answer.version = STOCK_VERSION
        answer.socket_addr_v6 = self._v6
        match answer:
            case pb.LocalAddr():
                message = pb.RendezvousMessage(local_addr=answer)
            case pb.PunchHoleSent():
                message = pb.RendezvousMessage(punch_hole_sent=answer)
            case _:
                message = pb.RendezvousMessage(relay_response=answer)
        return [SendFrame(SERVER, message.SerializeToString()), CloseStream(SERVER)]

    @property
    def _listens(self) -> bool:
        """Whether the answer is to be an endpoint of ours."""
        if isinstance(self._notification, FetchLocalAddr):
            return not self._relay_only
        return self._initiator is not None and not self._is_symmetric

    @property
    def _initiator(self) -> Endpoint | None:
        """The initiator's endpoint, where it is one that we are to dial."""
        asked = self._notification
        if self._relay_only or not isinstance(asked, PunchHole) or asked.relay_only:
            return None
        endpoint = asked.endpoint
        return endpoint if endpoint and may_dial(endpoint, self._responder.relays.server_ip) else None

    @property
    def _where(self) -> ServerAddress:
        return self._responder.server.address
