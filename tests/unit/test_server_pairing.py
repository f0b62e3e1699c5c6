"""Pairing and admission by a virtual clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.errors import RemoteProtocolError
from rdpeer.server.admission import Admission
from rdpeer.server.limits import Limits
from rdpeer.server.pairing import Pairing, request_in
from rdpeer.values import Endpoint, PublicKey
from rdpeer.wire import rendezvous_pb2 as wire

KEY = PublicKey(bytes(range(32)))


def accepts(text: str) -> bool:
    return text == KEY.text


def request(token: str, key: str = KEY.text) -> wire.RequestRelay:
    return wire.RequestRelay(uuid=token, licence_key=key)


def test_two_legs_with_one_token_make_a_pair_once() -> None:
    pairing = Pairing(accepts, Limits())
    assert pairing.arrive(1, request("a"), 0.0) is None
    assert pairing.arrive(2, request("b"), 0.0) is None
    assert pairing.arrive(3, request("a"), 1.0) == 1
    with pytest.raises(RemoteProtocolError):
        pairing.arrive(4, request("a"), 60.9)
    assert pairing.arrive(5, request("a"), 61.0) is None


def test_a_leg_waits_thirty_seconds() -> None:
    pairing = Pairing(accepts, Limits())
    pairing.arrive(1, request("a"), 0.0)
    pairing.arrive(2, request("b"), 10.0)
    assert pairing.overdue(29.9) == []
    assert pairing.overdue(30.0) == [1]
    assert pairing.overdue(30.0) == []
    assert pairing.arrive(3, request("a"), 31.0) is None


@pytest.mark.parametrize(
    "refused",
    [request("a", ""), request("a", "k"), request(""), request("x" * 129), request("é" * 65)],
)
def test_a_request_without_the_key_or_a_fit_token_is_refused(refused: wire.RequestRelay) -> None:
    pairing = Pairing(accepts, Limits())
    with pytest.raises(RemoteProtocolError):
        pairing.arrive(1, refused, 0.0)


@pytest.mark.parametrize("payload", [b"", b"\xff", wire.RendezvousMessage().SerializeToString()])
def test_what_is_no_request_for_a_relay_is_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        request_in(payload)


@given(st.binary(max_size=100))
def test_any_first_frame_is_refused_or_parked(payload: bytes) -> None:
    try:
        assert Pairing(accepts, Limits()).arrive(1, request_in(payload), 0.0) is None
    except RemoteProtocolError:
        return


def test_who_is_silent_is_overdue_once() -> None:
    admission = Admission(10, 10, 30.0)
    silent, talking, settled = (admission.admit(Endpoint("192.0.2.1", port), 0.0) for port in (1, 2, 3))
    assert silent is not None
    assert talking is not None
    assert settled is not None
    admission.heard(talking, 20.0)
    admission.settle(settled)
    assert admission.overdue(29.9) == []
    assert admission.overdue(30.0) == [silent]
    assert admission.overdue(49.9) == []
    assert admission.overdue(50.0) == [talking]
    assert len(admission) == 3


def test_there_is_room_for_so_many_and_for_so_many_of_one_address() -> None:
    admission = Admission(3, 2, 30.0)
    first = admission.admit(Endpoint("2001:db8::1", 1), 0.0)
    assert first
    assert admission.admit(Endpoint("2001:db8::2", 1), 0.0)
    assert admission.admit(Endpoint("2001:db8::3", 1), 0.0) is None
    assert admission.admit(Endpoint("192.0.2.1", 1), 0.0)
    assert admission.admit(Endpoint("192.0.2.2", 1), 0.0) is None
    admission.leave(first)
    assert admission.admit(Endpoint("2001:db8::3", 1), 0.0)
