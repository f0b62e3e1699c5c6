"""What holds for the sealing of both versions of the channel."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.crypto import aegis, secretstream
from rdpeer.errors import LocalProtocolError, RemoteProtocolError
from rdpeer.wire.records import RecordType, encode

KEY, HEADER = bytes(range(32)), bytes(range(24))
FINAL = encode(RecordType.FINAL)

both = pytest.mark.parametrize("by", [secretstream, aegis], ids=["version 1", "version 2"])


@both
@given(records=st.lists(st.binary(max_size=300).filter(lambda record: record != FINAL), max_size=8))
def test_what_is_sealed_opens_in_order(by: ModuleType, records: list[bytes]) -> None:
    sealer, opener = by.Sealer(KEY, HEADER), by.Opener(KEY, HEADER)
    for record in records:
        sealed = sealer.seal(record)
        assert len(sealed) == len(record) + by.OVERHEAD
        assert opener.open(sealed) == (record, False)
    assert opener.open(sealer.seal(FINAL, final=True)) == (FINAL, True)


@both
def test_a_record_never_looks_the_same_twice(by: ModuleType) -> None:
    sealer = by.Sealer(KEY, HEADER)
    assert len({sealer.seal(b"the same") for _ in range(600)}) == 600


@both
def test_nothing_is_sealed_after_the_final_record(by: ModuleType) -> None:
    sealer = by.Sealer(KEY, HEADER)
    sealer.seal(FINAL, final=True)
    with pytest.raises(LocalProtocolError):
        sealer.seal(b"more")


@both
@pytest.mark.parametrize("missing", [None, 0, 1])
def test_a_record_that_is_too_short_ends_the_channel(by: ModuleType, missing: int | None) -> None:
    sealer, opener = by.Sealer(KEY, HEADER), by.Opener(KEY, HEADER)
    with pytest.raises(RemoteProtocolError, match="too few"):
        opener.open(b"" if missing is None else bytes(by.OVERHEAD - 1 - missing))
    with pytest.raises(RemoteProtocolError, match="after the end"):
        opener.open(sealer.seal(b"good"))


@both
@pytest.mark.parametrize("mischief", ["flip", "flip the tag", "repeat", "skip", "cut", "extend"])
def test_one_failed_open_ends_the_channel_for_good(by: ModuleType, mischief: str) -> None:
    sealer, opener = by.Sealer(KEY, HEADER), by.Opener(KEY, HEADER)
    first, second, third = (sealer.seal(record) for record in (b"one", b"two", b"three"))
    opener.open(first)
    hostile = {
        "flip": bytes((second[0] ^ 1,)) + second[1:],
        "flip the tag": second[:-1] + bytes((second[-1] ^ 128,)),
        "repeat": first,
        "skip": third,
        "cut": second[:-1],
        "extend": second + b"\0",
    }[mischief]
    with pytest.raises(RemoteProtocolError, match="does not open"):
        opener.open(hostile)
    with pytest.raises(RemoteProtocolError, match="after the end"):
        opener.open(second)


@both
def test_other_key_and_other_header_do_not_open(by: ModuleType) -> None:
    sealed = by.Sealer(KEY, HEADER).seal(b"hello")
    for opener in (by.Opener(bytes(32), HEADER), by.Opener(KEY, bytes(24))):
        with pytest.raises(RemoteProtocolError):
            opener.open(sealed)
