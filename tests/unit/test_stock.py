from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.crypto.stock import StockChannel
from rdpeer.errors import RemoteProtocolError

KEY = bytes(range(32))


@given(st.lists(st.binary(max_size=100), max_size=5))
def test_sealed_and_opened_in_order(messages: list[bytes]) -> None:
    ours, theirs = StockChannel(KEY), StockChannel(KEY)
    for message in messages:
        assert theirs.open(ours.seal(message)) == message
        assert ours.open(theirs.seal(message)) == message


def test_a_heartbeat_is_not_sealed_and_does_not_count() -> None:
    ours, theirs = StockChannel(KEY), StockChannel(KEY)
    assert theirs.open(b"") == b""
    assert theirs.open(ours.seal(b"first")) == b"first"


def test_an_empty_message_is_sealed() -> None:
    ours, theirs = StockChannel(KEY), StockChannel(KEY)
    assert len(ours.seal(b"")) == 16
    assert theirs.open(StockChannel(KEY).seal(b"")) == b""


@given(st.binary(min_size=1, max_size=60))
def test_hostile_payloads_are_refused(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        StockChannel(KEY).open(payload)


def test_a_repeated_message_does_not_open() -> None:
    ours, theirs = StockChannel(KEY), StockChannel(KEY)
    sealed = ours.seal(b"one")
    theirs.open(sealed)
    with pytest.raises(RemoteProtocolError):
        theirs.open(sealed)
