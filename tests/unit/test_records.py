from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.errors import RemoteProtocolError
from rdpeer.wire import channel_pb2, records
from rdpeer.wire.records import RecordType


def test_the_numbers_are_the_wires() -> None:
    assert {kind.name: kind.value for kind in RecordType} == {
        "RESPONDER_PROOF": 1,
        "INITIATOR_PROOF": 2,
        "SHARE": 3,
        "CONFIRM": 4,
        "ACCEPTED": 5,
        "DENIED": 6,
        "PING": 16,
        "PONG": 17,
        "HELLO": 32,
        "OPEN": 33,
        "OPENED": 34,
        "REFUSED": 35,
        "DATA": 36,
        "WINDOW": 37,
        "END": 38,
        "STOP": 39,
        "EXIT": 40,
        "RESET": 41,
        "FINAL": 47,
        "CANDIDATES": 48,
        "SWITCH": 49,
        "JOIN": 50,
    }


@given(st.sampled_from(RecordType), st.binary(max_size=100))
def test_bytes_bodies_come_back(kind: RecordType, body: bytes) -> None:
    assert records.decode(records.encode(kind, body)) == (kind, body)


def test_a_message_body_is_serialised() -> None:
    record = records.encode(RecordType.END, channel_pb2.StreamEnd(stream=5))
    assert record == b"\x26\x08\x05"
    assert records.encode(RecordType.PING) == b"\x10"


@given(st.binary(max_size=20))
def test_any_bytes_are_a_record_or_refused(data: bytes) -> None:
    try:
        kind, body = records.decode(data)
    except RemoteProtocolError:
        assert not data or data[0] not in set(RecordType)
    else:
        assert bytes((kind,)) + body == data


@pytest.mark.parametrize("number", [0, 7, 51, 255])
def test_unknown_and_reserved_types_are_refused(number: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"unknown type {number}"):
        records.decode(bytes((number,)) + b"body")


@given(st.integers(0, 2**32 - 1), st.binary(max_size=100))
def test_data(stream: int, payload: bytes) -> None:
    record = records.encode_data(stream, payload)
    assert records.is_data(record)
    assert records.decode_data(record) == (stream, payload)
    assert len(record) == records.DATA_HEAD + len(payload)
    assert records.encode_data(stream, memoryview(payload)) == record


def test_data_layout() -> None:
    assert records.encode_data(0x01020304, b"xyz") == b"\x24\x01\x02\x03\x04xyz"


@pytest.mark.parametrize("record", [b"\x24", b"\x24\0\0\0"])
def test_data_without_its_head(record: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        records.decode_data(record)


def test_other_records_are_not_data() -> None:
    assert not records.is_data(b"")
    assert not records.is_data(b"\x25")


def test_every_record_has_a_name_for_people() -> None:
    assert [records.type_name(record) for record in (b"\x24rest", b"\x2f", b"\xff", b"")] == [
        "DATA",
        "FINAL",
        "a record of no known type",
        "a record of no known type",
    ]
