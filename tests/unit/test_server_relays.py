"""Relays in turn."""

from __future__ import annotations

import pytest

from rdpeer.server.relays import Relays
from rdpeer.values import ServerAddress

A, B, C = (ServerAddress(name, 21117) for name in "abc")


def handed_out(relays: Relays, count: int) -> set[str]:
    return {relays.choose() for _ in range(count)}


def test_each_has_its_turn_and_the_dead_have_none(caplog: pytest.LogCaptureFixture) -> None:
    relays = Relays([A, B, C])
    assert handed_out(relays, 3) == {"a:21117", "b:21117", "c:21117"}
    relays.checked(B, answers=False)
    relays.checked(B, answers=False)
    assert handed_out(relays, 4) == {"a:21117", "c:21117"}
    relays.checked(B, answers=True)
    assert handed_out(relays, 3) == {"a:21117", "b:21117", "c:21117"}
    assert [record.getMessage() for record in caplog.records] == [
        "relay b:21117 does not answer: it is left out until it does",
        "relay b:21117 answers again",
    ]


def test_where_none_answers_all_are_handed_out() -> None:
    relays = Relays([A, B])
    for address in (A, B):
        relays.checked(address, answers=False)
    assert handed_out(relays, 2) == {"a:21117", "b:21117"}


def test_without_any_the_servers_own_host_is_meant() -> None:
    assert Relays([]).choose() == ""
