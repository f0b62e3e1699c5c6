"""The relay's pump on Linux: bytes go from socket to socket through a kernel pipe (splice(2)).

Python never sees them, and the kernel moves pages instead of copying. A pipe is
borrowed from a pool only while it holds bytes: a thousand idle pairs need none,
and a reader that is slow holds one pipe's worth, which is all the memory that a
direction can take.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
from dataclasses import dataclass

from rdpeer.net.budget import Meter

_PIPE_BYTES = 1024 * 1024  # twice as fast as 64 KiB, by a third faster than 256 KiB, for one pair
_SPARE_PIPES = 16
_SMALL = 16 * 1024
"""Bytes; a message, and not a part of a stream that goes on."""


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
        readable = _Readable(source.fileno())
        try:
            while (count := await self._forward(source, sink, meter)) != 0:
                if count is None or count < _SMALL:  # most likely all that there was
                    await readable.wait()
                else:
                    await asyncio.sleep(0)  # a busy pair leaves the others their turn
        finally:
            readable.close()

    def close(self) -> None:
        while self._spare:
            self._spare.pop().close()

    async def _forward(self, source: socket.socket, sink: socket.socket, meter: Meter) -> int | None:
        """One pipe's worth: how many bytes, 0 at the end, None where nothing is there yet."""
        pipe = self._spare.pop() if self._spare else _Pipe.open()
        held = 0
        try:
            count = _splice(source.fileno(), pipe.inlet, meter.piece(_PIPE_BYTES))
            held = count or 0
            if held:
                await meter.spend(held)
            while held:
                moved = _splice(pipe.outlet, sink.fileno(), held)
                if moved is None:
                    await _writable(sink.fileno())
                else:
                    held -= moved
            return count
        finally:
            self._give_back(pipe, empty=not held)

    def _give_back(self, pipe: _Pipe, *, empty: bool) -> None:
        if empty and len(self._spare) < _SPARE_PIPES:
            self._spare.append(pipe)
        else:
            pipe.close()


def _splice(source: int, sink: int, count: int) -> int | None:
    """How many bytes moved, at most ``count``; None where it would have to wait."""
    try:
        return os.splice(source, sink, count, flags=os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK)
    except BlockingIOError:
        return None


class _Readable:
    """Waits for a descriptor, and watches it from one message to the next: to begin and to end watching costs
    as much as to carry a message. It ends when something comes that nobody waits for."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._watched = False
        self._future: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        if not self._watched:
            self._loop.add_reader(self._descriptor, self._wake)
            self._watched = True
        self._future = self._loop.create_future()
        try:
            await self._future
        finally:
            self._future = None

    def close(self) -> None:
        if self._watched:
            self._loop.remove_reader(self._descriptor)
            self._watched = False

    def _wake(self) -> None:
        if self._future is None:
            self.close()
        elif not self._future.done():
            self._future.set_result(None)


async def _writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    loop.add_writer(descriptor, _wake, future)
    try:
        await future
    finally:
        loop.remove_writer(descriptor)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
