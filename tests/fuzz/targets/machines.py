"""A peer's machines: the reliable stream, the channel's handshake and session, the stock session, checks.

What is to be sealed is sealed here, as nobody guesses that.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress

from rdpeer.crypto.channel import SecureChannel
from rdpeer.crypto.identities import sign_id_pk
from rdpeer.crypto.keys import ExchangeKey
from rdpeer.crypto.move_key import MoveKey
from rdpeer.crypto.stock import StockChannel, password_proof
from rdpeer.errors import (
    AuthenticationFailed,
    ConnectionLost,
    DeadlineExceeded,
    IdentityMismatch,
    LocalProtocolError,
    RdpeerError,
    RemoteProtocolError,
)
from rdpeer.protocol.checks import MOST_DATAGRAMS, Checks
from rdpeer.protocol.gate import Gate, Method
from rdpeer.protocol.handshake import (
    Authenticated,
    Denied,
    ExpectedKey,
    Handshake,
    HandshakeEvent,
    InitiatorHandshake,
    PathVerified,
    ResponderHandshake,
    Send,
    StockInitiator,
)
from rdpeer.protocol.kcp_connection import KcpConnection
from rdpeer.protocol.login import DesktopLogin, Visitor
from rdpeer.protocol.session import Session
from rdpeer.protocol.session_events import DataReceived, StreamOffered
from rdpeer.protocol.stock import Machine
from rdpeer.protocol.visit import Door, Passed, TurnedAway, TurnedRaw, Visit
from rdpeer.values import Endpoint, PeerId, ServerAddress
from rdpeer.wire import channel_pb2, kcp, session_pb2
from rdpeer.wire.records import RecordType, encode, encode_data

from .decoders import KEY, MOVE, PEER, fixed
from .script import Target, pieces, refusing, script

MACHINE = Machine("lab", "Linux")
TARGET = ServerAddress("localhost", 9000)
BY_SERVER = ExpectedKey("the server", KEY.public)
_FINAL = encode(RecordType.FINAL)
_ENOUGH = 64
"""More datagrams than one that came may bring about."""

# The reliable stream


def connector(data: bytes) -> None:
    _reliable(KcpConnection.connecting(0, 0.0), data)


def acceptor(data: bytes) -> None:
    _reliable(KcpConnection.accepting(0.0), data)


def _reliable(machine: KcpConnection, data: bytes) -> None:
    """A piece begins with what is done: what its user does, or a datagram after so many hundredths of a
    second. It is polled as a driver does."""
    now, heard, sent = 0.0, 0, 0
    for piece in pieces(data):
        what, body = piece[0] if piece else 0, piece[1:]
        if what < 128:
            now += what / 100
            machine.receive(body, now)
            heard += len(body)
        elif what < 160:
            sent += _use(machine, what, body)
        elif math.isfinite(machine.deadline):
            now = max(now, machine.deadline)
        out = machine.poll(now)
        assert len(out) <= _ENOUGH + sent, len(out)
        assert all(len(datagram) <= kcp.MAX_DATAGRAM for datagram in out)
        assert machine.deadline > now or not machine.poll(now), "it never rests"
        heard -= sum(map(len, machine.read()))
        assert heard >= 0
    machine.abort()
    assert machine.closed
    assert machine.lost is None or machine.poll(now + 1) == []


def _use(machine: KcpConnection, what: int, body: bytes) -> int:
    """How many bytes were sent."""
    if what == 128:
        machine.close()
    elif machine.established:
        machine.send(body)
        return len(body)
    return 0


# The channel


def initiator(data: bytes) -> None:
    """One whose secret the peer does not know; the first byte says by what it means to pass."""
    method = Method(1 + data[0] % len(Method)) if data else Method.PASSWORD
    ours = InitiatorHandshake(PEER, KEY, [BY_SERVER], versions=_versions(data), random=fixed)
    theirs = ResponderHandshake(PEER, KEY, _gate(b"theirs"), random=_other)
    other = _OtherEnd(theirs, lambda payload: theirs.receive(payload, 0.0))
    other.say(theirs.start())
    with refusing(AuthenticationFailed, IdentityMismatch, RemoteProtocolError):
        for piece in pieces(data[1:]):
            events = ours.receive(other.next(piece))
            if any(isinstance(event, Authenticated) for event in events):
                assert not method.needs_secret
                return
            other.hear(events)
            if any(isinstance(event, PathVerified) and method in event.methods for event in events):
                other.hear(ours.prove(method, b"ours" if method.needs_secret else None))


def responder(data: bytes) -> None:
    """One at which somebody does not know the secret; the first byte says which."""
    method = Method.PASSWORD if data[:1] < b"\x80" else Method.CODE
    ours = ResponderHandshake(PEER, KEY, _gate(b"ours"), versions=_versions(data), random=fixed, stock=True)
    theirs = InitiatorHandshake(PEER, KEY, [BY_SERVER], random=_other)
    other = _OtherEnd(theirs, theirs.receive)
    other.hear(ours.start())
    with refusing(AuthenticationFailed, RemoteProtocolError):
        for number, piece in enumerate(pieces(data[1:])):
            events = ours.receive(other.next(piece), float(number))
            assert not any(isinstance(event, Authenticated) for event in events)
            if any(isinstance(event, Denied | StockInitiator) for event in events):
                return
            if any(isinstance(event, PathVerified) for event in other.hear(events)):
                other.say(theirs.prove(method, b"theirs"))


def _other(count: int) -> bytes:
    return b"\x09" * count


def _versions(data: bytes) -> list[int]:
    return [1 + data[0] % 2] if data else [1]


def _gate(secret: bytes) -> Gate:
    gate = Gate(is_authorized=KEY.public.__eq__, password=secret)
    gate.offer_code(secret, 0.0)
    return gate


class _Plain(bytes):
    """A record that is to be sealed."""


class _OtherEnd:
    """An honest end. What it says waits, and is sealed when it goes out, as anything may go out before."""

    def __init__(self, end: Handshake, receive: Callable[[bytes], list[HandshakeEvent]]) -> None:
        end.on_channel = self._hold
        self._receive = receive
        self._seal: Callable[..., bytes] | None = None
        self._waiting: list[bytes] = []

    def _hold(self, channel: SecureChannel) -> None:
        self._seal = channel.seal
        channel.seal = lambda plaintext, final=False: _Plain(plaintext)

    def say(self, events: list[HandshakeEvent]) -> None:
        self._waiting += [event.payload for event in events if isinstance(event, Send)]

    def hear(self, events: list[HandshakeEvent]) -> list[HandshakeEvent]:
        """What was sent to it, until it ends: what it makes of that."""
        told: list[HandshakeEvent] = []
        with suppress(RdpeerError):
            for event in events:
                if isinstance(event, Send):
                    told += self._receive(event.payload)
        self.say(told)
        return told

    def next(self, piece: bytes) -> bytes:
        """What goes out. A piece begins with whether that is what it says in earnest, another record that it
        seals, or anything."""
        what, body = piece[:1] or b"\0", piece[1:]
        if what == b"\0" and self._waiting:
            body = self._waiting.pop(0)
        if self._seal and (isinstance(body, _Plain) or what == b"\1"):
            with suppress(LocalProtocolError):  # nothing is sealed behind FINAL
                return self._seal(body, body == _FINAL)
        return body


def session(data: bytes) -> None:
    """A piece begins with what is done: a record that came, or something on our side, which may be what we
    must not do then."""
    ours = Session(initiator=data[:1] < b"\x80", version="1", now=0.0, movable=True)
    now, unread = 0.0, 0
    with refusing(RemoteProtocolError, ConnectionLost):
        for piece in pieces(data[1:]):
            what, body = piece[0] if piece else 0, piece[1:]
            if what < 64:
                for event in ours.receive(body, what == 47, now):
                    unread += _take(ours, event)
            elif what == 64:
                now += 5.0
                ours.handle_timeout(now)
            else:
                with suppress(LocalProtocolError):
                    _act(ours, what, body)
            assert len(ours._control) <= 1024 + len(piece)
            assert unread <= 1 << 26
            if what & 1:
                while ours.next_record() is not None:
                    pass


def _take(ours: Session, event: object) -> int:
    """Accepts what is offered and lets data wait: how many bytes."""
    if isinstance(event, StreamOffered):
        assert event.target.isprintable()
        ours.accept(event.stream)
    return len(event.data) if isinstance(event, DataReceived) else 0


def _act(ours: Session, what: int, body: bytes) -> None:
    number = body[0] if body else 1
    match what % 10:
        case 0:
            ours.open("")
        case 1:
            ours.data(number, body[: ours.sendable(number)])
        case 2:
            ours.end(number)
        case 3:
            ours.stop(number)
        case 4:
            ours.reset(number, channel_pb2.StreamReset.UNSPECIFIED)
        case 5:
            ours.consumed(number, len(body))
        case 6:
            ours.delivered(number)
        case 7:
            ours.finish()
        case 8:
            ours.exit(number, 0)
        case 9:
            ours.refuse(number, channel_pb2.StreamRefused.UNSPECIFIED)


# The stock session


def login(data: bytes) -> None:
    """At a desktop. A piece begins with whether it is sealed, or what we do."""
    ours = DesktopLogin(PEER, [BY_SERVER], Visitor(PeerId("987654321"), MACHINE), TARGET, random=fixed)
    exchange = ExchangeKey(b"x" * 32)
    desktop: StockChannel | None = None
    with refusing(RdpeerError):
        for piece in pieces(data):
            what, body = piece[:1] or b"\0", piece[1:]
            if what >= b"\x80":
                with suppress(LocalProtocolError):
                    _log_in(ours, what[0] & 3)
                continue
            if what == b"\0":
                body = desktop.seal(body) if desktop else _signed_id(exchange)
            try:
                events = ours.receive(body)
            except LocalProtocolError:
                assert ours._state.name == "OVER"
                return
            for event in events if desktop is None else []:
                assert isinstance(event, Send)
                answer = session_pb2.Message.FromString(event.payload).public_key
                key = exchange.open_session_key(answer.symmetric_value, answer.asymmetric_value)
                desktop = StockChannel(key)


def _signed_id(exchange: ExchangeKey) -> bytes:
    blob = sign_id_pk(KEY, PEER, exchange.public)
    return session_pb2.Message(signed_id=session_pb2.SignedId(id=blob)).SerializeToString()


def _log_in(ours: DesktopLogin, what: int) -> None:
    match what:
        case 0:
            ours.log_in("horse")
        case 1:
            ours.log_in(None)
        case 2:
            ours.give_code("123456")
        case 3:
            ours.keep_alive()


def visit(data: bytes) -> None:
    """A desktop's, at us. A piece begins with the seconds that went by, or with 0 if it is not sealed."""
    door = Door(PEER, "horse", TARGET, MACHINE, random=fixed)
    ours = Visit(door, StockChannel(bytes(32)), "192.0.2.1", 0.0, random=fixed)
    theirs = StockChannel(bytes(32))
    ours.start()
    now = 0.0
    with refusing(RemoteProtocolError, ConnectionLost, DeadlineExceeded):
        for piece in pieces(data):
            what, body = piece[0] if piece else 0, piece[1:]
            now += what / 8
            ours.handle_timeout(now)
            for event in ours.receive(theirs.seal(body) if what else body, now):
                if isinstance(event, TurnedAway | TurnedRaw):
                    assert not isinstance(event, TurnedAway) or event.why.isprintable()
                    return
                if isinstance(event, Passed) and any(isinstance(one, TurnedRaw) for one in ours.welcome()):
                    return
            assert ours.visitor.isprintable()


