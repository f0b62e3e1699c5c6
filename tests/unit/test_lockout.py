"""Stock's rules for wrong passwords, as docs/PROTOCOL.md 3.6 has them."""

from __future__ import annotations

import pytest

from rdpeer.protocol import lockout as module
from rdpeer.protocol.lockout import Lockout

HERE, THERE = "192.0.2.1", "192.0.2.2"
MINUTE = 60.0


def wrong(lockout: Lockout, times: int, source: str = HERE, now: float = 0.0) -> None:
    for _ in range(times):
        assert lockout.refusal(source, now) is None
        lockout.failed(source, now)


def test_more_than_six_in_a_clock_minute() -> None:
    lockout = Lockout()
    wrong(lockout, 7, now=MINUTE - 1)
    assert lockout.refusal(HERE, MINUTE - 1) == "Please try 1 minute later"
    assert lockout.refusal(THERE, MINUTE - 1) is None
    assert lockout.refusal(HERE, MINUTE) is None
    wrong(lockout, 7, now=MINUTE)
    assert lockout.refusal(HERE, MINUTE) == "Please try 1 minute later"


def test_more_than_thirty_in_all() -> None:
    lockout = Lockout()
    for number in range(31):
        wrong(lockout, 1, now=number * MINUTE)
    assert lockout.refusal(HERE, 1e9) == "Too many wrong attempts"
    assert lockout.refusal(THERE, 1e9) is None


def test_what_is_not_looked_at_does_not_count() -> None:
    lockout = Lockout()
    wrong(lockout, 7)
    for _ in range(100):
        assert lockout.refusal(HERE, 0.0) == "Please try 1 minute later"
    assert lockout.refusal(HERE, MINUTE) is None


def test_a_right_one_clears_the_address() -> None:
    lockout = Lockout()
    wrong(lockout, 7)
    lockout.passed(HERE)
    lockout.passed(THERE)
    wrong(lockout, 7)


@pytest.mark.parametrize(
    ("prefix", "most", "addresses"),
    [
        (64, 60, [f"2001:db8:0:1::{n:x}" for n in range(1, 200)]),
        (56, 80, [f"2001:db8:0:{n:x}::1" for n in range(1, 200)]),
        (48, 100, [f"2001:db8:0:{n:x}00::1" for n in range(1, 200)]),
    ],
)
def test_networks_of_ipv6(prefix: int, most: int, addresses: list[str]) -> None:
    lockout = Lockout()
    for address in addresses[: most + 1]:
        wrong(lockout, 1, address)
    text = f"Too many wrong attempts for IPv6 prefix /{prefix}"
    assert lockout.refusal(addresses[-1], 1e9) == text
    assert lockout.refusal("2001:db8:ffff::1", 1e9) is None


def test_an_address_that_is_none_is_counted_as_it_is() -> None:
    lockout = Lockout()
    wrong(lockout, 7, "somewhere")
    assert lockout.refusal("somewhere", 0.0) == "Please try 1 minute later"


def test_the_table_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_SOURCES", 10)
    lockout = Lockout()
    wrong(lockout, 7)
    for number in range(9):
        lockout.failed(f"198.51.100.{number}", 0.0)
    assert lockout.refusal(HERE, 0.0)
    lockout.failed("198.51.100.9", 0.0)
    assert lockout.refusal(HERE, 0.0) is None
    assert len(lockout._failures) == 10
