"""KCP's receiving half: segments in any order become a stream, and are acknowledged.

What arrived in order needs one acknowledgement, the newest, since each segment that goes out
says what is expected next; what came early needs its own.

Sequence numbers are 32 bits on the wire and unbounded here; a number from the wire means the
nearest to the one that is expected.
"""

from __future__ import annotations

FIRST_WINDOW = 1024
LARGEST_WINDOW = 4096
"""Segments. Stock's window is 1024; ours opens up to four times that, by one for each segment that came."""

_MASK = 0xFFFFFFFF
_HALF = 1 << 31
_READ_AT_ONCE = 256


class Inward:
    """What comes. ``expected``: the number of the next segment."""

    def __init__(self) -> None:
        self.expected = 0
        self._ready: list[bytes] = []
        self._early: dict[int, bytes] = {}
        self._window = FIRST_WINDOW
        self._acks: dict[int, int] = {}
        self._newest: tuple[int, int] | None = None
        self._told_room = FIRST_WINDOW
        self.tells = False
        """Whether a segment is to go out for the sake of telling our room."""

    @property
    def room(self) -> int:
        """Segments that may come beyond those that were read; what is not read takes its place."""
        return self._window - len(self._ready)

    def take(self, number: int, timestamp: int, data: bytes) -> None:
        """A segment, its number as on the wire. One for which there is no room comes again: it is not
        acknowledged."""
        ahead = (number - self.expected) & _MASK
        if not ahead:
            if self.room:
                self._newest = number, timestamp
                self._deliver(data)
                self._deliver_early()
        elif ahead >= _HALF:
            self._newest = number, timestamp  # it came before, and the acknowledgement was lost
        elif ahead < self.room:
            self._acks[number] = timestamp
            self._early.setdefault(self.expected + ahead, data)

    def read(self) -> list[bytes]:
        """Some of what arrived in order; empty where there is nothing."""
        ready = self._ready[:_READ_AT_ONCE]
        del self._ready[:_READ_AT_ONCE]
        if self.room - self._told_room >= self._window // 2:
            self.tells = True
        return ready

    def told(self) -> None:
        """Segments went out: every one tells our room."""
        self.tells, self._told_room = False, self.room

    def acknowledgements(self) -> list[tuple[int, int]]:
        """Number and timestamp, as on the wire, of what is to be acknowledged now."""
        acks = [(n, stamp) for n, stamp in self._acks.items() if (n - self.expected) & _MASK < _HALF]
        if self._newest:
            acks.append(self._newest)
        self._acks, self._newest = {}, None
        return acks

    def _deliver(self, data: bytes) -> None:
        self.expected += 1
        if data:
            self._ready.append(data)
        if self._window < LARGEST_WINDOW:
            self._window += 1

    def _deliver_early(self) -> None:
        while self._early and (data := self._early.pop(self.expected, None)) is not None:
            self._deliver(data)
