"""How much may be under way: CUBIC (RFC 9438), in segments.

Stock sends whatever the other end has room for, a thousand segments at once. On a
line that holds fewer, most of them are lost and sent again. So we feel our way: the
window grows until something is lost, shrinks to seven tenths, and then follows a cubic
curve that lingers around the size at which the loss happened and searches beyond it later.

Radio loses a segment now and then for no such reason, and that is what this protocol is
chosen for. So two lost in a round trip change nothing, nor do two more of each hundred.
"""

from __future__ import annotations

from collections.abc import Sequence

SMALLEST = 16.0
"""Segments: as few are never too many, and a line that loses at random still moves."""

_SHRINK = 0.7
_CURVE = 0.4
_LINEAR = 3 * (1 - _SHRINK) / (1 + _SHRINK)
_TOLERATED, _TOLERATED_SHARE = 2, 0.02


class CongestionWindow:
    """``size`` segments may be under way; never more than ``largest``.

    Transmissions are told by their place in the order of all; times are in seconds.
    """

    def __init__(self, largest: int) -> None:
        self.size = 2 * SMALLEST
        self._largest = float(largest)
        self._slow_start_below = self._largest
        self._peak = self._largest
        self._to_peak = 0.0
        self._since = 0.0
        self._linear = self.size
        self._round_ends = 0
        self._lost = 0
        self._shrunk_at = 0

    def acknowledged(self, count: int, now: float, round_trip: float) -> None:
        """``count`` segments arrived, and the window was what held us back."""
        if self.size < self._slow_start_below:
            self.size = min(self.size + count, self._largest)
            return
        self._linear += _LINEAR * count / self.size
        curve = self._peak + _CURVE * (now + round_trip - self._since - self._to_peak) ** 3
        wanted = min(max(curve, self.size), 1.5 * self.size)
        grown = self.size + (wanted - self.size) * count / self.size
        self.size = min(max(grown, self._linear), self._largest)

    def lost(self, those: Sequence[int], arrived: int, next_one: int, now: float) -> None:
        """``those`` were lost before ``arrived``, the newest that arrived; ``next_one`` is sent next."""
        if arrived >= self._round_ends:
            self._round_ends, self._lost = next_one, 0
        self._lost += sum(one >= self._shrunk_at for one in those)
        if self._lost > _TOLERATED + _TOLERATED_SHARE * self.size:
            self._shrink(next_one, now)

    def timed_out(self, next_one: int, now: float) -> None:
        """Nothing arrives any more: whatever was known of the line is void."""
        self._shrink(next_one, now)
        self.size = SMALLEST

    def _shrink(self, next_one: int, now: float) -> None:
        """What is lost of those that were sent before ``next_one`` was too much for the larger window."""
        self._shrunk_at = self._round_ends = next_one
        self._lost = 0
        self._peak = self.size
        self.size = max(self.size * _SHRINK, SMALLEST)
        self._slow_start_below = self._linear = self.size
        self._to_peak = ((self._peak - self.size) / _CURVE) ** (1 / 3)
        self._since = now
