"""KCP: a reliable stream of bytes over datagrams that get lost, doubled and reordered (docs/PROTOCOL.md 1.5).

The wire is KCP's; how we send over it is our own. Every transmission has its place in one
order, whatever segment it carries, and `_flight` is kept in that order. So what is lost
stands at the front of it: whatever was sent before something that has arrived and is still
missing a quarter of a round trip later (RFC 8985), or longer ago than the timeout. What arrived
in order needs one acknowledgement, the newest, since that also says what is expected next.

Sequence numbers are 32 bits on the wire and unbounded here; a number from the wire means the
nearest to the one that we compare it with.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator
from typing import NamedTuple

from rdpeer.errors import RemoteProtocolError
from rdpeer.protocol.congestion import CongestionWindow
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

SEND_WINDOW = 4096
FIRST_RECEIVE_WINDOW = 1024
LARGEST_RECEIVE_WINDOW = 4096
"""Segments. Stock's windows are 1024; ours opens up to four times that, by one for each segment that came."""

_MAX_DATA = MAX_SEGMENTS_SIZE - SEGMENT_SIZE
_ASSUMED_ROOM = 128  # KCP's own default, until the other end has said more
_MASK = 0xFFFFFFFF
_HALF = 1 << 31
_PATIENCE = 1.25
_READ_AT_ONCE = 256
_FIRST_TIMEOUT = 0.3
_LEAST_TIMEOUT = 0.1
_MOST_TIMEOUT = 10.0
_BACKOFF = 1.5
_FIRST_PROBE = 0.5
_MOST_PROBE = 8.0


class _Sent(NamedTuple):
    """A segment under way: when it was sent last, its place in the order of all transmissions."""

    data: bytes
    time: float
    order: int


