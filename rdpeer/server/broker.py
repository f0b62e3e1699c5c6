"""Bringing two peers together, without I/O (docs/PROTOCOL.md 2.2, 2.3, 9.3).

The initiator asks over TCP; we tell the peer by UDP, where it is registered;
the peer answers over a TCP connection of its own, and its answer goes to the
initiator with the peer's key, signed by the server (``rdpeer.server.answers``).
Nothing is sent on as it came: every message is built anew from known fields.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rdpeer.crypto.keys import IdentityKey
from rdpeer.errors import RemoteProtocolError
from rdpeer.server.answers import Answers, known_nat_type, known_port, v6_only
from rdpeer.server.commands import Caller, Close, Command, Keep, Notify, Register, Seal, Send
from rdpeer.server.forwards import Forwards
from rdpeer.server.journal import Journal
from rdpeer.server.keys import Keys
from rdpeer.server.limits import Limits
from rdpeer.server.presence import Known, Presence
from rdpeer.server.queries import answer_query
from rdpeer.server.questions import Pending, Question
from rdpeer.server.rates import Recent, network
from rdpeer.server.registry import Line, Sender, Source
from rdpeer.server.relays import Relays
from rdpeer.values import Endpoint, printable
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.messages import parse

MAX_TOKEN = 128
"""Bytes of a pairing token; at least one."""

_ADMITTED_FOR = 60.0
_MAX_SWITCH_CODE = 64

Response = wire.PunchHoleResponse


class _Admitted(NamedTuple):
    """Who presented ``key`` at ``at``."""

    at: float
    key: IdentityKey


class Broker:
    """``always_relay`` keeps peers from direct paths; ``draw`` gives a random number from 0 to 2**32 - 1."""

    def __init__(
        self,
        registry: Presence,
        questions: Pending,
        keys: Keys,
        relays: Relays,
        limits: Limits,
        draw: Callable[[], int],
        *,
        always_relay: bool = False,
        journal: Journal | None = None,
    ) -> None:
        self.always_relay = always_relay
        self._journal = journal or Journal()
        self._registry = registry
        self._keys = keys
        self._relays = relays
        self._questions = questions
        self._forwards = Forwards(limits.sources)
        self._answers = Answers(registry, self._questions, self._forwards, draw)
        self._admitted: Recent[tuple[str, str], _Admitted] = Recent(limits.sources)

    def receive(self, caller: Caller, payload: bytes, now: float) -> list[Command]:
        """What to do about one frame."""
        try:
            message = parse(wire.RendezvousMessage, payload)
            return self._dispatch(caller, message, now)
        except RemoteProtocolError as error:
            self._journal.note("message", "refused", caller.remote, why=error, path=caller.path)
            return [Close()]

    def punched_by_udp(self, source: Sender, sent: wire.PunchHoleSent, now: float) -> list[Command]:
        """A peer says by UDP that it has punched a hole; whoever else says so is not answered."""
        remote = Endpoint.of(source)
        try:
            send = self._answers.hole_punched_by_udp(remote, sent, now)
        except RemoteProtocolError:
            self._journal.count("answer", "refused")  # not logged: anybody can send any number of them
            return []
        self._journal.note("answer", "passed on", remote, sent.id, "punch_hole_sent", path="udp")
        return [send]

    def closed(self, connection: int) -> None:
        """The connection is gone, and with it what it asked."""
        self._questions.forget(connection)

    def _dispatch(self, caller: Caller, message: wire.RendezvousMessage, now: float) -> list[Command]:
        match message.WhichOneof("union"):
            case "punch_hole_request":
                return self._punch(caller, message.punch_hole_request, now)
            case "request_relay":
                return self._relay(caller, message.request_relay, now)
            case "punch_hole_sent" | "local_addr" | "relay_response":
                return [self._answer(caller, message, now), Close()]
            case "register_peer" | "register_pk":
                return [Register(caller.line, message)]
            case "hc":  # who has no account here either: its token says nothing to us
                self._journal.note("query", "answered", caller.remote, why="hc", path=caller.path)
                return [Keep(caller.connection)]
            case "key_exchange":
                return [Seal(caller.connection, message.key_exchange.keys)]
        answer = self.query(caller, message, now)
        return [Close()] if answer is None else [Send(caller.connection, answer), Close()]

    def query(self, caller: Caller, message: wire.RendezvousMessage, now: float) -> bytes | None:
        """The answer to what anyone may ask; None to everything else."""
        answer = answer_query(message, caller.remote, self._registry, now)
        decision, what = "refused" if answer is None else "answered", message.WhichOneof("union") or "nothing"
        self._journal.note("query", decision, caller.remote, why=what, path=caller.path)
        return answer

    def _answer(self, caller: Caller, message: wire.RendezvousMessage, now: float) -> Send:
        what = message.WhichOneof("union")
        match what:
            case "punch_hole_sent":
                peer_id = message.punch_hole_sent.id
                send = self._answers.hole_punched(caller, message.punch_hole_sent, now)
            case "local_addr":
                peer_id = message.local_addr.id
                send = self._answers.local_address(caller, message.local_addr, now)
            case _:
                peer_id = message.relay_response.id
                send = self._answers.relayed(caller, message.relay_response, now)
        self._journal.note("answer", "passed on", caller.remote, peer_id, what, path=caller.path)
        return send

    def _punch(self, caller: Caller, request: wire.PunchHoleRequest, now: float) -> list[Command]:
        key = self._keys.named(request.licence_key)
        if key is None:
            return self._failure(caller, request.id, Response.LICENSE_MISMATCH)
        if self._registry.get(request.id) is None:
            return self._failure(caller, request.id, Response.ID_NOT_EXIST)
        peer = self._registry.online(request.id, now)
        if peer is None:
            return self._failure(caller, request.id, Response.OFFLINE)
        self._admitted.store((network(caller.remote.ip), request.id), _Admitted(now, key))
        question = self._ask(caller, request.id, key, now)
        relayed = request.force_relay or self.always_relay
        if _same_ip(caller, peer) and not relayed:
            return self._notify(caller, peer, question, self._fetch_local_address(question, request), now)
        return self._notify(caller, peer, question, self._punch_hole(question, request, relayed=relayed), now)

    def _fetch_local_address(
        self, question: Question, request: wire.PunchHoleRequest
    ) -> wire.RendezvousMessage:
        fetch = wire.FetchLocalAddr(
            socket_addr=question.mark,
            relay_server=question.relay_server,
            socket_addr_v6=v6_only(request.socket_addr_v6),
        )
        return wire.RendezvousMessage(fetch_local_addr=fetch)

    def _punch_hole(
        self, question: Question, request: wire.PunchHoleRequest, *, relayed: bool
    ) -> wire.RendezvousMessage:
        punch = wire.PunchHole(
            socket_addr=question.mark,
            relay_server=question.relay_server,
            # One that knows nothing of force_relay relays when it is told SYMMETRIC.
            nat_type=wire.SYMMETRIC if relayed else known_nat_type(request.nat_type),
            udp_port=0 if relayed else _udp_port(question.initiator, request.udp_port),
            force_relay=relayed,
            upnp_port=known_port(request.upnp_port),
            socket_addr_v6=v6_only(request.socket_addr_v6),
        )
        return wire.RendezvousMessage(punch_hole=punch)

    def _relay(self, caller: Caller, request: wire.RequestRelay, now: float) -> list[Command]:
        """Stock's initiator presents no key here: it counts that it did in its PunchHoleRequest."""
        key = self._key_of(caller, request, now)
        if key is None:
            raise RemoteProtocolError(f"a relay to {printable(request.id)} was requested without the key")
        if not 0 < len(request.uuid.encode()) <= MAX_TOKEN:
            raise RemoteProtocolError("a relay was requested without a fit token")
        peer = self._registry.online(request.id, now)
        if peer is None:
            self._journal.note("relay", "refused", caller.remote, request.id, "OFFLINE", path=caller.path)
            return []  # as stock: no message says it
        question = self._ask(caller, request.id, key, now)
        relay = wire.RequestRelay(
            id=request.id,
            uuid=request.uuid,
            socket_addr=question.mark,
            relay_server=request.relay_server,
            secure=request.secure,
            conn_type=request.conn_type,
            switch_code=request.switch_code[:_MAX_SWITCH_CODE],
        )
        return self._notify(caller, peer, question, wire.RendezvousMessage(request_relay=relay), now)

    def _key_of(self, caller: Caller, request: wire.RequestRelay, now: float) -> IdentityKey | None:
        if request.licence_key:
            return self._keys.named(request.licence_key)
        admitted = self._admitted.get((network(caller.remote.ip), request.id))
        return admitted.key if admitted is not None and now - admitted.at < _ADMITTED_FOR else None

    def _ask(self, caller: Caller, peer_id: str, key: IdentityKey, now: float) -> Question:
        question = self._questions.ask(
            caller.connection, caller.remote, peer_id, key, self._relays.choose, now
        )
        if question is None:
            raise RemoteProtocolError("too many requests on one connection")
        return question

    def _failure(self, caller: Caller, peer_id: str, failure: Response.Failure.ValueType) -> list[Command]:
        why = Response.Failure.Name(failure)
        self._journal.note("connect", "refused", caller.remote, peer_id, why, path=caller.path)
        answer = wire.RendezvousMessage(punch_hole_response=Response(failure=failure))
        return [Send(caller.connection, answer.SerializeToString())]

    def _notify(
        self, caller: Caller, peer: Known, question: Question, message: wire.RendezvousMessage, now: float
    ) -> list[Command]:
        payload, what = message.SerializeToString(), message.WhichOneof("union")
        source = peer.source
        is_sent = source is not None and self._may_send(source, payload, now)
        decision = "passed on" if is_sent else "dropped"
        self._journal.note("connect", decision, caller.remote, question.peer_id, what, path=caller.path)
        return [Notify(source, peer.via, payload)] if source is not None and is_sent else []

    def _may_send(self, source: Source, payload: bytes, now: float) -> bool:
        """Whoever is at the end of a line is no victim: nobody else can have opened it."""
        return isinstance(source, Line) or self._forwards.allow(source[0], payload, now)


def _udp_port(initiator: Endpoint, port: int) -> int:
    """Where the peer is to punch by UDP. Its answer would come by UDP, too, and nothing in the mark of an
    IPv6 initiator keeps others from forging it: such a one offers its address in socket_addr_v6."""
    return 0 if initiator.is_v6 else known_port(port)


def _same_ip(caller: Caller, peer: Known) -> bool:
    """Behind one public address, so perhaps in one network: worth asking for its local address. Who came
    over a proxy or the web has none that leads to it, and dials none either."""
    source = peer.source
    if source is None or isinstance(source, Line) or caller.path == "ws":
        return False
    return Endpoint.of(source).ip == caller.remote.ip