# Direct paths


def checks(data: bytes) -> None:
    """A piece begins with where it comes from; no address gets more than it should, whatever comes."""
    near = Checks(MoveKey(initiator=True, **MOVE), [Endpoint("192.0.2.0", 9), Endpoint("192.0.2.1", 9)], 0.0)
    counts: dict[Endpoint, int] = {}
    now = 0.0
    for piece in pieces(data):
        source = Endpoint(f"192.0.2.{piece[0] if piece else 0}", 9)
        now += len(piece) / 100
        for to, _ in near.receive(piece[1:], source, now) + near.due(now):
            counts[to] = counts.get(to, 0) + 1
    assert max(counts.values(), default=0) <= MOST_DATAGRAMS
    assert len(counts) <= 10


def _reliable_seeds() -> list[bytes]:
    name = kcp.encode_name(0)
    front = kcp.encode_header(name, kcp.ACK | kcp.DATA)
    push = front + kcp.encode_segment(0, kcp.PUSH, 128, 0, 0, 0, 4) + b"data"
    acked = front + kcp.encode_segment(0, kcp.ACKNOWLEDGE, 128, 0, 0, 1, 0)
    asked = front + kcp.encode_segment(0, kcp.ASK_WINDOW, 0, 0, 0, 0, 0)
    bare = [kcp.encode_header(name, flags) for flags in (kcp.ACK | kcp.DATA, kcp.PING, kcp.FIN, kcp.RST)]
    said = [b"\1" + datagram for datagram in (push, acked, asked, *bare)]
    begin = [b"\1" + kcp.encode_header(name, kcp.SYN), b"\1" + kcp.encode_header(name, kcp.SYN | kcp.ACK)]
    return [
        script(*begin, b"\x81data", *said, b"\x80", b"\xff"),
        script(*begin, b"\xa0", said[0], b"\xa0", b"\xa0"),
    ]


