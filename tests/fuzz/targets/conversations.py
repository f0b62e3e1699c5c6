"""A peer's conversations with its rendezvous server, and with whoever speaks in its place."""

from __future__ import annotations

from collections.abc import Callable

from rdpeer.crypto.identities import sign_id_pk
from rdpeer.crypto.keys import ExchangeKey
from rdpeer.crypto.possession import Possession
from rdpeer.errors import RdpeerError, RemoteProtocolError
from rdpeer.protocol.answer import Answer, Responder
from rdpeer.protocol.conversation import (
    Command,
    Conversation,
    DatagramReceived,
    DeadlineReached,
    Done,
    Event,
    Fail,
    FrameReceived,
    Listen,
    ListenerFailed,
    ListenerOpened,
    OpenStream,
    Report,
    SendDatagram,
    SocketBound,
    Started,
    StreamOpened,
)
from rdpeer.protocol.line_registration import LineRegistration
from rdpeer.protocol.nat import Mapping, NatProbe
from rdpeer.protocol.notifications import Notification, read_notification
from rdpeer.protocol.online import OnlineQuery
from rdpeer.protocol.registrant import Registrant
from rdpeer.protocol.registration import Registration
from rdpeer.protocol.relay_leg import RelayRequest
from rdpeer.protocol.relays import Relays
from rdpeer.protocol.rendezvous import PunchRequest
from rdpeer.protocol.tokens import UsedTokens
from rdpeer.protocol.traversal import may_dial
from rdpeer.protocol.udp_answer import udp_answer, v6_target
from rdpeer.protocol.udp_probe import UdpProbe
from rdpeer.values import Endpoint, ServerAddress
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.endpoints import mangle
from rdpeer.wire.messages import parse

from .decoders import KEY, PEER, SERVER, fixed, rendezvous
from .script import Target, pieces, refusing, script

HERE, REMOTE = Endpoint("192.168.1.7", 50000), Endpoint("203.0.113.5", 21116)
TOKEN = "0b8a3c1e-7d52-4f60-9a1b-2c3d4e5f6071"
REGISTRANT = Registrant(PEER, b"uuid", KEY.public, Possession(KEY, KEY.public))


def question(data: bytes) -> None:
    """Whatever the question is, each answer goes on with it or ends it."""
    for conversation in (
        PunchRequest(PEER, SERVER, Relays(SERVER.address)),
        RelayRequest(PEER, SERVER, ServerAddress("203.0.113.5", 21117), ""),
        OnlineQuery(SERVER.address, [PEER]),
        NatProbe(SERVER.address),
    ):
        _converse(conversation, data, lambda payload: FrameReceived("server", payload))


def registration(data: bytes) -> None:
    """No datagram costs more than four: a proof and a key, and RegisterPeer after the OK to each."""
    _converse(Registration(REGISTRANT, SERVER.address, confirmed=False), data, DatagramReceived)
    _converse(UdpProbe(SERVER.address), data, DatagramReceived)


def line_registration(data: bytes) -> None:
    conversation = LineRegistration(REGISTRANT, SERVER, confirmed=False, random=fixed)
    _converse(conversation, data, lambda payload: FrameReceived("server", payload))


def _converse(conversation: Conversation, data: bytes, heard: Callable[[bytes], Event]) -> None:
    """A piece begins with the seconds that go by before it comes."""
    now = 0.0
    commands = conversation.handle(Started(), now)
    if not any(isinstance(command, OpenStream) for command in commands):
        commands += conversation.handle(SocketBound(REMOTE), now)
    for piece in pieces(data):
        if _ended(_opened(conversation, commands, now)):
            return
        now += piece[0] if piece else 0
        commands = []
        if conversation.deadline is not None and conversation.deadline <= now:
            commands = conversation.handle(DeadlineReached(), now)
            if _ended(_opened(conversation, commands, now)):
                return
        commands = conversation.handle(heard(piece[1:]), now)
        assert sum(isinstance(command, SendDatagram) for command in commands) <= 4


def _opened(conversation: Conversation, commands: list[Command], now: float) -> list[Command]:
    """The commands, and what comes of it that each stream is open."""
    for command in commands:
        if isinstance(command, OpenStream):
            assert str(command.address).isprintable()
            commands = commands + conversation.handle(StreamOpened(command.stream, HERE, REMOTE), now)
    return commands


