"""Any bytes from the network end in a command; a lossy network only delays a registration."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from rdpeer.crypto.keys import IdentityKey
from rdpeer.crypto.possession import Possession
from rdpeer.errors import RdpeerError
from rdpeer.protocol.answer import Answer, Responder
from rdpeer.protocol.conversation import (
    Command,
    DatagramReceived,
    DeadlineReached,
    Done,
    Fail,
    FrameReceived,
    Listen,
    OpenStream,
    Rebind,
    SendDatagram,
    SocketBound,
    Started,
    StreamOpened,
)
from rdpeer.protocol.nat import Mapping, NatProbe
from rdpeer.protocol.notifications import read_notification
from rdpeer.protocol.online import OnlineQuery
from rdpeer.protocol.question import Question, RendezvousServer
from rdpeer.protocol.registrant import Registrant
from rdpeer.protocol.registration import Registration
from rdpeer.protocol.relay_leg import RelayRequest
from rdpeer.protocol.relays import Relays
from rdpeer.protocol.rendezvous import PunchRequest
from rdpeer.protocol.tokens import UsedTokens, fresh_token
from rdpeer.protocol.traversal import may_dial
from rdpeer.values import Endpoint, PeerId, PublicKey, ServerAddress, ServerKey
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.messages import parse

PEER = PeerId("612345678")
ADDRESS = ServerAddress("203.0.113.5")
SERVER = RendezvousServer(ADDRESS, ServerKey(PublicKey(bytes(32)).text))
HERE = Endpoint("192.168.1.7", 50000)
REMOTE = Endpoint("203.0.113.5", 21116)

_SMALL = st.binary(max_size=24)
_RELAY = st.sampled_from(["", "127.0.0.1", "[", "a:b:c", "r.example:0", "\u202e.example", "[::1]:99999"])
MESSAGES = st.one_of(
    st.builds(
        lambda addr, pk, relay, failure: pb.RendezvousMessage(
            punch_hole_response=pb.PunchHoleResponse(
                socket_addr=addr, pk=pk, relay_server=relay, failure=failure
            )
        ),
        _SMALL,
        st.binary(max_size=120),
        _RELAY,
        st.integers(0, 9),
    ),
    st.builds(
        lambda uuid, relay, pk: pb.RendezvousMessage(
            relay_response=pb.RelayResponse(uuid=uuid, relay_server=relay, pk=pk)
        ),
        st.text(max_size=40),
        _RELAY,
        _SMALL,
    ),
    st.builds(lambda s: pb.RendezvousMessage(online_response=pb.OnlineResponse(states=s)), _SMALL),
    st.builds(
        lambda a, r, n, f: pb.RendezvousMessage(
            punch_hole=pb.PunchHole(socket_addr=a, relay_server=r, nat_type=n, force_relay=f)
        ),
        _SMALL,
        st.text(max_size=40),
        st.integers(-9, 9),
        st.booleans(),
    ),
    st.builds(
        lambda p, a: pb.RendezvousMessage(test_nat_response=pb.TestNatResponse(port=p, socket_addr=a)),
        st.integers(-(2**31), 2**31 - 1),
        _SMALL,
    ),
    st.builds(
        lambda a, u: pb.RendezvousMessage(request_relay=pb.RequestRelay(socket_addr=a, uuid=u)),
        _SMALL,
        st.text(max_size=40),
    ),
    st.builds(
        lambda n: pb.RendezvousMessage(register_pk_response=pb.RegisterPkResponse(result=n)),
        st.integers(-9, 99),
    ),
).map(lambda message: message.SerializeToString())
PAYLOADS = st.one_of(st.binary(max_size=200), MESSAGES)


def questions() -> Iterator[Question]:
    yield PunchRequest(PEER, SERVER, Relays(ADDRESS))
    yield RelayRequest(PEER, SERVER, ServerAddress("203.0.113.5", 21117), "")
    yield OnlineQuery(ADDRESS, [PEER])


@given(PAYLOADS)
def test_any_answer_to_a_question_ends_it_or_goes_on(payload: bytes) -> None:
    for question in questions():
        question.handle(Started(), 0.0)
        question.handle(StreamOpened("server", HERE, REMOTE), 0.0)
        for command in question.handle(FrameReceived("server", payload), 0.0):
            if isinstance(command, Fail):
                assert isinstance(command.error, RdpeerError)
                assert str(command.error).isprintable()


@given(PAYLOADS, st.sampled_from(Mapping))
def test_any_notification_is_answered_or_dropped(payload: bytes, mapping: Mapping) -> None:
    """And nothing is dialled but what may be, by an answer or beside it."""
    responder = Responder(PEER, SERVER, Relays(ADDRESS), UsedTokens(), mapping)
    try:
        notification = read_notification(parse(pb.RendezvousMessage, payload))
    except RdpeerError:
        return
    if notification is None:
        return
    answer = Answer(responder, notification, fresh_token())
    commands = answer.handle(Started(), 0.0)
    if any(isinstance(command, OpenStream) for command in commands):
        commands += answer.handle(StreamOpened("server", HERE, REMOTE), 0.0)
    dialled = [command.dial for command in commands if isinstance(command, Listen)]
    for endpoint in filter(None, [*dialled, answer.dials]):
        assert may_dial(endpoint, None)


@given(PAYLOADS)
def test_any_answer_to_a_nat_probe_ends_it_or_goes_on(payload: bytes) -> None:
    probe = NatProbe(ADDRESS)
    probe.handle(Started(), 0.0)
    probe.handle(StreamOpened("server", HERE, REMOTE), 0.0)
    for command in probe.handle(FrameReceived("server", payload), 0.0):
        assert isinstance(command, Done)
        assert command.value.reason.isprintable()


REGISTRAR_SAYS = [
    pb.RendezvousMessage(register_peer_response=response).SerializeToString()
    for response in (pb.RegisterPeerResponse(request_pk=True), pb.RegisterPeerResponse(cookie=bytes(16)))
] + [pb.RendezvousMessage(register_pk_response=pb.RegisterPkResponse()).SerializeToString()]


@given(st.lists(PAYLOADS, max_size=8))
def test_any_datagrams_to_a_registration_cost_a_bounded_answer(payloads: list[bytes]) -> None:
    conversation = Registration(
        Registrant(PEER, b"u", PublicKey(bytes(32))), ADDRESS, confirmed=False, patience=None
    )
    conversation.handle(Started(), 0.0)
    conversation.handle(SocketBound(REMOTE), 0.0)
    sent = 0
    for payload in payloads:
        commands = conversation.handle(DatagramReceived(payload), 0.0)
        sent += sum(isinstance(command, SendDatagram) for command in commands)
        if any(isinstance(command, Fail) for command in commands):
            break
    assert sent <= 2  # RegisterPeer after an OK, and nothing more at this moment


@given(st.lists(PAYLOADS | st.sampled_from(REGISTRAR_SAYS), max_size=12))
def test_nor_can_cookies_make_it_talk(payloads: list[bytes]) -> None:
    key = IdentityKey.from_seed(bytes(32))
    registrant = Registrant(PEER, b"u", key.public, Possession(key, key.public))
    conversation = Registration(registrant, ADDRESS, confirmed=False)
    conversation.handle(Started(), 0.0)
    conversation.handle(SocketBound(REMOTE), 0.0)
    sent = 0
    for payload in payloads:
        commands = conversation.handle(DatagramReceived(payload), 0.0)
        sent += sum(isinstance(command, SendDatagram) for command in commands)
        if any(isinstance(command, Fail) for command in commands):
            break
    assert sent <= 4  # one proof and one key, and RegisterPeer after the OK to each


class Network:
    """A server that has forgotten everything, behind a network that loses what ``losses`` says."""

    def __init__(self, losses: list[bool]) -> None:
        self._losses = iter(losses)
        self._knows_key = False

    def answer(self, payload: bytes) -> DatagramReceived | None:
        if self._lost():
            return None
        message = parse(pb.RendezvousMessage, payload)
        if message.HasField("register_pk"):
            self._knows_key = True
            answer = pb.RendezvousMessage(register_pk_response=pb.RegisterPkResponse())
        else:
            response = pb.RegisterPeerResponse(request_pk=not self._knows_key)
            answer = pb.RendezvousMessage(register_peer_response=response)
        return None if self._lost() else DatagramReceived(answer.SerializeToString())

    def _lost(self) -> bool:
        return next(self._losses, False)


@given(st.lists(st.booleans(), max_size=12), st.booleans())
def test_a_registration_gets_through_any_loss_that_ends(losses: list[bool], confirmed: bool) -> None:
    network = Network(losses)
    conversation = Registration(
        Registrant(PEER, b"u", PublicKey(bytes(32))), ADDRESS, confirmed=confirmed, once=True
    )
    now, waiting = 0.0, list[Command](conversation.handle(Started(), 0.0))
    while not any(isinstance(command, Done) for command in waiting):
        if not waiting:
            assert conversation.deadline is not None
            now = conversation.deadline
            waiting = conversation.handle(DeadlineReached(), now)
            continue
        match waiting.pop(0):
            case Rebind():
                waiting += conversation.handle(SocketBound(REMOTE), now)
            case SendDatagram(payload):
                event = network.answer(payload)
                waiting += conversation.handle(event, now) if event else []
    assert now <= 12.0 * (len(losses) + 1)
