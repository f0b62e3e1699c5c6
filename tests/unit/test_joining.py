"""JOIN: who may join, and what another session's, a repeated and a reflected one are worth."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.crypto.move_key import MoveKey
from rdpeer.errors import RemoteProtocolError
from rdpeer.protocol.joining import JOIN_BYTES, Joining, answer

FACTS = {
    "exporter": b"e" * 32,
    "t2": b"t" * 32,
    "initiator_nonce": b"i" * 16,
    "responder_nonce": b"r" * 16,
}


def keys(**other: bytes) -> tuple[MoveKey, MoveKey]:
    """Both ends of a session: ``other`` says how it differs from the first."""
    facts = FACTS | other
    return MoveKey(initiator=True, **facts), MoveKey(initiator=False, **facts)


def test_both_ends_name_the_transport_alike():
    near, far = keys()
    joining = Joining(near)
    payload, name = answer(far, joining.payload)
    assert joining.receive(payload) == name
    assert len(name) == 16
    assert len(joining.payload) == len(payload) == JOIN_BYTES


@pytest.mark.parametrize("fact", FACTS)
def test_a_join_of_another_session_or_attempt(fact):
    (near, _), (_, far) = keys(), keys(**{fact: b"x" * len(FACTS[fact])})
    with pytest.raises(RemoteProtocolError, match="somebody else comes"):
        answer(far, Joining(near).payload)


def test_nonces_in_the_others_place():
    near, _ = keys()
    _, far = keys(initiator_nonce=b"r" * 16, responder_nonce=b"i" * 16)
    with pytest.raises(RemoteProtocolError):
        answer(far, Joining(near).payload)


def test_a_reflected_join():
    near, far = keys()
    joining = Joining(near)
    with pytest.raises(RemoteProtocolError, match="somebody else answers"):
        joining.receive(joining.payload)
    payload, _ = answer(far, joining.payload)
    with pytest.raises(RemoteProtocolError):
        answer(far, payload)


def test_a_join_that_is_repeated_elsewhere_gets_another_name():
    near, far = keys()
    joining = Joining(near)
    names = {answer(far, joining.payload)[1] for _ in range(3)}
    assert len(names) == 3


def test_an_answer_to_another_connection():
    near, far = keys()
    mine, other = Joining(near), Joining(near)
    payload, _ = answer(far, other.payload)
    with pytest.raises(RemoteProtocolError):
        mine.receive(payload)


@pytest.mark.parametrize("at", [0, 1, 16, 17, 48, 49, JOIN_BYTES - 1])
def test_a_changed_byte(at):
    near, far = keys()
    joining = Joining(near)
    payload, _ = answer(far, joining.payload)
    for frame, hear in ((joining.payload, lambda changed: answer(far, changed)), (payload, joining.receive)):
        changed = bytearray(frame)
        changed[at] ^= 1
        with pytest.raises(RemoteProtocolError):
            hear(bytes(changed))


@given(st.binary(max_size=80) | st.binary(min_size=JOIN_BYTES, max_size=JOIN_BYTES))
def test_garbage(payload):
    near, far = keys()
    for hear in (Joining(near).receive, lambda garbage: answer(far, garbage)):
        with pytest.raises(RemoteProtocolError):
            hear(payload)


def test_tags_are_all_different():
    tags = {
        key.tag(purpose, ours=ours)
        for key in keys()
        for purpose in (b"check", b"answer")
        for ours in (True, False)
    }
    assert len(tags) == 4  # what one end sends the other one expects
