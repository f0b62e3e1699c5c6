"""A link: one authenticated session, driven over a frame stream (docs/CHANNEL.md 4 and 5).

Three tasks: one receives and never waits for anything but the transport, one seals and writes, one keeps
the time. The first error of any of them is the link's; whoever waits on it or on a stream of it gets it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from rdpeer import __version__
from rdpeer.crypto.channel import OVERHEAD, SecureChannel
from rdpeer.errors import ConnectionLost, RdpeerError
from rdpeer.net import trace
from rdpeer.net.record_writer import RecordWriter
from rdpeer.net.stream import Stream, failure
from rdpeer.net.transport import FrameStream
from rdpeer.net.transports import Transports
from rdpeer.protocol.candidates import Candidates
from rdpeer.protocol.session import MAX_RECORD, Session
from rdpeer.protocol.session_events import (
    CandidatesReceived,
    CreditGained,
    DataReceived,
    PeerEnded,
    PeerExited,
    PeerFinished,
    PeerStopped,
    PeerSwitched,
    SessionEvent,
    StreamAccepted,
    StreamOffered,
    StreamRefused,
    StreamReset,
)
from rdpeer.wire.channel_pb2 import StreamRefused as RefusedMessage

_LIMIT = MAX_RECORD + OVERHEAD
_LAST_WORDS_TIMEOUT = 1.0
_KEPT_MEMORY = 8 * 1024 * 1024


class Offer:
    """A stream that the other end asks for: accept or refuse it, once."""

    def __init__(self, target: str, stream: Stream) -> None:
        self.target = target
        """HOST:PORT as the other end named it, printable but not checked; empty: what this side serves."""
        self._stream = stream

    def is_for(self, stream: Stream) -> bool:
        return self._stream is stream

    def accept(self) -> Stream:
        """Opens the stream. ConnectionLost if the other end has given it up meanwhile."""
        self._stream.accept()
        return self._stream

    def refuse(self, reason: RefusedMessage.Reason.ValueType, detail: str = "") -> None:
        """Tells the other end why not; ``detail`` is one line for people."""
        self._stream.refuse(reason, detail)


class Link:
    """``async with Link(stream, channel, initiator=...) as link``: both ends are authenticated already.

    The link owns ``stream``, and those that it may move to; ``movable``: the other end is told that we
    could. Left without ``finish``, it aborts; left with an error, it first says what is queued (a RESET)
    if that takes no longer than a second.
    """

    def __init__(
        self, stream: FrameStream, channel: SecureChannel, *, initiator: bool, movable: bool = False
    ) -> None:
        self._initiator = initiator
        self._transports = Transports(stream, initiator=initiator)
        self._open_record = channel.open
        self._now = asyncio.get_running_loop().time
        self._session = Session(initiator=initiator, version=__version__, now=self._now(), movable=movable)
        self._writer = RecordWriter(stream, channel, self._session)
        self._streams: dict[int, Stream] = {}
        self._offers: deque[Offer] = deque()
        self._changed = asyncio.Event()
        self._latest: list[SessionEvent] = []
        self._error: RdpeerError | None = None
        self._undelivered: ConnectionLost | None = None  # of a stream that had ended well here
        self._tasks: list[asyncio.Task[None]] = []
        self._candidates: Candidates | None = None
        self._leaving: asyncio.Task[None] | None = None
        stream.limit = _LIMIT

    async def open(self, target: str = "") -> Stream:
        """A stream to ``target`` (HOST:PORT; empty: what the other end serves). PeerRefused says why not.

        Waits while the other end has as many streams of ours as it takes.
        """
        while not self._session.may_open:
            await self._change()
        self._check()
        stream = self._add(self._session.open(target))
        self._writer.wake()
        await stream.opened()
        return stream

    async def next_offer(self) -> Offer | None:
        """The next stream that the other end asks for, or None when it will not ask for any more.

        One that it has given up before it was taken here is passed over.
        """
        while not self._offers and not self._session.final_received:
            await self._change()
        return self._offers.popleft() if self._offers else None

    async def finish(self) -> None:
        """Sends FINAL when all streams are over, waits for the other end's, and closes the transport.

        When it returns, the other end has handed over every byte that was sent to it. ConnectionLost if
        it did not say so, or said for one of the streams that it could not.
        """
        self._session.finish()
        self._writer.wake()
        while not (self._session.final_sent and self._session.final_received):
            await self._change()
        await self._close()
        if self._undelivered is not None:
            raise self._undelivered

    # Moving to another transport (docs/CHANNEL.md 6.1)

    async def may_move(self) -> bool:
        """Whether both ends could; waits for the other one's word."""
        while not self._session.greeted:
            await self._change()
        return self._session.may_move

    def offer_candidates(self, ours: Candidates) -> None:
        """Tells the other end where we may be reached; once, and only if ``may_move``."""
        self._session.offer_candidates(ours)
        self._writer.wake()

    async def candidates(self) -> Candidates:
        """Where the other end says that it may be reached; waits for that."""
        while self._candidates is None:
            await self._change()
        return self._candidates

    def keep(self, name: bytes, stream: FrameStream) -> None:
        """The responder's: ``stream`` has been joined, and the initiator may choose it by ``name``."""
        stream.limit = _LIMIT
        self._transports.keep(name, stream)

    def move(self, name: bytes, stream: FrameStream) -> bool:
        """The initiator's: goes on over ``stream``, which has been joined. False where it is too late.

        From here on there is no way back: what ends ``stream`` ends the link.
        """
        if self._error is not None or not self._session.may_move:
            stream.abort()
            return False
        self.keep(name, stream)
        self._writer.move(stream, self._session.switch(name))
        return True

    async def moved(self) -> FrameStream:
        """Waits until the other end's direction has moved: to what."""
        while not self._transports.moved:
            await self._change()
        return self._transports.inward

    async def __aenter__(self) -> Self:
        _keep_freed_memory()
        work = (self._receive, self._writer.run, self._keep_time)
        self._tasks = [asyncio.create_task(self._guard(each)) for each in work]
        self._writer.wake()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        try:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            if isinstance(error, Exception) and self._error is None:
                await self._say_last_words()
        finally:
            self._fail(ConnectionLost("the connection was closed on this side"))
            self._transports.abort()

    async def _say_last_words(self) -> None:
        self._writer.flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS_TIMEOUT):
                await self._close()

    async def _close(self) -> None:
        if self._leaving is not None:
            if not self._initiator:
                self._leaving.cancel()  # the other end is done, and may yet have to read what we said there
            await asyncio.gather(self._leaving, return_exceptions=True)
        await self._transports.close()

    # The tasks

    async def _guard(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except RdpeerError as error:
            self._fail(error)
        except Exception as error:  # a bug: it must end the link with its traceback, not leave it hanging
            failure = ConnectionLost("internal error")
            failure.__cause__ = error
            self._fail(failure)
        finally:
            self._changed.set()

    async def _receive(self) -> None:
        closed = ConnectionLost("the peer closed the connection before its end")
        try:
            while await self._transports.inward.pour(self._take):
                pass  # the other end has left that transport
        except ConnectionLost as error:
            closed = error
        if not self._session.final_received:
            # A RESET that came last says why.
            raise next((failure(event) for event in self._latest if isinstance(event, StreamReset)), closed)

    def _take(self, payload: bytes) -> bool:
        """Whether the next record comes on another transport."""
        inward = self._transports.inward
        record, final = self._open_record(payload)
        self._latest = self._session.receive(record, final, self._now())
        for event in self._latest:
            self._dispatch(event)
        if self._session.has_control:
            self._writer.wake()
        return self._transports.inward is not inward

    async def _keep_time(self) -> None:
        while (deadline := self._session.deadline) is not None:
            await asyncio.sleep(deadline - self._now())
            self._session.handle_timeout(self._now())
            self._writer.wake()

    def _dispatch(self, event: SessionEvent) -> None:
        match event:
            case DataReceived(number, data):
                self._streams[number].on_data(data)
            case CreditGained(0):
                for stream in self._streams.values():
                    stream.on_credit()
                self._changed.set()
            case CreditGained(number):
                self._streams[number].on_credit()
            case StreamOffered(number, target):
                self._offers.append(Offer(target, self._add(number)))
                self._changed.set()
            case StreamAccepted(number):
                self._streams[number].on_accepted()
            case StreamRefused(number):
                self._streams[number].on_refused(event)
            case PeerEnded(number):
                self._streams[number].on_ended()
            case PeerStopped(number):
                self._streams[number].on_stopped()
            case PeerExited(number, status):
                self._streams[number].on_exited(status)
            case StreamReset(number):
                self._lose(number, failure(event))
            case PeerFinished():
                self._changed.set()
            case CandidatesReceived(said):
                self._candidates = said
                self._changed.set()
            case PeerSwitched(name):
                self._follow(name)
                self._changed.set()

    def _follow(self, name: bytes) -> None:
        """The other end has moved: the responder moves, too, and both leave the old stream."""
        stream = self._transports.follow(name)
        trace.moved(self._open_record, stream)
        if not self._initiator and not self._session.final_sent:
            self._writer.move(stream, self._session.switch(name))
        self._leaving = asyncio.create_task(self._guard(self._transports.leave))
        self._tasks.append(self._leaving)

    # For offers and streams

    def _add(self, number: int) -> Stream:
        stream = self._streams[number] = Stream(number, self._session, self._writer, self._forget)
        return stream

    def _lose(self, number: int, error: ConnectionLost) -> None:
        if stream := self._streams.get(number):
            stream.on_failed(error)
            self._offers = deque(offer for offer in self._offers if not offer.is_for(stream))
        else:
            self._undelivered = self._undelivered or error

    def _forget(self, number: int) -> None:
        self._streams.pop(number, None)

    def _fail(self, error: RdpeerError) -> None:
        if isinstance(error, ConnectionLost) and self._undelivered is not None:
            error = self._undelivered  # why the other end closed
        self._error = self._error or error
        for stream in list(self._streams.values()):
            stream.on_failed(self._error)
        self._changed.set()

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    async def _change(self) -> None:
        self._check()
        self._changed.clear()
        await self._changed.wait()
        self._check()


def _keep_freed_memory() -> None:
    """Stops glibc from giving the memory of each record back to the kernel, to fault it in for the next.

    Freeing one large block raises the size from which it does so (mallopt(3), M_MMAP_THRESHOLD). That took
    a transfer of 1 GB from up to 240 000 page faults to 5 000. The block is never touched, so it is free.
    """
    bytes(_KEPT_MEMORY)
