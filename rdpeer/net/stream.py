"""One stream of a link, and how it is carried between a source and a sink.

The two directions run side by side and end apart; neither waits for the other. Received bytes wait in
the stream's inbox, bounded by the credit that the session granted, until the sink takes them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from rdpeer.errors import ConnectionLost, PeerRefused
from rdpeer.net.pipe import ReaderGone, Sink, Source
from rdpeer.net.record_writer import RecordWriter
from rdpeer.protocol.session import MAX_DATA, Session
from rdpeer.protocol.session_events import StreamRefused, StreamReset
from rdpeer.wire.channel_pb2 import StreamRefused as RefusedMessage
from rdpeer.wire.channel_pb2 import StreamReset as ResetMessage

_BATCH = 512 * 1024  # handed to the sink at once: an eighth of the window, so that it never runs dry

_REFUSALS: dict[int, str] = {
    RefusedMessage.NOT_PERMITTED: "the peer does not permit this target",
    RefusedMessage.UNREACHABLE: "the peer cannot reach the target",
    RefusedMessage.BUSY: "the peer is busy",
    RefusedMessage.NO_SUCH_PROGRAM: "the peer has no such program",
}
_FAILURES: dict[int, str] = {
    ResetMessage.SINK_FAILED: "the peer could not write what was sent to it",
    ResetMessage.SOURCE_FAILED: "the peer could not read what it was to send",
}


def failure(event: StreamReset) -> ConnectionLost:
    """The other end's RESET as an error."""
    text = _FAILURES.get(event.reason, "the peer gave the connection up")
    return ConnectionLost(f"{text}: {event.detail}" if event.detail else text)