def _ended(commands: list[Command]) -> bool:
    for command in commands:
        if isinstance(command, Fail):
            assert isinstance(command.error, RdpeerError)
            assert str(command.error).isprintable(), str(command.error)
        elif isinstance(command, Report):
            assert str(command.what).isprintable(), str(command.what)
    return any(isinstance(command, Done | Fail) for command in commands)


def notification(data: bytes) -> None:
    """Nothing is dialled but what may be. The first byte says what is known of our NAT, and whether we can
    listen."""
    head = data[0] if data else 0
    responder = Responder(
        PEER, SERVER, Relays(SERVER.address), UsedTokens(), list(Mapping)[head % len(Mapping)]
    )
    responder.relays.server_ip = REMOTE.ip
    with refusing(RemoteProtocolError):
        told = read_notification(parse(pb.RendezvousMessage, data[1:]))
        if told is not None:
            _answer_by_udp(responder, told)
            _answer(Answer(responder, told, TOKEN), can_listen=head < 128)


def _answer(answer: Answer, *, can_listen: bool) -> None:
    commands = _opened(answer, answer.handle(Started(), 0.0), 0.0)
    for command in commands:
        if isinstance(command, Listen):
            assert command.dial is None or may_dial(command.dial, REMOTE.ip)
            name = command.listener
            became = ListenerOpened(name, HERE) if can_listen else ListenerFailed(name, "in use")
            _ended(_opened(answer, answer.handle(became, 0.0), 0.0))
    _ended(commands)


def _answer_by_udp(responder: Responder, told: Notification) -> None:
    by_udp, by_v6 = udp_answer(responder, told, None, 0.0), v6_target(responder, told)
    assert by_v6 is None or by_v6.is_v6
    assert by_udp is None or may_dial(by_udp.target, REMOTE.ip)
    assert by_udp is None or parse(pb.RendezvousMessage, by_udp.payload)


def _said() -> list[bytes]:
    signed, place = sign_id_pk(KEY, PEER, KEY.public.raw), mangle(Endpoint("198.51.100.9", 9), 7)
    punched, result = pb.PunchHoleResponse, pb.RegisterPkResponse
    relay = "[fe80::1%eth0]:9"
    members = [
        punched(socket_addr=place, pk=signed, relay_server="r.example"),
        punched(socket_addr=place, pk=signed, relay_server=relay, is_local=True, nat_type=pb.ASYMMETRIC),
        punched(failure=punched.OFFLINE),
        pb.RelayResponse(uuid=TOKEN, relay_server="r.example", pk=signed),
        pb.OnlineResponse(states=b"\x80"),
        pb.TestNatResponse(port=9, socket_addr=place),
        pb.RegisterPeerResponse(request_pk=True, cookie=bytes(16)),
        result(keep_alive=20),
        result(result=result.UUID_MISMATCH, unproven=True, cookie=bytes(16)),
        pb.KeyExchange(keys=[KEY.sign_combined(ExchangeKey(b"x" * 32).public)]),
        pb.ConfigUpdate(serial=7, rendezvous_servers=["h.example"]),
    ]
    return [*map(rendezvous, members), *_notifications()]


def _notifications() -> list[bytes]:
    place, v6 = mangle(Endpoint("198.51.100.9", 9), 7), mangle(Endpoint("2001:db8::9", 9), 7)
    members = [
        pb.PunchHole(socket_addr=place, relay_server="r.example", udp_port=9, socket_addr_v6=v6),
        pb.FetchLocalAddr(socket_addr=place, relay_server="r.example"),
        pb.RequestRelay(socket_addr=place, uuid=TOKEN),
    ]
    return [rendezvous(member) for member in members]


_EACH = [script(b"\1" + said) for said in _said()]
_ALL = script(*(b"\1" + said for said in _said()))
_TOLD = [b"\0" + told for told in _notifications()]

TARGETS = {
    "questions": Target(question, [*_EACH, _ALL]),
    "registration": Target(registration, [*_EACH, _ALL], 2048),
    "line-registration": Target(line_registration, [*_EACH, _ALL], 2048),
    "notifications": Target(notification, _TOLD, 256),
}
