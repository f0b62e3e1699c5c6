"""The one task that seals and writes the records of a link.

One task, because a direction has one owner (docs/CHANNEL.md 2): a record is written in the order in which
it was sealed. It takes the next record only while the transport has room, so control records overtake
DATA up to the last moment, and what waits is bounded by the session and not by the other end's patience.
"""

from __future__ import annotations

import asyncio

from rdpeer.crypto.channel import SecureChannel
from rdpeer.net import trace
from rdpeer.net.transport import FrameStream
from rdpeer.protocol.session import Session

_QUEUED_HIGH = 256 * 1024
_BURST = 8  # records that are sent before the event loop is let in again: a millisecond or two


class RecordWriter:
    def __init__(self, stream: FrameStream, channel: SecureChannel, session: Session) -> None:
        self._stream = stream
        self._seal = channel.seal
        self._session = session
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._burst = 0

    def send_now(self) -> None:
        """As ``wake``, for who has made a record of bulk data: it is sent before it leaves the cache.

        Only while ``run`` has nothing to do, which means that the transport has room.
        """
        if self._burst:
            self._burst -= 1
            self._send_next()
        else:
            self._work.set()

    def wake(self) -> None:
        """The session may have records to send."""
        self._work.set()

    @property
    def is_full(self) -> bool:
        """Whether the session has more DATA queued than it needs to keep the writer busy."""
        return self._session.queued >= _QUEUED_HIGH

    async def room(self) -> None:
        """Waits while it is full."""
        while self.is_full:
            self._room.clear()
            await self._room.wait()

    async def run(self) -> None:
        """Until it is cancelled, or FINAL is out."""
        while not self._session.final_sent:
            self._burst = _BURST
            await self._work.wait()
            self._burst = 0
            self._work.clear()
            while self._send_next():
                await self._stream.drain()

    def flush(self) -> None:
        """Everything that is queued, without waiting: the last words, when ``run`` has ended."""
        while self._send_next():
            pass

    def move(self, stream: FrameStream, last: bytes) -> None:
        """Sends the record ``last`` on the stream that is in use; all that follow it go on ``stream``."""
        self._stream.send(self._seal(last))
        self._stream = stream
        trace.moved(self._seal, stream)
        self.wake()

    def _send_next(self) -> bool:
        item = self._session.next_record()
        if item is None:
            return False
        self._stream.send(self._seal(*item))
        if not self.is_full:
            self._room.set()
        return True
