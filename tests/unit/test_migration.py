"""Moving a session to another transport: its records, and what a peer must not do with them."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdpeer.errors import LocalProtocolError, RemoteProtocolError
from rdpeer.protocol.candidates import Candidate, Candidates, Transport, write_candidates
from rdpeer.protocol.session import Session
from rdpeer.protocol.session_events import CandidatesReceived, CreditGained, DataReceived, PeerSwitched
from rdpeer.values import Endpoint
from rdpeer.wire import channel_pb2 as pb
from rdpeer.wire.records import RecordType, decode, encode

NAME, OTHER = b"b" * 16, b"x" * 16
SAID = Candidates(b"n" * 16, (Candidate(Transport.UDP, Endpoint("192.0.2.1", 5)),))


def hear(side: Session, kind: RecordType, body: object = b"", *, final: bool = False) -> list[object]:
    events = side.receive(encode(kind, body), final, 0.0)  # type: ignore[arg-type]
    return [event for event in events if not isinstance(event, CreditGained)]


def greeted(*, initiator: bool, movable: bool = True, features: tuple[str, ...] = ("move",)) -> Session:
    side = Session(initiator=initiator, version="1", now=0.0, movable=movable)
    hear(side, RecordType.HELLO, pb.Hello(features=features, max_streams=8))
    record, _ = side.next_record() or (b"", False)
    assert decode(record)[0] is RecordType.HELLO
    assert list(pb.Hello.FromString(record[1:]).features) == (["move"] if movable else [])
    return side


def ready(*, initiator: bool) -> Session:
    """Both ends' candidates are out."""
    side = greeted(initiator=initiator)
    side.offer_candidates(SAID)
    record, _ = side.next_record() or (b"", False)
    assert record == encode(RecordType.CANDIDATES, write_candidates(SAID))
    assert hear(side, RecordType.CANDIDATES, write_candidates(SAID)) == [CandidatesReceived(SAID)]
    return side


def test_the_initiator_goes_first_and_the_responder_follows():
    near, far = ready(initiator=True), ready(initiator=False)
    record = near.switch(NAME)
    assert record == encode(RecordType.SWITCH, NAME)
    assert far.receive(record, False, 0.0) == [PeerSwitched(NAME)]
    assert near.receive(far.switch(NAME), False, 0.0) == [PeerSwitched(NAME)]


@pytest.mark.parametrize(
    ("movable", "features", "may"),
    [
        (True, ("move",), True),
        (True, ("later", "move", "than this"), True),
        (True, (), False),
        (True, ("moves",), False),
        (False, ("move",), False),
    ],
)
def test_both_must_have_announced_it(movable, features, may):
    side = greeted(initiator=False, movable=movable, features=features)
    assert side.may_move is may
    if not may:
        with pytest.raises(LocalProtocolError):
            side.offer_candidates(SAID)
        with pytest.raises(RemoteProtocolError, match="candidates, where they have no place"):
            hear(side, RecordType.CANDIDATES, write_candidates(SAID))


def test_nothing_is_known_before_the_others_hello():
    side = Session(initiator=True, version="1", now=0.0, movable=True)
    assert not side.greeted
    assert not side.may_move
    with pytest.raises(RemoteProtocolError, match="before the peer's HELLO"):
        hear(side, RecordType.CANDIDATES, write_candidates(SAID))


def test_candidates_come_once():
    side = ready(initiator=False)
    with pytest.raises(LocalProtocolError):
        side.offer_candidates(SAID)
    with pytest.raises(RemoteProtocolError, match="candidates, where they have no place"):
        hear(side, RecordType.CANDIDATES, write_candidates(SAID))


@pytest.mark.parametrize("name", [b"", b"b" * 15, b"b" * 17])
def test_a_switch_without_a_name(name):
    with pytest.raises(RemoteProtocolError, match="not agreed on"):
        hear(ready(initiator=False), RecordType.SWITCH, name)


@pytest.mark.parametrize("initiator", [True, False])
def test_a_switch_out_of_the_blue(initiator):
    with pytest.raises(RemoteProtocolError, match="not agreed on"):
        hear(greeted(initiator=initiator), RecordType.SWITCH, NAME)


def test_a_switch_before_our_own_candidates():
    side = greeted(initiator=False)
    hear(side, RecordType.CANDIDATES, write_candidates(SAID))
    with pytest.raises(RemoteProtocolError, match="not agreed on"):
        hear(side, RecordType.SWITCH, NAME)


