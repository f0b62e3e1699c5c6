from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.protocol.gate import (
    CODE_LIFE,
    MAX_WAITING,
    Admission,
    Gate,
    Method,
    make_code,
    normalize_code,
    normalize_password,
)
from rdpeer.values import PublicKey
from rdpeer.wire import channel_pb2

KEY = PublicKey(b"k" * 32)


def test_the_methods_numbers_are_the_wires() -> None:
    wire = dict(channel_pb2.Method.items())
    assert wire.pop("NO_METHOD") == 0
    assert {method.name: method.value for method in Method} == wire


# What is offered


def test_a_gate_with_nothing_offers_nothing() -> None:
    gate = Gate()
    assert gate.methods(0.0) == ()
    assert not gate.is_authorized(KEY)
    assert gate.secret(Method.CODE, 0.0) is gate.secret(Method.PASSWORD, 0.0) is None


def test_a_gate_with_everything_offers_it_in_order() -> None:
    gate = Gate(is_authorized=lambda key: key == KEY, password=b"pw", open_to_all=True)
    gate.offer_code(b"7K4M2XQP", 0.0)
    assert gate.methods(0.0) == (Method.KEY, Method.CODE, Method.PASSWORD, Method.OPEN)
    assert gate.is_authorized(KEY)
    assert not gate.is_authorized(PublicKey(b"x" * 32))
    assert gate.secret(Method.PASSWORD, 0.0) == b"pw"
    assert gate.secret(Method.OPEN, 0.0) is None


def test_authorized_keys_are_asked_for_each_time() -> None:
    authorized: set[PublicKey] = set()
    gate = Gate(is_authorized=authorized.__contains__)
    assert not gate.is_authorized(KEY)
    authorized.add(KEY)
    assert gate.is_authorized(KEY)


# Codes


def test_a_code_is_good_for_an_hour() -> None:
    gate = Gate()
    assert gate.offer_code(b"7K4M2XQP", 100.0) == 100.0 + CODE_LIFE
    assert gate.methods(100.0 + CODE_LIFE - 1) == (Method.CODE,)
    assert gate.methods(100.0 + CODE_LIFE) == ()
    assert not gate.consume(b"7K4M2XQP", 100.0 + CODE_LIFE)


def test_a_code_is_good_for_one_success() -> None:
    gate = Gate()
    gate.offer_code(b"7K4M2XQP", 0.0)
    assert gate.consume(b"7K4M2XQP", 1.0)
    assert not gate.consume(b"7K4M2XQP", 1.0)
    assert gate.methods(1.0) == ()


def test_a_code_that_was_replaced_does_not_pass() -> None:
    gate = Gate()
    gate.offer_code(b"7K4M2XQP", 0.0)
    gate.offer_code(b"00000000", 1.0)
    assert not gate.consume(b"7K4M2XQP", 1.0)
    assert gate.consume(b"00000000", 1.0)


def test_wrong_guesses_do_not_end_the_code() -> None:
    gate = Gate()
    gate.offer_code(b"7K4M2XQP", 0.0)
    for _ in range(100):
        gate.wrong_guess(Method.CODE, 1.0)
    assert gate.methods(1.0) == (Method.CODE,)


# Guessing


def guesses_answered(gate: Gate, method: Method, times: list[float]) -> int:
    answered = 0
    for now in times:
        if gate.may_guess(method, now):
            gate.wrong_guess(method, now)
            answered += 1
    return answered


def test_codes_five_at_once_then_one_a_second() -> None:
    gate = Gate()
    assert guesses_answered(gate, Method.CODE, [10.0] * 20) == 5
    assert not gate.may_guess(Method.CODE, 10.9)
    assert guesses_answered(gate, Method.CODE, [11.0] * 3) == 1
    assert guesses_answered(gate, Method.CODE, [12.0 + i / 10 for i in range(100)]) == 10


def test_passwords_ten_a_minute() -> None:
    gate = Gate()
    assert guesses_answered(gate, Method.PASSWORD, [0.0] * 20) == 10
    assert guesses_answered(gate, Method.PASSWORD, [60.0] * 20) == 10
    assert not gate.may_guess(Method.PASSWORD, 65.0)
    assert gate.may_guess(Method.PASSWORD, 66.5)


