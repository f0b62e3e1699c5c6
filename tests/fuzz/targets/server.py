"""The server: registrations, the broker, and the relay's pairing; what they write into the log, too."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from rdpeer.crypto.keys import ExchangeKey
from rdpeer.crypto.possession import Possession
from rdpeer.errors import RemoteProtocolError
from rdpeer.server import journal
from rdpeer.server.blocks import Blocks
from rdpeer.server.broker import Broker
from rdpeer.server.commands import Caller, Close, Command, Keep, Notify, Register, Seal, Send
from rdpeer.server.greeting import Greeting
from rdpeer.server.journal import Journal
from rdpeer.server.keys import Keys
from rdpeer.server.limits import MAX_FORWARD, Limits
from rdpeer.server.pairing import Pairing, request_in
from rdpeer.server.proofs import Proofs
from rdpeer.server.questions import Questions
from rdpeer.server.registration import Registrations, Save, _usual_register_peer
from rdpeer.server.registry import Registration, Registry, Sender
from rdpeer.server.relays import Relays
from rdpeer.values import Endpoint, ServerAddress
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.endpoints import mangle
from rdpeer.wire.messages import parse

from .decoders import KEY, PEER, fixed, rendezvous
from .script import Target, pieces, refusing, script

HOME: Sender = ("10.77.0.9", 40000)
SOURCES: list[Sender] = [HOME, ("10.77.0.10", 40000), ("2001:db8::9", 40000, 0, 0), ("192.0.2.66", 9)]
CALLERS = [
    Caller(1, Endpoint("10.77.0.8", 50000)),
    Caller(2, Endpoint("10.77.0.9", 41000)),
    Caller(3, Endpoint("2001:db8::8", 50000)),
    Caller(4, Endpoint("10.77.0.9", 50000), "ws"),
]
LIMITS = Limits(peers=4, waiting=2, unsaved=2, sources=4, questions=4, tokens=4)
"""So small that they are met."""


class Server:
    """Registrations and broker over one registry, with one peer that is online."""

    def __init__(self) -> None:
        registry, keys, draws = Registry(), Keys(KEY, date=lambda: 0.0), itertools.count(7)
        registry.save(Registration(str(PEER), b"uuid", KEY.public.raw, HOME[0])).heard(HOME, 0, 0.0)
        notes, draw = Journal(clock=lambda: 0.0), lambda: next(draws)
        blocks = Blocks(["203.0.113.0/24", "666666666"])
        self.proofs = Proofs(keys, LIMITS.sources, fixed)
        self.registrations = Registrations(registry, LIMITS, blocks, journal=notes, proofs=self.proofs)
        relays = Relays([ServerAddress("relay.example", 21117)])
        self.broker = Broker(registry, Questions(LIMITS, draw), keys, relays, LIMITS, draw, journal=notes)


def registrations(data: bytes) -> None:
    """By UDP. A piece begins with where it comes from, whether it can be saved, and the seconds before it."""
    server, now = Server(), 0.0
    with _reading_the_log():
        for piece in pieces(data):
            head, datagram = piece[0] if piece else 0, piece[1:]
            source, now = SOURCES[head & 3], now + (head >> 3)
            _read_by_hand(datagram)
            answer = server.registrations.receive(datagram, source, 0, now)
            if isinstance(answer, Save):
                saved = server.registrations.saved
                answer = saved(answer, now) if not head & 4 else server.registrations.save_failed(answer)
            if isinstance(answer, wire.PunchHoleSent):
                _check(server.broker.punched_by_udp(source, answer, now))
            elif answer is not None:
                assert len(answer) <= max(len(datagram), 8), "it amplifies"
                parse(wire.RendezvousMessage, answer) if answer[0] != 1 else None


def _read_by_hand(datagram: bytes) -> None:
    """What is read by hand is what the schema reads."""
    read = _usual_register_peer(datagram)
    assert read is None or parse(wire.RendezvousMessage, datagram).register_peer.id == read


def broker(data: bytes) -> None:
    """By TCP and WebSocket. A piece begins with who says it and the seconds before it."""
    server, now = Server(), 0.0
    with _reading_the_log():
        for piece in pieces(data):
            head = piece[0] if piece else 0
            caller, now = CALLERS[head & 3], now + (head >> 3)
            for command in _check(server.broker.receive(caller, piece[1:], now)):
                _obey(server, command, now)
            if head & 4:
                server.broker.closed(caller.connection)


def _check(commands: list[Command]) -> list[Command]:
    """Few, and each message one that can be read; what goes to a peer is short."""
    assert len(commands) <= 2
    for command in commands:
        assert isinstance(command, Send | Notify | Register | Keep | Seal | Close)
        if isinstance(command, Send | Notify):
            parse(wire.RendezvousMessage, command.payload)
        assert not isinstance(command, Notify) or len(command.payload) <= MAX_FORWARD
    return commands


def _obey(server: Server, command: Command, now: float) -> None:
    if isinstance(command, Register):
        answer = server.registrations.receive_over(command.line, command.message, now)
        if isinstance(answer, Save):
            answer = server.registrations.saved(answer, now)
        assert answer is None or parse(wire.RendezvousMessage, answer)
    elif isinstance(command, Seal):
        with refusing(RemoteProtocolError):
            Greeting(KEY).answered(command.keys)


def pairing(data: bytes) -> None:
    """Legs at the relay, one a piece, each with the seconds before it; a token makes one pair."""
    table = Pairing(Keys(KEY, date=lambda: 0.0).accepts, LIMITS)
    parked: set[int] = set()
    now = 0.0
    for leg, piece in enumerate(pieces(data)):
        now += piece[0] if piece else 0
        parked -= set(table.overdue(now))
        with refusing(RemoteProtocolError):
            other = table.arrive(leg, request_in(piece[1:]), now)
            if other is None:
                parked.add(leg)
            else:
                parked.remove(other)
    assert len(table._used) <= LIMITS.tokens


class _Reader(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        assert record.getMessage().isprintable(), record.getMessage()


@contextmanager
def _reading_the_log() -> Iterator[None]:
    """Each line of the log is one, and fit for a terminal."""
    reader, level = _Reader(), journal.log.level
    journal.log.addHandler(reader)
    journal.log.setLevel(logging.INFO)
    propagates, journal.log.propagate = journal.log.propagate, False
    try:
        yield
    finally:
        journal.log.removeHandler(reader)
        journal.log.setLevel(level)
        journal.log.propagate = propagates


def _registering() -> list[bytes]:
    """Stock's peer, then one of ours, which proves its key."""
    cookie = Server().proofs.cookie(SOURCES[1], 0.0)
    proof = Possession(KEY, KEY.public).proof("710300010", b"other", cookie)
    members = [
        wire.RegisterPeer(id=str(PEER), serial=1),
        wire.RegisterPeer(id="710300010", padding=bytes(16)),
        wire.RegisterPk(id=str(PEER), uuid=b"uuid", pk=bytes(32)),
        wire.RegisterPk(id="710300010", uuid=b"other", pk=KEY.public.raw, cookie=cookie, signature=proof),
        wire.TestNatRequest(),
    ]
    return [b"\1" + rendezvous(member) for member in members]


