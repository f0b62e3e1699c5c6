"""The frame streams of one link: the one that it is on, the one that it leaves, those that it may go to.

A direction moves between two records (docs/CHANNEL.md 6.1), so for a while each direction may be on a
transport of its own. One that is left behind is closed in order and only when nothing can be on it any
more: by the initiator, when it has read the responder's SWITCH there; the responder waits for that.
"""

from __future__ import annotations

import asyncio
import contextlib

from rdpeer.errors import ConnectionLost, RdpeerError
from rdpeer.net.transport import FrameStream

MOST_JOINED = 4
"""Transports that wait to be chosen."""


class Transports:
    """``inward`` is where the next frame comes from. All streams are owned from here on."""

    def __init__(self, first: FrameStream, *, initiator: bool) -> None:
        self.inward = first
        self.moved = False
        """Whether the other end's direction has gone on."""
        self._initiator = initiator
        self._joined: dict[bytes, FrameStream] = {}
        self._left: FrameStream | None = None

    def keep(self, name: bytes, stream: FrameStream) -> None:
        """``stream`` may be the next one; one too many, or too late, is closed."""
        if self.moved or len(self._joined) >= MOST_JOINED:
            stream.abort()
        else:
            self._joined[name] = stream

    def follow(self, name: bytes) -> FrameStream:
        """The other end's direction goes on there; the rest of those kept is dropped.

        ConnectionLost where there is no such stream (any more).
        """
        stream = self._joined.pop(name, None)
        if stream is None:
            raise ConnectionLost("the direct path was lost while the session moved to it")
        self._left, self.inward, self.moved = self.inward, stream, True
        self._drop_joined()
        return stream

    async def leave(self) -> None:
        """Closes the one left behind, when that is due. Cancelled, it leaves that to ``close``.

        What may still come there is not looked at: it cannot be the other end's, and whoever carried
        the session before is to have no power over it any more.
        """
        if self._left is None:
            return
        if not self._initiator:
            with contextlib.suppress(RdpeerError):
                await self._left.receive()
        await self._left.close()
        self._left = None

    async def close(self) -> None:
        """Delivers what was sent on any of them."""
        if not self._initiator:
            self._drop_joined()
        await asyncio.gather(*(stream.close() for stream in self._all()))

    def abort(self) -> None:
        """Closes all at once."""
        for stream in self._all():
            stream.abort()

    def _drop_joined(self) -> None:
        for stream in self._joined.values():
            stream.abort()
        self._joined.clear()

    def _all(self) -> list[FrameStream]:
        left = [] if self._left is None else [self._left]
        return [self.inward, *left, *self._joined.values()]
