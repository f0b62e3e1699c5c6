"""KCP's sending half: what is under way, what is lost, and how much may be sent.

Every transmission has its place in one order, whatever segment it carries, and `_flight` is
kept in that order. So what is lost stands at the front of it: whatever was sent before
something that has arrived and is still missing a quarter of a round trip later (RFC 8985),
or longer ago than the timeout.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import NamedTuple

from rdpeer.errors import RemoteProtocolError
from rdpeer.protocol.congestion import CongestionWindow
from rdpeer.wire.kcp import MAX_SEGMENTS_SIZE, SEGMENT_SIZE

WINDOW = 4096
"""Segments under way, at most."""

_MAX_DATA = MAX_SEGMENTS_SIZE - SEGMENT_SIZE
_ASSUMED_ROOM = 128  # KCP's own default, until the other end has said more
_MASK = 0xFFFFFFFF
_HALF = 1 << 31
_PATIENCE = 1.25
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


class Outward:
    """What goes. ``next``: the number of the segment that is sent first next; numbers are unbounded here, and
    taken from the wire as the nearest to the first that is not acknowledged. Times are seconds."""

    def __init__(self) -> None:
        self.next = 0
        self.transmissions = 0
        """All so far, repetitions included."""
        self._queue = bytearray()
        self._first = 0
        self._flight: OrderedDict[int, _Sent] = OrderedDict()
        self._lost: OrderedDict[int, bytes] = OrderedDict()
        self._newest_arrived = -1
        self._arrived_at = 0.0
        self._congestion = CongestionWindow(WINDOW)
        self._round_trip: float | None = None
        self._deviation = 0.0
        self._timeout = _FIRST_TIMEOUT
        self._backoff = 1.0
        self._room = _ASSUMED_ROOM
        self._probe_wait = _FIRST_PROBE
        self._probe_at = math.inf

    @property
    def unsent(self) -> int:
        """Bytes that wait for their first transmission."""
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """True if everything is acknowledged."""
        return not self._queue and not self._flight and not self._lost

    @property
    def deadline(self) -> float:
        """When something is to be sent, if nothing arrives before."""
        if not self._flight:
            return self._probe_at
        oldest = next(iter(self._flight.values()))
        if oldest.order < self._newest_arrived:
            return oldest.time + self._patience
        return max(oldest.time, self._arrived_at) + self._timeout * self._backoff

    def send(self, data: bytes) -> None:
        """Queues ``data``."""
        self._queue += data

    # What arrives

    @property
    def is_held_back(self) -> bool:
        """Whether the line is what we wait for, and not our own user."""
        return len(self._flight) >= self._congestion.size / 2

    def acknowledged(self, number: int, timestamp: int, now: float) -> int:
        """One segment arrived: 1 if that is news. RemoteProtocolError for one that was never sent."""
        number = self._nearest(number)
        if number >= self.next:
            raise RemoteProtocolError("an acknowledgement of what was never sent")
        sent = self._flight.pop(number, None)
        if sent is None:
            return self._lost.pop(number, None) is not None
        if milliseconds(sent.time) == timestamp:  # else an earlier transmission of it arrived
            self._newest_arrived = max(self._newest_arrived, sent.order)
            self._measure(now - sent.time)
        return 1

    def expected(self, number: int, room: int) -> int:
        """The other end has all segments before ``number``, and ``room`` for so many from there on: how many
        of them that is news of. RemoteProtocolError where they were never sent."""
        number = self._nearest(number)
        if number > self.next:
            raise RemoteProtocolError("an acknowledgement of what was never sent")
        if number < self._first:
            return 0  # overtaken by a newer one
        self._room = room
        if room:
            self._probe_at, self._probe_wait = math.inf, _FIRST_PROBE
        arrived = 0
        for one in range(self._first, number):
            if self._flight.pop(one, None) or self._lost.pop(one, None):
                arrived += 1
        self._first = number
        return arrived

    def arrived(self, count: int, held_back: bool, now: float) -> None:
        """So many segments arrived at once; ``held_back``: we were, until then."""
        self._backoff, self._arrived_at = 1.0, now
        if held_back:
            self._congestion.acknowledged(count, now, self._round_trip or 0.0)
        self._find_lost(now)

    # What is sent

    def due(self, now: float) -> list[tuple[int, bytes]]:
        """What goes now, as much as may be under way: what is lost, then what is new."""
        self._find_lost(now)
        self._time_out(now)
        free = int(self._congestion.size) - len(self._flight)
        due = [self._lost.popitem(last=False) for _ in range(min(free, len(self._lost)))]
        room = self._first + min(self._room, WINDOW) - self.next
        for _ in range(min(free - len(due), room, -(-len(self._queue) // _MAX_DATA))):
            due.append((self.next, bytes(self._queue[:_MAX_DATA])))
            del self._queue[:_MAX_DATA]
            self.next += 1
        for order, (number, data) in enumerate(due, self.transmissions):
            self._flight[number] = _Sent(data, now, order)
        self.transmissions += len(due)
        return due

    def probes(self, now: float) -> bool:
        """True if the other end, which had no room, is to be asked whether it has now."""
        if self._room or not self._queue:
            return False
        if self._probe_at == math.inf:
            self._probe_at = now + self._probe_wait
        if now < self._probe_at:
            return False
        self._probe_wait = min(2 * self._probe_wait, _MOST_PROBE)
        self._probe_at = now + self._probe_wait
        return True

    # What is lost

    @property
    def _patience(self) -> float:
        """Seconds that what was overtaken may take."""
        return _PATIENCE * (self._round_trip or self._timeout)

    def _find_lost(self, now: float) -> None:
        """What was overtaken, and waited for."""
        lost = self._lose(self._patience, self._newest_arrived, now)
        if lost:
            self._congestion.lost(lost, self._newest_arrived, self.transmissions, now)

    def _time_out(self, now: float) -> None:
        """Nothing has arrived for so long: whatever was sent by then is lost."""
        if not self._flight or now < self.deadline:
            return
        self._lose(self._timeout * self._backoff, self.transmissions, now)
        self._congestion.timed_out(self.transmissions, now)
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

    def _measure(self, round_trip: float) -> None:
        """As every TCP (RFC 6298)."""
        if self._round_trip is None:
            self._round_trip, self._deviation = round_trip, round_trip / 2
        else:
            self._deviation += (abs(round_trip - self._round_trip) - self._deviation) / 4
            self._round_trip += (round_trip - self._round_trip) / 8
        timeout = self._round_trip + max(0.01, 4 * self._deviation)
        self._timeout = min(max(timeout, _LEAST_TIMEOUT), _MOST_TIMEOUT)

    def _nearest(self, number: int) -> int:
        return self._first + ((number - self._first + _HALF) & _MASK) - _HALF


def milliseconds(now: float) -> int:
    """A timestamp as on the wire."""
    return int(now * 1000) & _MASK