def _handshake_seeds() -> list[bytes]:
    denied = encode(RecordType.DENIED, channel_pb2.Denied(reason=channel_pb2.Denied.WRONG_SECRET))
    rest = [b"\1" + encode(RecordType.PING), b"\1" + encode(RecordType.CONFIRM, bytes(32)), b"\1" + denied]
    shares = [b"\1" + encode(RecordType.SHARE, side + bytes(32)) for side in (b"A", b"B")]
    courses = [[b"\0"] * 5, [b"\0", b"\0", *rest], [b"\0", b"\0", b"\0", *rest[1:]]]
    courses += [[b"\0", b"\0", share] for share in shares]
    return [first + script(*course) for first in (b"\0", b"\1", b"\2", b"\3", b"\x80") for course in courses]


def _session_seeds() -> list[bytes]:
    pb = channel_pb2
    hello = encode(RecordType.HELLO, pb.Hello(version="1", max_streams=8, max_data=65536, features=["move"]))
    theirs = [
        encode(RecordType.PING),
        encode(RecordType.OPEN, pb.OpenStream(stream=2, target="localhost:22")),
        encode_data(2, b"data"),
        encode(RecordType.WINDOW, pb.StreamWindow(stream=2, credit=9)),
        encode(RecordType.OPENED, pb.StreamOpened(stream=1)),
        encode(RecordType.STOP, pb.StreamStop(stream=2)),
        encode(RecordType.EXIT, pb.StreamExit(stream=2, status=3)),
        encode(RecordType.END, pb.StreamEnd(stream=2)),
        encode(RecordType.RESET, pb.StreamReset(stream=1)),
        encode(RecordType.REFUSED, pb.StreamRefused(stream=1, detail="no")),
    ]
    said = [b"\1" + hello, b"\x46", *(b"\1" + record for record in theirs)]
    ours = [bytes((70 + what, 2)) for what in range(10)]
    return [b"\0" + script(*said, *ours), b"\0" + script(*said[:5], *ours, b"\x40", b"\x2f" + b"\x2f")]


