"""How much may be under way: CUBIC (RFC 9438), in segments.

Stock sends whatever the other end has room for, a thousand segments at once. On a
line that holds fewer, most of them are lost and sent again. So we feel our way: the
window grows until something is lost, shrinks to seven tenths, and then follows a cubic
curve that lingers around the size at which the loss happened and searches beyond it later.
"""

from __future__ import annotations

SMALLEST = 16.0
"""Segments: as few are never too many, and a line that loses at random still moves."""

_SHRINK = 0.7
_CURVE = 0.4
_LINEAR = 3 * (1 - _SHRINK) / (1 + _SHRINK)


class CongestionWindow:
    """``size`` segments may be under way; never more than ``largest``."""

    def __init__(self, largest: int) -> None:
        self.size = 2 * SMALLEST
        self._largest = float(largest)
        self._slow_start_below = self._largest
        self._peak = self._largest
        self._since = 0.0
        self._linear = self.size

    def acknowledged(self, count: int, now: float, round_trip: float) -> None:
        """``count`` segments arrived, and the window was what held us back. Times in seconds."""
        if self.size < self._slow_start_below:
            self.size = min(self.size + count, self._largest)
            return
        self._linear += _LINEAR * count / self.size
        elapsed = now + round_trip - self._since
        curve = self._peak + _CURVE * (elapsed - self._to_peak) ** 3
        wanted = min(max(curve, self._linear, self.size), 1.5 * self.size)
        self.size = min(self.size + (wanted - self.size) * count / self.size, self._largest)
        if self._linear > self.size:
            self.size = min(self._linear, self._largest)

    def lost(self, now: float) -> None:
        """Segments were lost; told once a round trip."""
        self._peak = self.size
        self.size = max(self.size * _SHRINK, SMALLEST)
        self._slow_start_below = self._linear = self.size
        self._to_peak = ((self._peak - self.size) / _CURVE) ** (1 / 3)
        self._since = now

    def timed_out(self, now: float) -> None:
        """Nothing arrives any more: whatever was known of the line is void."""
        self.lost(now)
        self.size = SMALLEST

    _to_peak = 0.0
