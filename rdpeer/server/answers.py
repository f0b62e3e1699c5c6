"""What a peer answers, made into what the initiator hears, without I/O (docs/PROTOCOL.md 2.2, 9.4).

An answer counts if it brings a question's mark, byte for byte, and the ID that
was asked for. Where the mark alone could be known to others (an IPv6
initiator's has no random part) or where the answer names an address that the
initiator will connect to (LocalAddr), it must come from the peer's registered
IP address too (IPv6: its /64).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from rdpeer.crypto.identities import sign_id_pk
from rdpeer.errors import RemoteProtocolError
from rdpeer.server.commands import Caller, Send
from rdpeer.server.forwards import Forwards
from rdpeer.server.presence import Presence
from rdpeer.server.questions import Pending, Question
from rdpeer.server.rates import network
from rdpeer.values import Endpoint, printable
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.endpoints import mangle, unmangle

_UDP_ANSWER = 10.0


class Answers:
    """Matches answers to questions. Each method returns what goes to the initiator, and closes the question;
    RemoteProtocolError for an answer that does not count."""

    def __init__(
        self,
        registry: Presence,
        questions: Pending,
        forwards: Forwards,
        draw: Callable[[], int],
    ) -> None:
        self._registry = registry
        self._questions = questions
        self._forwards = forwards
        self._draw = draw

    def hole_punched(self, caller: Caller, sent: wire.PunchHoleSent, now: float) -> Send:
        """The peer listens where its connection to us comes from."""
        question = self._match(caller.remote, sent.socket_addr, sent.id, now)
        self._forwards.answered(caller.remote.ip, now)
        return self._punched(question, caller.remote, sent, is_udp=False)

    def hole_punched_by_udp(self, source: Endpoint, sent: wire.PunchHoleSent, now: float) -> Send:
        """The peer waits for datagrams where this one came from (docs/PROTOCOL.md 2.1).

        A source can be forged: so this counts for 10 s, and proves nothing about the address.
        """
        question = self._match(source, sent.socket_addr, sent.id, now, from_home=True, within=_UDP_ANSWER)
        return self._punched(question, source, sent, is_udp=True)

    def local_address(self, caller: Caller, answer: wire.LocalAddr, now: float) -> Send:
        """The peer listens at an address of its own network, the initiator's too as it seems."""
        local = unmangle(answer.local_addr)
        if local is None:
            raise RemoteProtocolError("a local address without a port")
        question = self._match(caller.remote, answer.socket_addr, answer.id, now, from_home=True)
        self._forwards.answered(caller.remote.ip, now)
        response = wire.PunchHoleResponse(
            socket_addr=mangle(local, self._draw()),
            pk=self._signed(question, answer.version),
            relay_server=answer.relay_server,
            is_local=True,
            socket_addr_v6=v6_only(answer.socket_addr_v6),
        )
        return self._send(question, wire.RendezvousMessage(punch_hole_response=response))

    def relayed(self, caller: Caller, answer: wire.RelayResponse, now: float) -> Send:
        """The peer waits at a relay, is on its way to the one requested, or refuses.

        The answer to a RequestRelay carries no ID, and then it gets no key.
        """
        named = answer.WhichOneof("union") == "id"
        question = self._match(caller.remote, answer.socket_addr, answer.id if named else None, now)
        self._forwards.answered(caller.remote.ip, now)
        response = wire.RelayResponse(
            uuid=answer.uuid,
            relay_server=answer.relay_server,
            refuse_reason=answer.refuse_reason,
            version=answer.version,
            feedback=answer.feedback,
            socket_addr_v6=v6_only(answer.socket_addr_v6),
            upnp_port=known_port(answer.upnp_port),
            dials=answer.dials,
        )
        if named:
            response.pk = self._signed(question, answer.version)
        return self._send(question, wire.RendezvousMessage(relay_response=response))

    def _punched(
        self, question: Question, where: Endpoint, sent: wire.PunchHoleSent, *, is_udp: bool
    ) -> Send:
        response = wire.PunchHoleResponse(
            socket_addr=mangle(where, self._draw()),
            pk=self._signed(question, sent.version),
            relay_server=sent.relay_server,
            nat_type=known_nat_type(sent.nat_type),
            is_udp=is_udp,
            upnp_port=known_port(sent.upnp_port),
            socket_addr_v6=v6_only(sent.socket_addr_v6),
        )
        return self._send(question, wire.RendezvousMessage(punch_hole_response=response))

    def _match(
        self,
        source: Endpoint,
        mark: bytes,
        peer_id: str | None,
        now: float,
        *,
        from_home: bool = False,
        within: float = math.inf,
    ) -> Question:
        question = self._questions.find(mark, now)
        if question is None or now - question.asked > within:
            raise RemoteProtocolError("an answer that nobody waits for")
        if peer_id is not None and peer_id != question.peer_id:
            raise RemoteProtocolError(
                f"an answer of {printable(peer_id)} to a question for {printable(question.peer_id)}"
            )
        peer = self._registry.get(question.peer_id)
        if peer is None:
            raise RemoteProtocolError(f"an answer for {printable(question.peer_id)}, who was removed")
        home = peer.registration.ip
        if (from_home or question.initiator.is_v6) and network(source.ip) != network(home):
            raise RemoteProtocolError(f"an answer for {printable(question.peer_id)} from another address")
        self._questions.close(question)
        return question

    def _send(self, question: Question, message: wire.RendezvousMessage) -> Send:
        return Send(question.connection, message.SerializeToString())

    def _signed(self, question: Question, version: str) -> bytes:
        """The peer's key, signed with the key that the initiator named; none for a peer without a version,
        as stock has it."""
        peer = self._registry.get(question.peer_id)
        if not version or peer is None:
            return b""
        return sign_id_pk(question.key, question.peer_id, peer.registration.pk)


def known_nat_type(nat_type: wire.NatType.ValueType) -> wire.NatType.ValueType:
    """The wire's enums are open: a number that nobody defined becomes UNKNOWN_NAT."""
    return nat_type if nat_type in wire.NatType.values() else wire.UNKNOWN_NAT


def known_port(port: int) -> int:
    """``port``, or 0 where it cannot be one."""
    return port if 0 < port < 65536 else 0


def v6_only(mangled: bytes) -> bytes:
    """A mangled IPv6 endpoint made anew; empty where there is none, or something else."""
    try:
        endpoint = unmangle(mangled)
    except RemoteProtocolError:
        return b""
    return mangle(endpoint, 0) if endpoint is not None and endpoint.is_v6 else b""