def _brokering() -> list[bytes]:
    """Questions and all their answers, with who says them."""
    peer, mark, v6 = str(PEER), mangle(CALLERS[0].remote, 7), mangle(Endpoint("2001:db8::8", 9), 7)
    key, ours = KEY.public.text, ExchangeKey(b"x" * 32)
    sealed = ours.seal_session_key(bytes(32), ours.public)
    cone, version = wire.ASYMMETRIC, "1.4.9"
    said = [
        (0, wire.PunchHoleRequest(id=peer, licence_key=key, nat_type=cone, udp_port=9, socket_addr_v6=v6)),
        (0, wire.RequestRelay(id=peer, uuid="token", licence_key=key, relay_server="relay.example")),
        (1, wire.PunchHoleSent(id=peer, socket_addr=mark, version=version, nat_type=cone)),
        (1, wire.LocalAddr(id=peer, socket_addr=mark, local_addr=v6, version=version)),
        (1, wire.RelayResponse(id=peer, socket_addr=mark, uuid="token", version=version)),
        (3, wire.OnlineRequest(id=peer, peers=[peer, "710300010"])),
        (2, wire.KeyExchange(keys=[ours.public, sealed])),
        (0, wire.HealthCheck(token="token")),
    ]
    return [bytes((who,)) + rendezvous(member) for who, member in said]


def _legs() -> list[bytes]:
    leg = rendezvous(wire.RequestRelay(id=str(PEER), uuid="token", licence_key=KEY.public.text))
    return [script(*(b"\1" + leg,) * 3), script(b"\1" + leg, b"\x40" + leg)]


def _scripts(parts: list[bytes]) -> list[bytes]:
    """Each by itself, and all."""
    return [*map(script, parts), script(*parts)]


TARGETS = {
    "registrations": Target(registrations, _scripts([*_registering(), _brokering()[2]]), 2048),
    "broker": Target(broker, _scripts(_brokering() + _registering()), 2048),
    "pairing": Target(pairing, _legs()),
}