def test_a_bucket_never_overflows_and_buckets_are_apart() -> None:
    gate = Gate()
    assert guesses_answered(gate, Method.CODE, [0.0] * 20) == 5
    assert guesses_answered(gate, Method.CODE, [1e6] * 20) == 5
    assert gate.may_guess(Method.PASSWORD, 1e6)


def test_right_secrets_cost_nothing() -> None:
    gate = Gate(password=b"pw")
    assert all(gate.may_guess(Method.PASSWORD, 0.0) for _ in range(100))


@given(st.lists(st.floats(0, 1e9), max_size=30))
def test_a_clock_that_jumps_gives_no_guess_away(times: list[float]) -> None:
    gate = Gate()
    span = max(times, default=0.0)
    rises = sum(max(0.0, b - a) for a, b in itertools.pairwise(times))
    assert guesses_answered(gate, Method.CODE, times) <= 5 + rises + span * 1e-9


# Codes and passwords as people type them


def test_make_code() -> None:
    assert make_code(lambda n: bytes(n)) == "0000-0000"
    assert make_code(lambda n: b"\xff" * n) == "ZZZZ-ZZZZ"
    assert make_code(lambda n: bytes.fromhex("0123456789")) == "04HM-ASW9"
    assert make_code() != make_code()


@given(st.binary(min_size=5, max_size=5))
def test_a_code_that_was_made_is_read(raw: bytes) -> None:
    code = make_code(lambda n: raw)
    assert normalize_code(code) == code.replace("-", "").encode()
    assert normalize_code(code.lower()) == normalize_code(code)


@pytest.mark.parametrize(
    "typed", ["7k4m-2xqp", "7K4M2XQP", " 7K4M 2XQP\n", "7k-4m-2x-qp", "7K4M_2XQP", "7K4M.2XQP"]
)
def test_case_and_separators_do_not_matter(typed: str) -> None:
    assert normalize_code(typed) == b"7K4M2XQP"


def test_lookalikes() -> None:
    assert normalize_code("iIlL-oO01") == b"11110001"


@pytest.mark.parametrize("typed", ["", "7K4M-2XQ", "7K4M-2XQPP", "7K4M-2XQU", "7K4M-2XQ\u00df"])
def test_what_cannot_be_a_code_costs_no_guess(typed: str) -> None:
    with pytest.raises(ValueError, match="a code is"):
        normalize_code(typed)


def test_passwords_are_normalised() -> None:
    assert normalize_password("e\u0301") == normalize_password("\u00e9") == "\u00e9".encode()
    assert normalize_password("pw\n") == normalize_password("pw\r\n") == normalize_password("pw") == b"pw"
    assert normalize_password("pw\n\n") == b"pw\n"
    assert normalize_password(" pw ") == b" pw "
    assert normalize_password("pw\r") == b"pw\r"


@pytest.mark.parametrize("typed", ["", "\n", "\r\n", "pw\ud800"])
def test_what_is_no_password(typed: str) -> None:
    with pytest.raises(ValueError, match="password"):
        normalize_password(typed)


# Sessions that have not authenticated yet


def test_there_is_room_for_thirty_two() -> None:
    admission: Admission[int] = Admission()
    assert all(admission.enter(session) is None for session in range(MAX_WAITING))
    assert admission.enter(99) is not None
    assert len(admission) == MAX_WAITING == 32


def test_beyond_that_a_random_one_is_dropped_the_newest_included() -> None:
    for choice, dropped in ((0, "a"), (1, "b"), (2, "new")):
        admission: Admission[str] = Admission(2, lambda n, choice=choice: choice)  # type: ignore[misc]
        admission.enter("a")
        admission.enter("b")
        assert admission.enter("new") == dropped
        assert len(admission) == 2


def test_who_leaves_makes_room() -> None:
    admission: Admission[str] = Admission(1)
    assert admission.enter("a") is None
    admission.leave("a")
    admission.leave("a")
    assert admission.enter("b") is None
