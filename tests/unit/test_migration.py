"""Moving a session to another transport: its records, and what a peer must not do with them."""

from __future__ import annotations

import pytest

from rdpeer.errors import LocalProtocolError, RemoteProtocolError
from rdpeer.protocol.candidates import Candidate, Candidates, Transport, write_candidates
from rdpeer.protocol.session import Session
from rdpeer.protocol.session_events import CandidatesReceived, CreditGained, PeerSwitched
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
