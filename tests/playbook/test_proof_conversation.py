"""Registration that proves possession, step by step at our end, and at both: docs/CHANNEL.md 8."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playbook import After, Deadline, Playbook, wire

from rdpeer.crypto.keys import IdentityKey
from rdpeer.crypto.possession import Possession
from rdpeer.errors import ServerRefused
from rdpeer.protocol.conversation import (
    CloseStream,
    Command,
    DatagramReceived,
    DeadlineReached,
    Done,
    Fail,
    FrameReceived,
    OpenStream,
    Rebind,
    Report,
    RouteChanged,
    SendDatagram,
    SendFrame,
    SocketBound,
    Started,
    StoreRecord,
    StreamOpened,
)
from rdpeer.protocol.line_registration import LineRegistration
from rdpeer.protocol.question import SERVER as LINE
from rdpeer.protocol.question import RendezvousServer
from rdpeer.protocol.registrant import Registrant
from rdpeer.protocol.registration import KeyConfirmed, Offline, Online, Registration
from rdpeer.server.keys import Keys
from rdpeer.server.limits import Limits
from rdpeer.server.proofs import Proofs
from rdpeer.server.registration import Registrations, Save
from rdpeer.server.registry import Registry
from rdpeer.values import Endpoint, PeerId, ServerAddress, ServerKey
from rdpeer.wire import rendezvous_pb2 as pb

KEY, SERVER_KEY = IdentityKey.from_seed(b"\x03" * 32), IdentityKey.from_seed(b"\x01" * 32)
SERVER, WEB = ServerAddress("rs.example"), ServerAddress.parse("wss://rs.example")
HERE, REMOTE = Endpoint("192.168.1.7", 50000), Endpoint("203.0.113.5", 21116)
PEER = PeerId("612345678")
POSSESSION = Possession(KEY, SERVER_KEY.public)
REGISTRANT = Registrant(PEER, b"machine", KEY.public, POSSESSION)
COOKIE, OTHER_COOKIE = b"\x07" * 16, b"\x08" * 16

I_AM_HERE = SendDatagram(wire(register_peer=pb.RegisterPeer(id="612345678", padding=bytes(16))))
MY_KEY = wire(register_pk=pb.RegisterPk(id="612345678", uuid=b"machine", pk=KEY.public.raw))
TAKEN = DatagramReceived(bytes.fromhex("3a00"))
OK = DatagramReceived(bytes.fromhex("820100"))
ONLINE, CONFIRMED = Report(Online(PEER, SERVER, REMOTE)), StoreRecord(KeyConfirmed(PEER))
UNPROVEN = pb.RegisterPkResponse(result=pb.RegisterPkResponse.UUID_MISMATCH, unproven=True)
WHY = (
    f"does not register {PEER}: it wants a proof of the ID's key, and this registration has none that counts"
)


def proof(cookie: bytes = COOKIE) -> bytes:
    signature = POSSESSION.proof("612345678", b"machine", cookie)
    request = pb.RegisterPk(
        id="612345678", uuid=b"machine", pk=KEY.public.raw, cookie=cookie, signature=signature
    )
    return wire(register_pk=request)


def asks(cookie: bytes = COOKIE, *, key: bool = True) -> DatagramReceived:
    response = pb.RegisterPeerResponse(request_pk=key, cookie=cookie)
    return DatagramReceived(wire(register_peer_response=response))


def started(registrant: Registrant = REGISTRANT, *, confirmed: bool = True, once: bool = False) -> Playbook:
    conversation = Registration(registrant, SERVER, confirmed=confirmed, once=once)
    return Playbook(conversation) >> Started() << Rebind(SERVER) >> SocketBound(REMOTE)


def online() -> Playbook:
    return started() << I_AM_HERE >> TAKEN << ONLINE


@pytest.mark.parametrize("request_pk", [True, False])
def test_a_cookie_is_answered_by_a_proof(request_pk: bool) -> None:
    assert (
        started(confirmed=False, once=True)
        << I_AM_HERE
        >> asks(key=request_pk)
        << SendDatagram(proof())
        >> OK
        << CONFIRMED
        << I_AM_HERE
        >> TAKEN
        << ONLINE
        << Done(None)
    )


def test_a_stock_server_gets_the_key_as_ever() -> None:
    assert (
        started(confirmed=False)
        << I_AM_HERE
        >> TAKEN
        << SendDatagram(MY_KEY)
        >> OK
        << CONFIRMED
        << I_AM_HERE
        >> TAKEN
        << ONLINE
    )


def test_a_server_that_learns_to_ask_is_answered_at_the_next_keep_alive() -> None:
    assert (
        online()
        >> Deadline(15.0)
        << I_AM_HERE
        >> asks(key=False)
        << SendDatagram(proof())
        >> OK
        << (I_AM_HERE)
        >> TAKEN
        >> Deadline(15.0)
        << I_AM_HERE
    )


def test_a_cookie_is_not_taken_to_another_socket() -> None:
    assert (
        started()
        << I_AM_HERE
        >> asks()
        << SendDatagram(proof())
        >> Deadline(3.0)
        << SendDatagram(proof())
        >> Deadline(3.0)
        << Report(Offline(PEER, SERVER, REMOTE, "no answer"))
        << Rebind(SERVER)
        >> SocketBound(REMOTE)
        << I_AM_HERE
        >> asks(OTHER_COOKIE)
        << SendDatagram(proof(OTHER_COOKIE))
        >> OK
        << I_AM_HERE
    )


def test_nor_is_one_that_waits_for_its_turn() -> None:
    assert (
        started()
        << I_AM_HERE
        >> asks()
        << SendDatagram(proof())
        >> OK
        << I_AM_HERE
        >> asks()
        >> After(1.0)
        >> RouteChanged()
        << Report(Offline(PEER, SERVER, REMOTE, "the way there has changed"))
        << Rebind(SERVER)
        >> SocketBound(REMOTE)
        << I_AM_HERE
    )


def test_a_server_that_is_never_content_is_not_hurried() -> None:
    assert (
        started()
        << I_AM_HERE
        >> asks()
        << SendDatagram(proof())
        >> OK
        << I_AM_HERE
        >> asks()
        >> Deadline(7.0)
        << SendDatagram(proof())
    )


def test_a_refusal_wants_a_new_cookie() -> None:
    refused = pb.RegisterPkResponse(result=pb.RegisterPkResponse.TOO_FREQUENT)
    assert (
        started()
        << I_AM_HERE
        >> asks()
        << SendDatagram(proof())
        >> DatagramReceived(wire(register_pk_response=refused))
        << Report(Offline(PEER, SERVER, REMOTE, "too many registrations"))
        >> Deadline(7.0)
        << I_AM_HERE
    )


@pytest.mark.parametrize("cookie", [b"\x07" * 15, b"\x07" * 17, b"\x07" * 900])
def test_what_is_no_cookie_is_none(cookie: bytes) -> None:
    assert started() << I_AM_HERE >> asks(cookie, key=False) << ONLINE


def test_who_does_not_know_the_server_s_key_cannot_prove_and_is_told_why() -> None:
    registrant = Registrant(PEER, b"machine", KEY.public)
    here = SendDatagram(wire(register_peer=pb.RegisterPeer(id="612345678")))
    assert (
        (started(registrant) << here >> asks() << SendDatagram(MY_KEY))
        >> DatagramReceived(wire(register_pk_response=UNPROVEN))
        << Fail(ServerRefused(f"rs.example:21116 (203.0.113.5) {WHY}"))
    )


def line(registrant: Registrant = REGISTRANT) -> Playbook:
    server = RendezvousServer(WEB, ServerKey(SERVER_KEY.public.text))
    conversation = LineRegistration(registrant, server, confirmed=True)
    playbook = Playbook(conversation) >> Started() << OpenStream(LINE, WEB)
    return playbook >> StreamOpened(LINE, HERE, REMOTE) << SendFrame(LINE, MY_KEY)


def said(response: pb.RegisterPkResponse, cookie: bytes = b"") -> FrameReceived:
    answer = pb.RegisterPkResponse()
    answer.CopyFrom(response)
    answer.cookie = cookie
    return FrameReceived(LINE, wire(register_pk_response=answer))


@pytest.mark.parametrize("first", [UNPROVEN, pb.RegisterPkResponse()], ids=["proven", "new"])
def test_on_a_line_the_proof_follows_the_answer(first: pb.RegisterPkResponse) -> None:
    assert (
        (
            line()
            >> said(first, COOKIE)
            << SendFrame(LINE, proof())
            >> said(pb.RegisterPkResponse(keep_alive=20))
            << Report(Online(PEER, WEB, REMOTE))
            >> Deadline(30.0)
        )
        << CloseStream(LINE)
        << Report(Offline(PEER, WEB, REMOTE, "no answer"))
    )


def test_on_a_line_one_proof_has_to_do() -> None:
    why = Fail(ServerRefused(f"wss://rs.example/ws/id (203.0.113.5) {WHY}"))
    assert line() >> said(UNPROVEN, COOKIE) << SendFrame(LINE, proof()) >> said(UNPROVEN, COOKIE) << why


class Network:
    """A server of ours behind a NAT that gives each socket a new port, and loses what ``losses`` says."""

    def __init__(self, losses: list[bool]) -> None:
        self.registry = Registry()
        self._server = Registrations(
            self.registry, Limits(), proofs=Proofs(Keys(SERVER_KEY), 100, lambda count: bytes(count))
        )
        self._losses = iter(losses)
        self.port = 40000

    def answer(self, datagram: bytes, now: float) -> bytes | None:
        if next(self._losses, False):
            return None
        answer = self._server.receive(datagram, ("192.0.2.7", self.port), 0, now)
        if isinstance(answer, Save):
            answer = self._server.saved(answer, now)
        assert not isinstance(answer, pb.PunchHoleSent)
        return None if next(self._losses, False) else answer


@given(st.lists(st.booleans(), max_size=16), st.booleans(), st.booleans())
def test_two_ends_of_ours_meet_through_any_loss_that_ends(
    losses: list[bool], confirmed: bool, known: bool
) -> None:
    network = Network(losses)
    for times in range(1 + known):
        conversation = Registration(REGISTRANT, SERVER, confirmed=confirmed or times > 0, once=True)
        run_to_the_end(conversation, network, 1000.0 * times)
    peer = network.registry.get(str(PEER))
    assert peer.registration.proven
    assert peer.source == ("192.0.2.7", network.port)


def run_to_the_end(conversation: Registration, network: Network, now: float) -> None:
    waiting: list[Command] = conversation.handle(Started(), now)
    while not any(isinstance(command, Done) for command in waiting):
        if not waiting:
            assert conversation.deadline is not None
            now = conversation.deadline
            waiting = conversation.handle(DeadlineReached(), now)
            continue
        match waiting.pop(0):
            case Rebind():
                network.port += 1
                waiting += conversation.handle(SocketBound(REMOTE), now)
            case SendDatagram(payload):
                answer = network.answer(payload, now)
                waiting += [] if answer is None else conversation.handle(DatagramReceived(answer), now)
            case other:
                assert isinstance(other, Report | StoreRecord), other
