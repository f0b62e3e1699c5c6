"""KCP: a reliable stream of bytes over datagrams that get lost, doubled and reordered (docs/PROTOCOL.md 1.5).

The wire is KCP's; how we send over it is our own. It has a half for each direction; here they share
datagrams: every segment of the one acknowledges for the other.
"""

from __future__ import annotations

from collections.abc import Iterator

from rdpeer.protocol.kcp_inward import Inward
from rdpeer.protocol.kcp_outward import Outward, milliseconds
from rdpeer.wire.kcp import (
    ACK,
    ACKNOWLEDGE,
    ASK_WINDOW,
    DATA,
    MAX_SEGMENTS_SIZE,
    PUSH,
    SEGMENT_SIZE,
    TELL_WINDOW,
    Segment,
    encode_header,
    encode_segment,
)

_MASK = 0xFFFFFFFF


class Kcp:
    """Both directions. ``name``: the connection's, in front of every datagram. Times in seconds."""

    def __init__(self, name: bytes) -> None:
        self._conversation = int.from_bytes(name[:4], "little")
        self._front = encode_header(name, ACK | DATA)
        self.inward = Inward()
        self.outward = Outward()

    def receive(self, segments: list[Segment], now: float) -> None:
        """What came in one datagram. RemoteProtocolError for an acknowledgement of what was never sent."""
        arrived = 0
        held_back = self.outward.is_held_back
        for command, window, timestamp, number, expected, data in segments:
            if command == ACKNOWLEDGE:
                arrived += self.outward.acknowledged(number, timestamp, now)
            arrived += self.outward.expected(expected, window)
            if command == PUSH:
                self.inward.take(number, timestamp, data)
            elif command == ASK_WINDOW:
                self.inward.tells = True
        if arrived:
            self.outward.arrived(arrived, held_back, now)

    def flush(self, now: float) -> list[bytes]:
        """The datagrams to be sent now."""
        datagrams: list[bytes] = []
        parts, size = [self._front], 0
        for header, data in self._segments(now):
            length = SEGMENT_SIZE + len(data)
            if size + length > MAX_SEGMENTS_SIZE:
                datagrams.append(b"".join(parts))
                parts, size = [self._front], 0
            parts += (header, data)
            size += length
        if size:
            datagrams.append(b"".join(parts))
            self.inward.told()
        return datagrams

    def ask(self) -> bytes:
        """A datagram that the other end answers, and that changes nothing."""
        return self._front + encode_segment(self._conversation, ASK_WINDOW, self.inward.room, 0, 0, 0, 0)

    def _segments(self, now: float) -> Iterator[tuple[bytes, bytes]]:
        """Header and data of each segment that goes out now."""
        stamp, room = milliseconds(now), self.inward.room
        expected = self.inward.expected & _MASK

        def header(command: int, timestamp: int, number: int, size: int) -> bytes:
            return encode_segment(self._conversation, command, room, timestamp, number, expected, size)

        for number, timestamp in self.inward.acknowledgements():
            yield header(ACKNOWLEDGE, timestamp, number, 0), b""
        if self.inward.tells:
            yield header(TELL_WINDOW, stamp, 0, 0), b""
        if self.outward.probes(now):
            yield header(ASK_WINDOW, stamp, 0, 0), b""
        for number, data in self.outward.due(now):
            yield header(PUSH, stamp, number & _MASK, len(data)), data
