"""Datagrams and segments of the stream over UDP, to the byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.errors import RemoteProtocolError
from rdpeer.wire import kcp as wire

U32 = st.integers(0, 2**32 - 1)


def test_the_layout():
    name = wire.encode_name(0x04030201, 0x08070605, 0x0C0B0A09)
    front = wire.encode_header(name, wire.ACK | wire.DATA)
    assert front == bytes.fromhex("0102030405060708090a0b0c0a00")
    header = wire.encode_segment(0x04030201, wire.PUSH, 0x0605, 0x0A090807, 0x0E0D0C0B, 0x1211100F, 3)
    assert header == bytes.fromhex("01020304 51 00 0506 0708090a 0b0c0d0e 0f101112 03000000")
    assert wire.split_datagram(front + header) == (name, 0x0A)
    assert wire.parse_segments(front + header + b"abc") == [
        (wire.PUSH, 0x0605, 0x0A090807, 0x0E0D0C0B, 0x1211100F, b"abc")
    ]


def test_the_flags_are_stocks():
    assert (wire.SYN, wire.ACK, wire.FIN, wire.DATA) == (0x01, 0x02, 0x04, 0x08)
    assert (wire.RST, wire.PING, wire.PONG) == (0x10, 0x20, 0x40)


@given(U32, st.lists(st.tuples(st.integers(0, 65535), U32, U32, U32, st.binary(max_size=40)), max_size=8))
def test_segments_come_out_as_they_went_in(conversation, parts):
    datagram = wire.encode_header(wire.encode_name(conversation), wire.ACK | wire.DATA)
    for window, stamp, number, expected, data in parts:
        datagram += (
            wire.encode_segment(conversation, wire.PUSH, window, stamp, number, expected, len(data)) + data
        )
    assert wire.parse_segments(datagram) == [(wire.PUSH, *part) for part in parts]


@given(st.binary(max_size=1600))
def test_any_bytes_are_segments_or_an_error(datagram):
    try:
        name, _ = wire.split_datagram(datagram)
        segments = wire.parse_segments(datagram)
    except RemoteProtocolError:
        return
    assert len(name) == wire.NAME_SIZE
    size = sum(wire.SEGMENT_SIZE + len(segment.data) for segment in segments)
    assert size == len(datagram) - wire.HEADER_SIZE


@pytest.mark.parametrize("size", [0, 13, 1501])
def test_a_datagram_has_its_size(size):
    with pytest.raises(RemoteProtocolError, match=f"a datagram of {size} bytes"):
        wire.split_datagram(bytes(size))


@given(U32, st.integers(0, 255), U32, st.binary(max_size=30))
def test_a_segment_with_any_command_and_length(conversation, command, size, data):
    front = wire.encode_header(wire.encode_name(conversation), wire.ACK | wire.DATA)
    header = wire.encode_segment(conversation, 0, 1, 2, 3, 4, size)
    datagram = front + header[:4] + bytes((command,)) + header[5:] + data
    if command == wire.PUSH and size == len(data):
        assert wire.parse_segments(datagram)[0].data == data
    elif not (wire.PUSH < command <= wire.TELL_WINDOW and not size and not data):
        with pytest.raises(RemoteProtocolError):
            wire.parse_segments(datagram)
