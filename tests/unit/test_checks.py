"""Checks: two ends behind filters and translations, on a virtual clock, with loss."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdpeer.crypto.move_key import MoveKey
from rdpeer.protocol.checks import CHECK_BYTES, MOST_DATAGRAMS, Checks
from rdpeer.values import Endpoint

A, B = Endpoint("198.51.100.1", 1000), Endpoint("203.0.113.1", 2000)
FACTS = {
    "exporter": b"e" * 32,
    "t2": b"t" * 32,
    "initiator_nonce": b"i" * 16,
    "responder_nonce": b"r" * 16,
}


def key(*, initiator: bool = True) -> MoveKey:
    return MoveKey(initiator=initiator, **FACTS)


class End:
    """One end behind a NAT that lets in what was asked for, or anything if ``open_to_all``.

    ``seen`` is how its datagrams look outside: by where they go, if the NAT is symmetric.
    """

    def __init__(self, initiator: bool, at: Endpoint, target: Endpoint, start: float, **nat: bool) -> None:
        self.checks = Checks(key(initiator=initiator), [target], start)
        self.at = at
        self.nat = nat
        self.start = start
        self.asked: set[Endpoint] = set()

    def outside(self, to: Endpoint) -> Endpoint:
        return Endpoint(self.at.ip, self.at.port + 7) if self.nat.get("symmetric") else self.at

    def lets_in(self, to: Endpoint, source: Endpoint) -> bool:
        return self.nat.get("open", False) or (source in self.asked and to == self.outside(source))


def run(near: End, far: End, *, lose=lambda: False, latency: float = 0.04, until: float = 12.0) -> None:
    """Both ends from 0 to ``until``, in steps of 10 ms."""
    under_way: list[tuple[float, End, Endpoint, Endpoint, bytes]] = []

    def send(end: End, other: End, datagrams, now: float) -> None:
        for to, datagram in datagrams:
            end.asked.add(to)
            if not lose():
                under_way.append((now + latency, other, to, end.outside(to), datagram))

    for step in range(int(until * 100)):
        now = step / 100
        for end, other in ((near, far), (far, near)):
            if now >= end.start:
                send(end, other, end.checks.due(now), now)
        for item in [item for item in under_way if item[0] <= now]:
            under_way.remove(item)
            _, end, to, source, datagram = item
            other = far if end is near else near
            if now >= end.start and end.lets_in(to, source):
                send(end, other, end.checks.receive(datagram, source, now), now)


@pytest.mark.parametrize("delay", [0.0, 0.05, 1.0, 4.0, 5.5])
@pytest.mark.parametrize("late", ["near", "far"])
def test_two_nats_that_let_in_what_was_asked_for(delay, late):
    near = End(True, A, B, delay if late == "near" else 0.0)
    far = End(False, B, A, delay if late == "far" else 0.0)
    run(near, far)
    assert near.checks.working == [B]
    assert far.checks.working == [A]
    assert far.checks.was_checked_by(A)


def test_a_symmetric_nat_and_an_open_end():
    near, far = End(True, A, B, 0.0, symmetric=True), End(False, B, A, 0.0, open=True)
    run(near, far)
    outside = near.outside(B)
    assert near.checks.working == [B]
    assert far.checks.working == [outside]
    assert far.checks.was_checked_by(outside)
    assert not far.checks.was_checked_by(A)


def test_a_symmetric_nat_and_one_that_lets_in_what_was_asked_for():
    near, far = End(True, A, B, 0.0, symmetric=True), End(False, B, A, 0.0)
    run(near, far)
    assert near.checks.working == far.checks.working == []


@settings(max_examples=30, deadline=None)
@given(st.integers())
def test_whatever_is_lost_nothing_untrue_is_believed_and_all_comes_to_an_end(seed):
    dice = random.Random(seed)
    near, far = End(True, A, B, 0.0), End(False, B, A, 0.0)
    run(near, far, lose=lambda: dice.random() < 0.5)
    assert near.checks.working in ([], [B])
    assert far.checks.working in ([], [A])
    assert not near.checks.working or far.checks.was_checked_by(A)
    assert near.checks.deadline is far.checks.deadline is None


def test_an_end_that_nobody_answers_stops_by_itself():
    checks, sent = Checks(key(), [A, B], 0.0), []
    while (deadline := checks.deadline) is not None:
        sent += checks.due(deadline)
    assert deadline is None
    assert [to for to, _ in sent].count(A) == [to for to, _ in sent].count(B) == 8


def a_check(*, initiator: bool = True) -> bytes:
    """What the end that is ``initiator`` sends."""
    ((_, datagram),) = Checks(key(initiator=initiator), [A], 0.0).due(0.0)
    assert len(datagram) == CHECK_BYTES
    return datagram


def test_no_address_gets_more_than_twenty_whatever_it_sends():
    checks, sent = Checks(key(initiator=False), [A], 0.0), []
    for step in range(1000):
        now = step / 50
        sent += checks.due(now)
        sent += checks.receive(a_check(), A, now)
    assert len(sent) == MOST_DATAGRAMS
    assert checks.deadline is None


def test_strangers_are_few_and_have_a_valid_check():
    checks = Checks(key(initiator=False), [A], 0.0)
    checks.due(0.0)
    sources = [Endpoint("192.0.2.9", port) for port in range(1, 100)]
    answered = {to for source in sources for to, _ in checks.receive(a_check(), source, 0.1)}
    assert len(answered) == 8


def test_what_is_no_check_is_dropped():
    checks = Checks(key(), [A], 0.0)
    ((_, ours),) = checks.due(0.0)
    theirs = a_check(initiator=False)
    wrong = [b"", b"\1", ours, theirs[:-1], theirs + b"\0", b"\2" + theirs[1:], bytes(13), b"\3" + theirs[1:]]
    assert [checks.receive(datagram, A, 0.1) for datagram in wrong] == [[]] * len(wrong)
    assert checks.working == []
    assert not checks.was_checked_by(A)


def test_an_answer_counts_only_from_where_we_asked():
    near, far = Checks(key(), [B], 0.0), Checks(key(initiator=False), [A], 0.0)
    ((_, check),) = near.due(0.0)
    (_, answer), *_ = far.receive(check, A, 0.0)
    assert near.receive(answer, Endpoint("192.0.2.9", 9), 0.1) == []
    assert near.working == []
    near.receive(answer, B, 0.1)
    near.receive(answer, B, 0.1)
    assert near.working == [B]
