"""Credit: how much a sender of DATA may still send (docs/CHANNEL.md 4).

A receiver promises room for a *window* of bytes. Each byte sent takes one from
the sender's credit; it comes back when the receiver has handed the byte to its
consumer, not before, so that what lies in between never exceeds the window. It
comes back in portions of half a window: each wakes the sender from its work, and
four times as many cost a relayed transfer a third of its speed.

A lone stream's window is what keeps a long line full: at 1 Gbit/s and 100 ms,
12 MiB are under way.
"""

from __future__ import annotations

from rdpeer.errors import LocalProtocolError, RemoteProtocolError

SESSION_WINDOW = 24 * 1024 * 1024
LONE_WINDOW = 12 * 1024 * 1024
"""Of the first stream of a session, and of one that finds itself alone."""
STREAM_WINDOW = 256 * 1024

_MAX_CREDIT = 2**31 - 1
_PORTIONS = 2


class SendCredit:
    """What we may send."""

    __slots__ = ("left",)

    def __init__(self, window: int) -> None:
        self.left = window

    def add(self, count: int) -> None:
        """The other end grants ``count`` more; RemoteProtocolError for nothing or for too much."""
        if not 0 < count <= _MAX_CREDIT - self.left:
            raise RemoteProtocolError(f"a credit of {count} bytes on top of {self.left}")
        self.left += count

    def spend(self, count: int) -> None:
        if count > self.left:
            raise LocalProtocolError(f"{count} bytes sent with a credit of {self.left}")
        self.left -= count


class ReceiveCredit:
    """What the other end may send, as we know it."""

    __slots__ = ("_left", "_owed", "_window")

    def __init__(self, window: int) -> None:
        self._window = window
        self._left = window
        self._owed = 0

    def take(self, count: int) -> None:
        """``count`` bytes came; RemoteProtocolError if that is more than was granted."""
        if count > self._left:
            raise RemoteProtocolError(f"{count} bytes received with a credit of {self._left}")
        self._left -= count

    def consumed(self, count: int) -> int:
        """``count`` bytes were handed over: how much to grant now, 0 while it is not worth a record."""
        self._owed += count
        if self._owed * _PORTIONS < self._window:
            return 0
        granted, self._owed = self._owed, 0
        self._left += granted
        return granted

    def widen(self, window: int) -> None:
        """The window grows to ``window``, if it is smaller; what it gains goes out with the next grant."""
        if window > self._window:
            self._owed += window - self._window
            self._window = window
