"""What a stream is carried between: a Source of bytes and a Sink for them.

Standard input and output (``stdio``), the program of ``--exec`` (``process``) and the socket of ``--to``
(``target``) each are both. None of them ever blocks the event loop, and none takes a second call before
the first one is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class ReaderGone(Exception):
    """The consumer behind a sink reads no more, and may: no error by itself (STOP, docs/CHANNEL.md 5)."""


class Source(Protocol):
    """Where bytes come from."""

    @property
    def ends_with_peer(self) -> bool:
        """A person sits there: when the other direction has ended, nobody has to press ^D to end this one."""

    async def read(self, limit: int) -> bytes:
        """1 to ``limit`` bytes, or none at the end. Raises OSError when the source fails.

        Cancelling it loses no byte, but for one read that a thread may have begun.
        """

    async def status(self) -> int | None:
        """After the end: how the program that was the source exited (128 + n after signal n), or None."""

    def close(self) -> None:
        """Nobody reads from it any more. Safe to call twice."""


class Sink(Protocol):
    """Where bytes go."""

    async def write(self, chunks: Sequence[memoryview]) -> None:
        """Returns when all bytes were handed to the consumer.

        Raises ReaderGone, after which nothing more is to be written, or OSError when the sink fails.
        """

    def write_now(self, chunk: memoryview) -> memoryview:
        """Hands over what the consumer takes at once: what is left. A failure is left to ``write``."""

    async def finish(self) -> None:
        """Tells the consumer that nothing more comes: closes or half-closes. Raises OSError."""

    def abort(self) -> None:
        """Closes after a failure, not like an end where the consumer can tell. No-op after finish."""