class Kcp:
    """One direction each way. ``name``: the connection's, in front of every datagram. Times in seconds."""

    def __init__(self, name: bytes) -> None:
        self._conversation = int.from_bytes(name[:4], "little")
        self._front = encode_header(name, ACK | DATA)
        # What we send
        self._queue = bytearray()
        self._first = 0
        self._next = 0
        self._flight: OrderedDict[int, _Sent] = OrderedDict()
        self._lost: OrderedDict[int, bytes] = OrderedDict()
        self._transmissions = 0
        self._newest_arrived = -1
        self._arrived_at = 0.0
        self._room_there = _ASSUMED_ROOM
        self._congestion = CongestionWindow(SEND_WINDOW)
        self._round_trip: float | None = None
        self._deviation = 0.0
        self._timeout = _FIRST_TIMEOUT
        self._backoff = 1.0
        self._probe_wait = _FIRST_PROBE
        self._probe_at = math.inf
        # What we receive
        self._expected = 0
        self._ready: list[bytes] = []
        self._early: dict[int, bytes] = {}
        self._window = FIRST_RECEIVE_WINDOW
        self._acks: dict[int, int] = {}
        self._last_ack: tuple[int, int] | None = None
        self._tell_window = False
        self._told_room = FIRST_RECEIVE_WINDOW

    # What we send

    @property
    def unsent(self) -> int:
        """Bytes that wait for their first transmission."""
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """True if the other end has acknowledged everything."""
        return not self._queue and not self._flight and not self._lost

    @property
    def deadline(self) -> float:
        """When :meth:`flush` is to be called, if nothing happens before."""
        if not self._flight:
            return self._probe_at
        oldest = next(iter(self._flight.values()))
        if oldest.order < self._newest_arrived:
            return oldest.time + self._patience
        return max(oldest.time, self._arrived_at) + self._timeout * self._backoff

    def send(self, data: bytes) -> None:
        """Queues ``data``."""
        self._queue += data

    def flush(self, now: float) -> list[bytes]:
        """The datagrams to be sent now."""
        self._find_lost(now)
        self._time_out(now)
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
        return datagrams

    def ask(self) -> bytes:
        """A datagram that the other end answers, and that changes nothing."""
        segment = encode_segment(self._conversation, ASK_WINDOW, self._room, 0, 0, self._expected & _MASK, 0)
        return self._front + segment

    # What we receive

    def receive(self, segments: list[Segment], now: float) -> None:
        """What came in one datagram. RemoteProtocolError for an acknowledgement of what was never sent."""
        arrived = 0
        held_back = len(self._flight) >= self._congestion.size / 2
        for command, window, timestamp, number, expected, data in segments:
            if command == ACKNOWLEDGE:
                arrived += self._acknowledge(number, timestamp, now)
            arrived += self._drop_acknowledged(expected, window)
            if command == PUSH:
                self._take(number, timestamp, data)
            elif command == ASK_WINDOW:
                self._tell_window = True
        if arrived:
            self._backoff, self._arrived_at = 1.0, now
            if held_back:
                self._congestion.acknowledged(arrived, now, self._round_trip or 0.0)
            self._find_lost(now)

    def read(self) -> list[bytes]:
        """What arrived in order and was not read yet, or a part of it; empty where there is nothing."""
        ready = self._ready[:_READ_AT_ONCE]
        del self._ready[:_READ_AT_ONCE]
        if self._room - self._told_room >= self._window // 2:
            self._tell_window = True
        return ready

    # Arrivals

    def _acknowledge(self, number: int, timestamp: int, now: float) -> int:
        number = _nearest(number, self._first)
        if number >= self._next:
            raise RemoteProtocolError("an acknowledgement of what was never sent")
        sent = self._flight.pop(number, None)
        if sent is None:
            return self._lost.pop(number, None) is not None
        if _milliseconds(sent.time) == timestamp:  # else an earlier transmission of it arrived
            self._newest_arrived = max(self._newest_arrived, sent.order)
            self._measure(now - sent.time)
        return 1

    def _drop_acknowledged(self, expected: int, window: int) -> int:
        expected = _nearest(expected, self._first)
        if expected > self._next:
            raise RemoteProtocolError("an acknowledgement of what was never sent")
        if expected < self._first:
            return 0  # overtaken by a newer one
        self._room_there = window
        if window:
            self._probe_at, self._probe_wait = math.inf, _FIRST_PROBE
        arrived = 0
        for number in range(self._first, expected):
            if self._flight.pop(number, None) or self._lost.pop(number, None):
                arrived += 1
        self._first = expected
        return arrived

    def _measure(self, round_trip: float) -> None:
        """As every TCP (RFC 6298)."""
        if self._round_trip is None:
            self._round_trip, self._deviation = round_trip, round_trip / 2
        else:
            self._deviation += (abs(round_trip - self._round_trip) - self._deviation) / 4
            self._round_trip += (round_trip - self._round_trip) / 8
        timeout = self._round_trip + max(0.01, 4 * self._deviation)
        self._timeout = min(max(timeout, _LEAST_TIMEOUT), _MOST_TIMEOUT)

    @property
    def _patience(self) -> float:
        """Seconds that what was overtaken may still take."""
        return _PATIENCE * (self._round_trip or self._timeout)

    def _find_lost(self, now: float) -> None:
        """What was overtaken, and waited for."""
        lost = self._lose(self._patience, self._newest_arrived, now)
        if lost:
            self._congestion.lost(lost, self._newest_arrived, self._transmissions, now)

    def _time_out(self, now: float) -> None:
        """Nothing has arrived for so long: whatever was sent by then is lost."""
        if not self._flight or now < self.deadline:
            return
        self._lose(self._timeout * self._backoff, self._transmissions, now)
        self._congestion.timed_out(self._transmissions, now)
        self._backoff = min(self._backoff * _BACKOFF, _MOST_TIMEOUT / self._timeout)

    def _lose(self, wait: float, order: int, now: float) -> list[int]:
        """What is under way, was sent ``wait`` seconds ago and stands before ``order`` is to be sent again:
        the places of all that."""
        lost = []
        for number, sent in self._flight.items():
            if sent.order >= order or sent.time + wait > now:
                break
            self._lost[number] = sent.data
            lost.append(sent.order)
        for _ in lost:
            self._flight.popitem(last=False)
        return lost

    def _take(self, number: int, timestamp: int, data: bytes) -> None:
        number = _nearest(number, self._expected)
        if number >= self._expected + self._room:
            return  # not acknowledged: it comes again when there is room
        self._last_ack = (number, timestamp)
        if number < self._expected:
            return
        if number > self._expected:
            self._acks[number] = timestamp
            self._early.setdefault(number, bytes(data))
            return
        self._deliver(data)
        while self._early and (data_behind := self._early.pop(self._expected, None)) is not None:
            self._deliver(data_behind)

    def _deliver(self, data: bytes) -> None:
        self._expected += 1
        if data:
            self._ready.append(data)
        if self._window < LARGEST_RECEIVE_WINDOW:
            self._window += 1

    @property
    def _room(self) -> int:
        return self._window - len(self._ready)

    # Departures

    def _segments(self, now: float) -> Iterator[tuple[bytes, bytes]]:
        """Header and data of each segment that goes out now."""
        stamp, room = _milliseconds(now), self._room
        expected = self._expected & _MASK

        def header(command: int, timestamp: int, number: int, size: int) -> bytes:
            number &= _MASK
            return encode_segment(self._conversation, command, room, timestamp, number, expected, size)

        for number, timestamp in self._due_acks():
            yield header(ACKNOWLEDGE, timestamp, number, 0), b""
        if self._tell_window:
            yield header(TELL_WINDOW, stamp, 0, 0), b""
        if self._probe(now):
            yield header(ASK_WINDOW, stamp, 0, 0), b""
        for number, data in self._due_data(now):
            yield header(PUSH, stamp, number, len(data)), data
        self._told_room, self._tell_window = room, False

    def _due_acks(self) -> list[tuple[int, int]]:
        acks = [(number, stamp) for number, stamp in self._acks.items() if number > self._expected]
        if self._last_ack and self._last_ack[0] not in self._acks:
            acks.append(self._last_ack)
        self._acks, self._last_ack = {}, None
        return acks

    def _due_data(self, now: float) -> list[tuple[int, bytes]]:
        """What is lost, then what is new, as much as may be under way."""
        free = int(self._congestion.size) - len(self._flight)
        due = [self._lost.popitem(last=False) for _ in range(min(free, len(self._lost)))]
        room = self._first + min(self._room_there, SEND_WINDOW) - self._next
        for _ in range(min(free - len(due), room, -(-len(self._queue) // _MAX_DATA))):
            due.append((self._next, bytes(self._queue[:_MAX_DATA])))
            del self._queue[:_MAX_DATA]
            self._next += 1
        for order, (number, data) in enumerate(due, self._transmissions):
            self._flight[number] = _Sent(data, now, order)
        self._transmissions += len(due)
        return due

    def _probe(self, now: float) -> bool:
        """True if the other end, which had no room, is to be asked whether it has now."""
        if self._room_there or not self._queue:
            return False
        if self._probe_at == math.inf:
            self._probe_at = now + self._probe_wait
        if now < self._probe_at:
            return False
        self._probe_wait = min(2 * self._probe_wait, _MOST_PROBE)
        self._probe_at = now + self._probe_wait
        return True


def _nearest(number: int, to: int) -> int:
    """The sequence number that is ``number`` modulo 2**32 and nearest to ``to``."""
    return to + ((number - to + _HALF) & _MASK) - _HALF


def _milliseconds(now: float) -> int:
    return int(now * 1000) & _MASK
