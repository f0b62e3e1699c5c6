"""A leg to a relay: the way between two peers that always works (docs/PROTOCOL.md 9.3 to 9.5).

A relay says nothing of its own. It reads one RequestRelay, holds the
connection until the other end has come with the same token, and joins the two;
the first payload that an initiator receives is the responder's SignedId. So a
conversation here is done as soon as RequestRelay is sent.

A leg that is closed, or silent for 5 s, before SignedId is tried again with a
fresh token, from :class:`RelayRequest` on: that is the business of whoever reads
the leg. (A stock relay can park both legs of a pair that arrive together.)
"""

from __future__ import annotations

from dataclasses import dataclass

from rdpeer.errors import LocalProtocolError, PeerSilent, ServerUnreachable
from rdpeer.protocol.conversation import (
    CloseStream,
    Command,
    DeadlineReached,
    Done,
    Event,
    Fail,
    OpenStream,
    SendFrame,
    Started,
    StreamFailed,
    StreamOpened,
)
from rdpeer.protocol.peer_answers import punch_failure, refused
from rdpeer.protocol.places import not_reached
from rdpeer.protocol.question import CONNECT_TIMEOUT, SERVER, Question, RendezvousServer
from rdpeer.values import PeerId, ServerAddress
from rdpeer.wire import rendezvous_pb2 as pb

RELAY = "relay"
"""The name of the stream that is kept."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The leg is up, in the kept stream RELAY; the other end may come, or be there already."""

    relay: ServerAddress
    token: str


class JoinRelay:
    """Connects to ``relay`` and shows ``token``. Done(Joined), keeping RELAY.

    Fails with ServerUnreachable. ``peer`` is the ID asked for; a responder names
    none. The caller has made sure that the relay is allowed.
    """

    def __init__(
        self, server: RendezvousServer, relay: ServerAddress, token: str, peer: PeerId | None = None
    ) -> None:
        self._server = server
        self._relay = relay
        self._token = token
        self._peer = peer
        self._deadline: float | None = None

    @property
    def deadline(self) -> float | None:
        return self._deadline

    def handle(self, event: Event, now: float) -> list[Command]:
        match event:
            case Started():
                self._deadline = now + CONNECT_TIMEOUT
                return [OpenStream(RELAY, self._relay)]
            case StreamOpened():
                return [SendFrame(RELAY, self._request()), Done(Joined(self._relay, self._token), (RELAY,))]
            case StreamFailed(reason=reason):
                return [Fail(not_reached(self._relay, reason, "the relay "))]
            case DeadlineReached():
                text = f"no answer from the relay {self._relay} for {CONNECT_TIMEOUT:.0f} s"
                return [Fail(ServerUnreachable(text))]
            case _:
                raise LocalProtocolError(f"a relay leg has no use for {type(event).__name__}")

    def _request(self) -> bytes:
        request = pb.RequestRelay(
            id=str(self._peer or ""),
            uuid=self._token,
            licence_key=self._server.licence_key,
            conn_type=pb.PORT_FORWARD if self._peer else pb.DEFAULT_CONN,
        )
        return pb.RendezvousMessage(request_relay=request).SerializeToString()


class RelayRequest(Question):
    """The initiator asks the responder to meet it at ``relay``, and goes there. Done(Joined), keeping RELAY.

    ``at`` is where it connects for that, if it is not ``relay``. ``token`` is a fresh one
    each time. The server passes the request on by UDP, so it is repeated: with the same
    token, of which a responder that heard both uses one.
    Fails with ServerUnreachable, ServerRefused, PeerSilent (no answer for 18 s: a
    server does not say that it knows no such ID), PeerRefused, what
    :func:`punch_failure` gives, or RemoteProtocolError.
    """

    waits = (3.0, 6.0, 9.0)
    expected = ("relay_response", "punch_hole_response")

    def __init__(
        self,
        peer: PeerId,
        server: RendezvousServer,
        relay: ServerAddress,
        token: str,
        *,
        at: ServerAddress | None = None,
    ) -> None:
        super().__init__(server.address)
        self._peer = peer
        self._server = server
        self._relay = relay
        self._at = at or relay
        self._token = token
        self._leg: JoinRelay | None = None

    @property
    def deadline(self) -> float | None:
        return self._leg.deadline if self._leg else super().deadline

    def handle(self, event: Event, now: float) -> list[Command]:
        return self._leg.handle(event, now) if self._leg else super().handle(event, now)

    def _request(self) -> pb.RendezvousMessage:
        request = pb.RequestRelay(
            id=str(self._peer),
            uuid=self._token,
            relay_server=str(self._relay),
            secure=True,
            licence_key=self._server.licence_key,
            conn_type=pb.PORT_FORWARD,
        )
        return pb.RendezvousMessage(request_relay=request)

    def _answered(self, message: pb.RendezvousMessage, now: float) -> list[Command]:
        if message.HasField("punch_hole_response"):
            return [Fail(punch_failure(message.punch_hole_response, self._peer, self._server, self._where))]
        if message.relay_response.refuse_reason:
            return [Fail(refused(self._peer, message.relay_response.refuse_reason))]
        self._leg = JoinRelay(self._server, self._at, self._token, self._peer)
        return [CloseStream(SERVER), *self._leg.handle(Started(), now)]

    def _silent(self) -> PeerSilent:
        return PeerSilent(f"{self._peer} did not answer the request for a relay for 18 s ({self._where})")