class Stream:
    """Made by a Link. Either ``carry`` it to its end, or ``reset`` it."""

    def __init__(
        self, number: int, session: Session, writer: RecordWriter, forget: Callable[[int], None]
    ) -> None:
        self.number = number
        self._session = session
        self._writer = writer
        self._forget = forget
        self._inbox: deque[memoryview] = deque()
        self._idle_sink: Sink | None = None  # waits for data: takes it straight from on_data
        self._arrived = asyncio.Event()
        self._credit = asyncio.Event()
        self._opened = asyncio.Event()
        self._failed = asyncio.Event()
        self._unwanted = asyncio.Event()  # our input: its end was asked for
        self._interactive = False
        self._ended = False
        self._discarding = asyncio.Event()
        self._status: int | None = None
        self._error: Exception | None = None

    async def carry(
        self, source: Source, sink: Sink, *, recv_only: bool = False, send_only: bool = False
    ) -> int | None:
        """Carries both directions to their ends: the exit status of the program at the other end, if one ran.

        ``recv_only``: nothing is read from ``source``, our direction ends at once. ``send_only``: what
        the other end sends is dropped, and it is asked to stop. Both ends are closed afterwards.

        Raises ConnectionLost when the stream or its link failed, and OSError when ``source`` or ``sink``
        did: the other end is told, and finds its connection lost.
        """
        self._interactive = source.ends_with_peer
        if recv_only or (self._interactive and self._ended):
            self._unwanted.set()
        if send_only:
            self._discard()
        halves = {asyncio.create_task(self._send(source)), asyncio.create_task(self._deliver(sink))}
        try:
            await self._all_done(halves)
        except BaseException:
            self.reset()  # changes nothing where the stream has failed already
            raise
        finally:
            await _cancelled(*halves)
            source.close()
            sink.abort()
        self._check()  # a RESET may come up to the last moment; later ones are the link's
        self._forget(self.number)
        return self._status

    def reset(self, detail: str = "") -> None:
        """Gives the stream up, if it is not over yet."""
        self._reset(
            ResetMessage.UNSPECIFIED, ConnectionLost(detail or "the stream was given up on this side")
        )

    # What the link tells

    async def opened(self) -> None:
        """Waits for the other end's answer: PeerRefused, or what broke the link."""
        try:
            await self._opened.wait()
        except asyncio.CancelledError:
            self.reset("no longer wanted")
            raise
        self._check()

    def accept(self) -> None:
        self._check()
        self._session.accept(self.number)
        self._writer.wake()

    def refuse(self, reason: RefusedMessage.Reason.ValueType, detail: str) -> None:
        if self._error is None:
            self._session.refuse(self.number, reason, detail)
            self._writer.wake()
            self.on_failed(ConnectionLost("the stream was refused on this side"))

    def on_accepted(self) -> None:
        self._opened.set()

    def on_refused(self, event: StreamRefused) -> None:
        text = _REFUSALS.get(event.reason, "the peer refused the connection")
        self.on_failed(PeerRefused(f"{text}: {event.detail}" if event.detail else text))

    def on_data(self, data: memoryview) -> None:
        if self._idle_sink is not None:
            data = self._write_now(self._idle_sink, data)
        if data and not self._discarding.is_set():
            self._idle_sink = None
            self._inbox.append(data)
            self._arrived.set()

    def on_credit(self) -> None:
        self._credit.set()

    def on_ended(self) -> None:
        self._ended = True
        self._arrived.set()
        if self._interactive:
            self._unwanted.set()

    def on_stopped(self) -> None:
        self._unwanted.set()

    def on_exited(self, status: int) -> None:
        self._status = status

    def on_failed(self, error: Exception) -> None:
        self._error = self._error or error
        for event in (self._opened, self._arrived, self._credit, self._failed):
            event.set()
        self._forget(self.number)

    # From the source to the other end

    async def _send(self, source: Source) -> None:
        try:
            await _until(self._unwanted, self._pump(source))
            source.close()
            status = await source.status()
        except OSError as error:
            self._reset(ResetMessage.SOURCE_FAILED, error)
            raise
        self._check()
        if status is not None:
            self._discard()  # the program that ended was our sink, too
            self._session.exit(self.number, status)
        self._session.end(self.number)
        self._writer.wake()

    async def _pump(self, source: Source) -> None:
        while data := await source.read(MAX_DATA):
            rest = memoryview(data)
            while rest:
                room = self._room_now() or await self._room()
                self._session.data(self.number, rest[:room])
                self._writer.send_now()
                rest = rest[room:]

    def _room_now(self) -> int:
        """How much may be sent at once; also 0 where that cannot be said without waiting."""
        if self._error is not None or self._writer.is_full:
            return 0
        return self._session.sendable(self.number)

    async def _room(self) -> int:
        while True:
            await self._writer.room()
            self._check()
            if room := self._room_now():
                return room
            self._credit.clear()
            await self._credit.wait()

    # From the other end to the sink

    async def _deliver(self, sink: Sink) -> None:
        try:
            await _until(self._discarding, self._fill(sink))
            if not self._discarding.is_set():
                await sink.finish()
        except OSError as error:
            self._reset(ResetMessage.SINK_FAILED, error)
            raise
        while not self._ended:
            await self._arrival()
        self._check()
        self._session.delivered(self.number)
        self._writer.wake()

    async def _fill(self, sink: Sink) -> None:
        """Writes what comes, to its end."""
        while self._inbox or not self._ended:
            if not self._inbox:
                self._idle_sink = sink
                await self._arrival()
                continue
            chunks = self._batch()
            try:
                await sink.write(chunks)
            except ReaderGone:
                self._discard()
                return
            self._session.consumed(self.number, sum(map(len, chunks)))
            if self._session.has_control:
                self._writer.wake()

    def _write_now(self, sink: Sink, data: memoryview) -> memoryview:
        """What the sink does not take at once; no task is woken for the rest."""
        left = sink.write_now(data)
        self._session.consumed(self.number, len(data) - len(left))
        return left

    def _batch(self) -> list[memoryview]:
        chunks, size = [], 0
        while self._inbox and size < _BATCH:
            chunks.append(self._inbox.popleft())
            size += len(chunks[-1])
        return chunks

    async def _arrival(self) -> None:
        self._check()
        self._arrived.clear()
        await self._arrived.wait()
        self._check()

    def _discard(self) -> None:
        """Whatever still comes counts as handed over."""
        if self._discarding.is_set():
            return
        self._discarding.set()
        self._idle_sink = None
        self._inbox.clear()
        if self._error is None:
            self._session.stop(self.number)
            self._writer.wake()

    def _reset(self, reason: ResetMessage.Reason.ValueType, error: Exception) -> None:
        if self._error is None and not self._session.is_over(self.number):
            detail = error.strerror if isinstance(error, OSError) else str(error)
            self._session.reset(self.number, reason, detail or "")
            self._writer.wake()
        self.on_failed(error)

    async def _all_done(self, halves: set[asyncio.Task[None]]) -> None:
        """Until both ended; the first failure of one of them, or of the whole stream, is raised."""
        failed = asyncio.create_task(self._failed.wait())
        try:
            while halves:
                done, _ = await asyncio.wait((*halves, failed), return_when=asyncio.FIRST_COMPLETED)
                self._check()
                for half in done & halves:
                    half.result()
                halves = halves - done
        finally:
            await _cancelled(failed)

    def _check(self) -> None:
        if self._error is not None:
            raise self._error


async def _until(event: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """``work`` to its end, or until ``event``, if it was not set before: then nothing of it is done."""
    if event.is_set():
        work.close()
        return
    working = asyncio.create_task(work)
    waiting = asyncio.create_task(event.wait())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        await _cancelled(working, waiting)


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    """Ends the tasks, those that are done already included."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
