"""The targets of ``make fuzz`` keep step with the code: what they begin with passes."""

from __future__ import annotations

import pytest
from targets import TARGETS
from targets.script import pieces, script


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_nothing_and_zeros_pass(name: str) -> None:
    for data in (*TARGETS[name].seeds, b"", bytes(24)):
        assert len(data) <= TARGETS[name].longest
        TARGETS[name].feed(data)


def test_a_script_is_read_as_it_was_written() -> None:
    parts = [b"", b"short", bytes(254), bytes(255), bytes(700)]
    assert list(pieces(script(*parts))) == parts
    assert list(pieces(b"\x05cut")) == [b"cut"]