def test_a_responder_does_not_go_first():
    near, far = ready(initiator=True), ready(initiator=False)
    with pytest.raises(LocalProtocolError, match="cannot move now"):
        far.switch(NAME)
    with pytest.raises(RemoteProtocolError, match="not agreed on"):
        hear(near, RecordType.SWITCH, NAME)


def test_a_responder_does_not_choose():
    near, far = ready(initiator=True), ready(initiator=False)
    far.receive(near.switch(NAME), False, 0.0)
    with pytest.raises(LocalProtocolError, match="cannot move now"):
        far.switch(OTHER)
    with pytest.raises(RemoteProtocolError, match="not agreed on"):
        hear(near, RecordType.SWITCH, OTHER)


def test_a_direction_moves_once():
    near, far = ready(initiator=True), ready(initiator=False)
    far.receive(near.switch(NAME), False, 0.0)
    near.receive(far.switch(NAME), False, 0.0)
    for side in (near, far):
        with pytest.raises(LocalProtocolError, match="cannot move now"):
            side.switch(NAME)
        with pytest.raises(RemoteProtocolError, match="not agreed on"):
            hear(side, RecordType.SWITCH, NAME)


def test_nobody_begins_to_move_at_the_end():
    for end in (lambda side: hear(side, RecordType.FINAL, final=True), finish):
        side = ready(initiator=True)
        end(side)
        assert not side.may_move


def finish(side: Session) -> None:
    side.finish()
    assert side.next_record() == (encode(RecordType.FINAL), True)
    with pytest.raises(LocalProtocolError, match="after FINAL"):
        side.switch(NAME)


def test_a_switch_sealed_as_final():
    with pytest.raises(RemoteProtocolError, match="sealed as final"):
        hear(ready(initiator=False), RecordType.SWITCH, NAME, final=True)


def test_join_has_no_place_inside_a_session():
    with pytest.raises(RemoteProtocolError, match="JOIN inside a session"):
        hear(ready(initiator=False), RecordType.JOIN, bytes(1399))


# Two sessions on two paths each way, which deliver at their own pace


class End:
    """One side that sends ``text`` and notes what it hears. ``wires``: the old path to it, and the new."""

    def __init__(self, *, initiator: bool, text: bytes) -> None:
        self.side = ready(initiator=initiator)
        self.initiator = initiator
        self.unsent = text
        self.heard = b""
        self.wires: tuple[deque[tuple[bytes, bool]], ...] = (deque(), deque())
        self.sends_on = self.hears_on = 0

    def send(self, other: End, size: int) -> None:
        chunk, self.unsent = self.unsent[:size], self.unsent[size:]
        if chunk:
            self.side.data(1, chunk)
        while (item := self.side.next_record()) is not None:
            other.wires[self.sends_on].append(item)

    def switch(self, other: End) -> None:
        other.wires[self.sends_on].append((self.side.switch(NAME), False))
        self.sends_on = 1

    def hear(self, other: End) -> None:
        if not (wire := self.wires[self.hears_on]):
            return
        for event in self.side.receive(*wire.popleft(), 0.0):
            if isinstance(event, DataReceived):
                self.heard += event.data
            elif isinstance(event, PeerSwitched):
                self.hears_on = 1
                if not self.initiator:
                    self.switch(other)


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False), st.binary(max_size=300), st.binary(max_size=300))
def test_every_byte_arrives_once_and_in_order_wherever_the_move_falls(random, up, down):
    near, far = End(initiator=True, text=up), End(initiator=False, text=down)
    near.side.open()
    near.send(far, 0)
    far.hear(near)
    far.side.accept(1)
    far.send(near, 0)
    near.hear(far)
    moment = random.randint(0, 20)
    for step in range(2000):
        if step == moment:
            near.switch(far)
        for end, other in random.sample([(near, far), (far, near)], 2):
            if random.random() < 0.5:
                end.send(other, random.randint(1, 40))
            if random.random() < 0.5:
                end.hear(other)
        if step > moment and not (near.unsent or far.unsent or any(map(any, (near.wires, far.wires)))):
            break
    assert (far.heard, near.heard) == (up, down)
    assert near.hears_on == far.hears_on == near.sends_on == far.sends_on == 1
    assert not near.wires[0]
    assert not far.wires[0]
