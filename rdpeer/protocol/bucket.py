"""A rate that may be exceeded for a moment: tokens in a bucket. ``now`` is monotonic, in seconds."""

from __future__ import annotations


class Bucket:
    """Full at first, refilled steadily up to ``capacity``."""

    def __init__(self, capacity: int, per_second: float) -> None:
        self._capacity = capacity
        self._per_second = per_second
        self._level = float(capacity)
        self._since: float | None = None

    def holds_one(self, now: float) -> bool:
        """Whether there is a token to take."""
        if self._since is not None:
            gained = max(0.0, now - self._since) * self._per_second
            self._level = min(self._capacity, self._level + gained)
        self._since = now
        return self._level >= 1

    def take(self, now: float) -> bool:
        """Takes a token; False where there is none."""
        if not self.holds_one(now):
            return False
        self._level -= 1
        return True
