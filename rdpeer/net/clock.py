"""The two clocks, read here and nowhere else: all deadlines are on the first, all dates on the second."""

from __future__ import annotations

import time


def monotonic() -> float:
    """Seconds since some moment; never goes back."""
    return time.monotonic()


def wall() -> float:
    """Seconds since 1970 in UTC; may be set."""
    return time.time()
