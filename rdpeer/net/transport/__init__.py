"""Transports: each gives one FrameStream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rdpeer.values import Endpoint


class FrameStream(Protocol):
    """An ordered stream of payloads, whatever carries it.

    One task receives, any task of the same loop sends. The reading side never
    waits for the writing side.
    """

    local: Endpoint
    remote: Endpoint

    limit: int
    """Longest payload taken, in bytes; may be set at any time."""

    async def receive(self) -> bytes | None:
        """The next payload, or None at the orderly end of the stream, between frames.

        Raises ConnectionLost where the stream broke or ended inside a frame, and
        RemoteProtocolError for a frame over the limit. Returns without suspending
        while payloads are at hand.
        """

    async def pour(self, take: Callable[[bytes], bool]) -> bool:
        """Gives ``take`` each payload as it arrives, instead of ``receive``, until it returns True: it has
        enough, and ``receive`` goes on behind that one. Bulk data comes this way: no task is woken for it.

        Returns False at the orderly end of the stream. Raises what ``receive`` would, or ``take`` does.
        """
        while (payload := await self.receive()) is not None:
            if take(payload):
                return True
        return False

    def send(self, payload: bytes) -> None:
        """Queues one payload; never waits. What is sent on a broken stream is dropped: ``receive`` tells."""

    async def drain(self) -> None:
        """Waits while more than 1 MiB is queued; returns at once on a broken stream."""

    async def close(self) -> None:
        """Delivers what is queued, then closes; gives up after 5 s. Safe to call twice."""

    def abort(self) -> None:
        """Closes at once and drops what is queued."""
