from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rdpeer.errors import LocalProtocolError, RemoteProtocolError
from rdpeer.wire.frames import MAX_PAYLOAD, FrameReader, encode_frame, encode_header

LIMIT = 100_000


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """``data`` in pieces, cut at ``places`` (modulo its length)."""
    marks = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(marks)]


@given(st.lists(st.binary(max_size=300), max_size=6), st.lists(st.integers(0, 10_000), max_size=10))
def test_payloads_come_back_however_the_stream_is_cut(payloads: list[bytes], places: list[int]) -> None:
    reader = FrameReader(LIMIT)
    stream = b"".join(map(encode_frame, payloads))
    assert [p for piece in cut(stream, places) for p in reader.receive(piece)] == payloads
    assert not reader.pending


@pytest.mark.parametrize("length", [0, 1, 63, 64, 16383, 16384, 70_000])
def test_every_header_length_one_byte_at_a_time(length: int) -> None:
    payload = bytes(range(256)) * (length // 256) + bytes(length % 256)
    frame = encode_frame(payload)
    reader = FrameReader(LIMIT)
    head = [reader.receive(frame[i : i + 1]) for i in range(min(len(frame), 6))]
    got = [p for payloads in head for p in payloads] + reader.receive(frame[6:])
    assert got == [payload]


@example(b"\0\1\4", [1])
@given(st.binary(max_size=500), st.lists(st.integers(0, 500), max_size=5))
def test_any_bytes_whole_or_split_give_the_same(data: bytes, places: list[int]) -> None:
    assert outcome([data]) == outcome(cut(data, places))


def outcome(pieces: list[bytes]) -> list[bytes] | None:
    """All payloads, or None where the stream is refused, be it after payloads that were returned."""
    reader = FrameReader(200)
    try:
        return [payload for piece in pieces for payload in reader.receive(piece)] + reader.advance(0)
    except RemoteProtocolError:
        return None


def test_headers_longer_than_needed_are_read() -> None:
    for header in (b"\x0c", b"\x0d\0", b"\x0e\0\0", b"\x0f\0\0\0"):
        assert FrameReader(10).receive(header + b"abc") == [b"abc"]


def test_a_frame_over_the_limit_is_refused_at_its_header() -> None:
    with pytest.raises(RemoteProtocolError, match="101 bytes is over the limit of 100"):
        FrameReader(100).receive(encode_header(101))
    with pytest.raises(RemoteProtocolError):
        FrameReader(100).receive(b"\xff\xff\xff\xff")


def test_the_limit_may_be_raised() -> None:
    reader = FrameReader(10)
    assert reader.receive(encode_frame(bytes(10))) == [bytes(10)]
    reader.limit = 100_000
    assert reader.receive(encode_frame(bytes(100_000))) == [bytes(100_000)]


def test_a_frame_larger_than_the_buffer() -> None:
    reader = FrameReader(1 << 20, buffer=4096)
    payload = bytes(300_000)
    assert reader.receive(encode_frame(payload) + encode_frame(b"next")) == [payload, b"next"]


def test_a_long_frame_takes_no_more_than_twice_what_has_come_of_it() -> None:
    reader, payload, come = FrameReader(10_000_000), bytes(5_000_000), 0
    for piece in cut(encode_frame(payload), [5, 100, 4_000, 70_000, 800_000, 3_000_000]):
        got, come = reader.receive(piece), come + len(piece)
        assert sizeof(reader) <= max(64 * 1024, 2 * come)
    assert got == [payload]


def sizeof(reader: FrameReader) -> int:
    """Bytes of its buffer, what it holds included."""
    with reader.writable() as room:
        assert isinstance(room.obj, bytearray)
        return len(room.obj)


def test_reading_into_the_buffer_itself() -> None:
    reader = FrameReader(LIMIT)
    stream = encode_frame(b"one") + encode_frame(b"two")[:2]
    with reader.writable() as room:
        room[: len(stream)] = stream
    assert reader.advance(len(stream)) == [b"one"]
    assert reader.pending


def test_the_buffer_is_never_full_between_frames() -> None:
    reader = FrameReader(LIMIT, buffer=4096)
    for piece in cut(encode_frame(bytes(50_000)) * 3, list(range(0, 150_000, 997))):
        reader.receive(piece)
        with reader.writable() as room:
            assert len(room)


def test_pending_tells_a_stream_cut_short() -> None:
    reader = FrameReader(LIMIT)
    reader.receive(encode_frame(b"whole"))
    assert not reader.pending
    reader.receive(encode_frame(b"half")[:3])
    assert reader.pending


def test_take_rest_is_for_a_leg_that_turns_raw() -> None:
    reader = FrameReader(LIMIT)
    assert reader.receive(encode_frame(b"framed") + b"\x28raw") == [b"framed"]
    assert reader.take_rest() == b"\x28raw"
    assert not reader.pending
    assert reader.take_rest() == b""


def test_what_no_header_can_say() -> None:
    assert encode_header(MAX_PAYLOAD) == b"\xff\xff\xff\xff"
    with pytest.raises(LocalProtocolError):
        encode_header(MAX_PAYLOAD + 1)


def test_one_frame_at_a_time_leaves_the_next_uncut() -> None:
    reader = FrameReader(LIMIT)
    stream = encode_frame(b"one") + b"\x28raw"
    with reader.writable() as room:
        room[: len(stream)] = stream
    assert reader.advance(len(stream), 1) == [b"one"]
    assert reader.take_rest() == b"\x28raw"
