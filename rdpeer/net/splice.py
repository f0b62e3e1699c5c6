"""The relay's pump on Linux: bytes go from socket to socket through a kernel pipe (splice(2)).

Python does not see them, and the kernel moves pages instead of copying. A pipe is
borrowed from a pool only while it holds bytes: a thousand idle pairs need none,
and a reader that is slow holds one pipe's worth, which is all the memory that a
direction can take. A message is copied: that costs less than to move so few bytes.
Who sent one is expected to send another.

What carries is a callback of the event loop and not a task: to wake a task takes
another turn of the loop, and for a message the turn costs more than its bytes.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
from dataclasses import dataclass

from rdpeer.net.budget import Meter, Payment
from rdpeer.net.prompt import watch

_PIPE_BYTES = 1024 * 1024  # twice as fast as 64 KiB, by a third faster than 256 KiB, for one pair
_MESSAGE = 4096  # what the smallest pipe takes
_SPARE_PIPES = 16
_REST = 0.01  # seconds
_FLAGS = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK


@dataclass(frozen=True, slots=True)
class _Pipe:
    outlet: int
    inlet: int

    @classmethod
    def open(cls) -> _Pipe:
        pipe = cls(*os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC))
        try:
            fcntl.fcntl(pipe.inlet, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        except OSError:
            return pipe  # the user's share of pipe memory is used up: the default size works as well
        return pipe

    def close(self) -> None:
        os.close(self.outlet)
        os.close(self.inlet)


class SplicePump:
    """One for a whole relay. Linux only."""

    def __init__(self) -> None:
        self._spare: list[_Pipe] = []

    async def carry(self, source: socket.socket, sink: socket.socket, meter: Meter) -> None:
        """As :meth:`Pump.carry`."""
        way = _Way(self, source.fileno(), sink.fileno(), meter)
        try:
            await way.over
        finally:
            way.stop()

    def close(self) -> None:
        while self._spare:
            self._spare.pop().close()

    def borrow(self) -> _Pipe:
        """A pipe that is empty."""
        return self._spare.pop() if self._spare else _Pipe.open()

    def give_back(self, pipe: _Pipe) -> None:
        """Takes one that is empty again."""
        if len(self._spare) < _SPARE_PIPES:
            self._spare.append(pipe)
        else:
            pipe.close()


class _Way:
    """One direction, at work from the beginning; each turn moves a pipe's worth at most, so that a busy pair
    leaves the others theirs. ``over``: done at the end of ``source``, or with what broke either side.

    It watches ``source`` while its pipe is empty; while bytes are held that may not move yet, or that
    ``sink`` does not take, it waits for that alone.
    """

    def __init__(self, pump: SplicePump, source: int, sink: int, meter: Meter) -> None:
        self._pump = pump
        self._source = source
        self._sink = sink
        self._meter = meter
        self._loop = asyncio.get_running_loop()
        self._pipe: _Pipe | None = None
        self._held = self._unpaid = 0
        self._is_brief = True  # the last piece was a message
        self._payment: Payment | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.over: asyncio.Future[None] = self._loop.create_future()
        self._unwatch = watch(source, self._take)

    def stop(self) -> None:
        """What is still held is dropped: its connection is."""
        self._unwatch()
        self._loop.remove_writer(self._sink)
        if self._payment is not None:
            self._payment.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def _take(self) -> bool:
        """Passes on what has come: whether that was all there was to do."""
        try:
            count = self._copy() if self._is_brief and self._meter.is_free else self._move()
        except BlockingIOError:  # nothing is there after all
            self._return_pipe()
            return True
        except Exception as error:
            self._end(error)
            return False
        if count and not self._held:
            return True
        self._unwatch()
        if not count:
            self._return_pipe()
            self._end()
        elif self._unpaid:
            self._payment = Payment(self._meter, self._unpaid, self._allowed)
        else:
            self._loop.add_writer(self._sink, self._go_on)
        return False

    def _copy(self) -> int:
        """Where a message is expected: how many bytes came."""
        message = os.read(self._source, _MESSAGE)
        count = len(message)
        self._is_brief = count < _MESSAGE
        self._meter.carried += count
        try:
            sent = os.write(self._sink, message)
        except BlockingIOError:
            sent = 0
        if sent < count:
            self._pipe = self._pump.borrow()
            self._held = os.write(self._pipe.inlet, message[sent:])
        return count

    def _move(self) -> int:
        """By a pipe: how many bytes came."""
        pipe = self._pipe = self._pump.borrow()
        self._held = count = self._fill(pipe, self._meter.piece(_PIPE_BYTES))
        self._is_brief = count < _MESSAGE
        self._unpaid = count - self._meter.charge(count)
        if count and not self._unpaid:
            self._pass_on(pipe)
        return count

    def _fill(self, pipe: _Pipe, most: int) -> int:
        """How many bytes came, 0 at the end; BlockingIOError where there is nothing."""
        try:
            return os.splice(self._source, pipe.inlet, most, flags=_FLAGS)
        except BlockingIOError:
            # It says so for ever at the mark of urgent data. To read passes that.
            return os.write(pipe.inlet, os.read(self._source, min(most, _MESSAGE)))

    def _allowed(self) -> None:
        """What is held may move."""
        self._loop.add_writer(self._sink, self._go_on)

    def _go_on(self) -> None:
        """``sink`` takes more."""
        assert self._pipe is not None  # noqa: S101 - it holds bytes
        held = self._held
        try:
            if not self._pass_on(self._pipe):
                if self._held == held:
                    self._rest()
                return
        except OSError as error:
            self._end(error)
        self._loop.remove_writer(self._sink)
        if not self.over.done():
            self._unwatch = watch(self._source, self._take)

    def _rest(self) -> None:
        """``sink`` took nothing although it said that it would: the system has no memory left for
        what is sent. To ask again at once would take a core."""
        self._loop.remove_writer(self._sink)
        self._timer = self._loop.call_later(_REST, self._loop.add_writer, self._sink, self._go_on)

    def _pass_on(self, pipe: _Pipe) -> bool:
        """Whether nothing is held any more; OSError where ``sink`` is broken."""
        try:
            while self._held:
                self._held -= os.splice(pipe.outlet, self._sink, self._held, flags=_FLAGS)
        except BlockingIOError:
            return False
        self._return_pipe()
        return True

    def _return_pipe(self) -> None:
        """It is empty."""
        if self._pipe is not None:
            self._pump.give_back(self._pipe)
            self._pipe = None

    def _end(self, error: Exception | None = None) -> None:
        self._unwatch()
        if self.over.done():
            return
        if error is None:
            self.over.set_result(None)
        else:
            self.over.set_exception(error)