def _login_seeds() -> list[bytes]:
    pb = session_pb2
    said = [
        pb.Message(hash=pb.Hash(salt="salt", challenge="challenge")),
        pb.Message(test_delay=pb.TestDelay(time=7)),
        pb.Message(login_response=pb.LoginResponse(error="2FA Required")),
        pb.Message(login_response=pb.LoginResponse(peer_info=pb.PeerInfo(username="user"))),
        pb.Message(misc=pb.Misc(close_reason="bye")),
    ]
    sealed = [b"\0" + message.SerializeToString() for message in said]
    begin = [b"\0", sealed[0], b"\x80", sealed[1]]
    return [
        script(*begin, sealed[2], b"\x82", sealed[3]),
        script(*begin, sealed[4]),
        script(*begin[:2], b"\x81", *sealed[1:]),
    ]


def _visit_seeds() -> list[bytes]:
    pb = session_pb2
    door = Door(PEER, "horse", TARGET, MACHINE, random=fixed)
    challenge = Visit(door, StockChannel(bytes(32)), "192.0.2.1", 0.0, random=fixed)._challenge
    requests = [
        pb.LoginRequest(
            username=str(PEER),
            password=password_proof(password, door.salt, challenge),
            my_id="987654321",
            port_forward=pb.PortForward(host="localhost", port=9000),
        )
        for password in ("donkey", "horse")
    ]
    said = [pb.Message(login_request=request).SerializeToString() for request in requests]
    echo = pb.Message(test_delay=pb.TestDelay()).SerializeToString()
    return [script(b"\x08" + said[0], b"\x08" + echo, b"\x08" + said[1], b"\x08" + echo)]


def _check_seeds() -> list[bytes]:
    far = Checks(MoveKey(initiator=False, **MOVE), [], 0.0)
    return [script(*(bytes((at,)) + said for at in (0, 1, 7) for said in (far._check, far._answer)))]


TARGETS = {
    "kcp-connector": Target(connector, _reliable_seeds(), 2048),
    "kcp-acceptor": Target(acceptor, _reliable_seeds(), 2048),
    "initiator": Target(initiator, _handshake_seeds()),
    "responder": Target(responder, _handshake_seeds()),
    "session": Target(session, _session_seeds()),
    "login": Target(login, _login_seeds()),
    "visit": Target(visit, _visit_seeds()),
    "checks": Target(checks, _check_seeds(), 512),
}
