"""The reliable stream over UDP, as bytes (docs/PROTOCOL.md 1.1, 1.5).

A datagram is a header of 14 bytes (the connection's number and two session
numbers, which together are its name; a byte of flags; a zero) and, where the flags
are ACK and DATA, segments of KCP: each a header of 24 bytes and its data. All
integers are little endian.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from rdpeer.errors import RemoteProtocolError

SYN, ACK, FIN, DATA, RST, PING, PONG = (1 << bit for bit in range(7))
"""The flags."""

PUSH, ACKNOWLEDGE, ASK_WINDOW, TELL_WINDOW = 81, 82, 83, 84
"""The commands of segments."""

NAME_SIZE = 12
HEADER_SIZE = 14
SEGMENT_SIZE = 24
MAX_SEGMENTS_SIZE = 1200
"""Bytes of segments in a datagram that we send, as stock's; their longest data is 24 bytes less."""
MAX_DATAGRAM = 1500
"""Bytes; longer ones are no datagrams of this protocol."""

_NAME = struct.Struct("<III")
_SEGMENT = struct.Struct("<IBBHIIII")


class Segment(NamedTuple):
    """``window``: segments that its sender has room for. ``number``: of a PUSH, or of the PUSH that is
    acknowledged, whose ``timestamp`` an ACKNOWLEDGE repeats. ``expected``: the next PUSH that its sender
    waits for. All numbers are as on the wire, modulo 2**32."""

    command: int
    window: int
    timestamp: int
    number: int
    expected: int
    data: bytes


def encode_name(conversation: int, source: int = 0, destination: int = 0) -> bytes:
    """The name of a connection, the same in both directions: the first 12 bytes of every datagram."""
    return _NAME.pack(conversation, source, destination)


def encode_header(name: bytes, flags: int) -> bytes:
    """A datagram without segments, or the front of one with them."""
    return name + bytes((flags, 0))


def split_datagram(datagram: bytes) -> tuple[bytes, int]:
    """Name and flags; RemoteProtocolError for what is too short or too long to have them."""
    if not HEADER_SIZE <= len(datagram) <= MAX_DATAGRAM:
        raise RemoteProtocolError(f"a datagram of {len(datagram)} bytes")
    return datagram[:NAME_SIZE], datagram[NAME_SIZE]


def encode_segment(
    conversation: int, command: int, window: int, timestamp: int, number: int, expected: int, size: int
) -> bytes:
    """The header of a segment with ``size`` bytes of data."""
    return _SEGMENT.pack(conversation, command, 0, window, timestamp, number, expected, size)


def parse_segments(datagram: bytes) -> list[Segment]:
    """The segments behind the header; RemoteProtocolError unless all of the datagram is segments of its
    own conversation. Fragment numbers, which only matter where messages do, are not looked at."""
    conversation = int.from_bytes(datagram[:4], "little")
    segments = []
    at, end = HEADER_SIZE, len(datagram)
    while at < end:
        if end - at < SEGMENT_SIZE:
            raise RemoteProtocolError(f"a segment header of {end - at} bytes")
        named, command, _, window, timestamp, number, expected, size = _SEGMENT.unpack_from(datagram, at)
        at += SEGMENT_SIZE
        if named != conversation:
            raise RemoteProtocolError("a segment of another conversation")
        if not PUSH <= command <= TELL_WINDOW:
            raise RemoteProtocolError(f"a segment with the unknown command {command}")
        if size > end - at or (size and command != PUSH):
            raise RemoteProtocolError(f"a segment that claims {size} bytes of data")
        segments.append(Segment(command, window, timestamp, number, expected, datagram[at : at + size]))
        at += size
    return segments
