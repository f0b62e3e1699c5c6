"""File descriptors as source and sink, whatever stands behind them.

Standard input and output are shared with other processes, so O_NONBLOCK is never set on them: it belongs
to the open file, which the shell and everybody else in the pipeline has too. And asyncio's pipe transports
take no regular files and hang on /dev/null. So:

*Reading.* ``poll`` says whether a read would block, for files, devices, pipes and terminals alike; only
where it would, the event loop waits, and what it waits for is then always something that epoll takes.

*Writing.* "Ready" means room for one page, not for all, so the same does not work. Regular files and
devices are written directly: they do not block for long. A pipe or terminal is opened once more under
/proc, as an open file of our own that may be non-blocking.

*Where that is not to be had* (Windows, macOS, a socket as stdout), a daemon thread makes blocking calls.
It may be left behind in one at exit, and holds nothing up.
"""

from __future__ import annotations

import asyncio
import os
import select
import stat
import sys
from collections.abc import Callable, Sequence
from typing import Any

from rdpeer.net.blocking import BlockingThread

if sys.platform == "linux":
    import fcntl
if sys.platform == "win32":
    import msvcrt

_PIPE_TO_US = 256 * 1024
_PIPE_FROM_US = 1024 * 1024
_MAX_BUFFERS = 16  # the least that IOV_MAX may be
_LAST_STANDARD_FD = 2


class FdSource:
    """Reads a descriptor, and owns it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.ends_with_peer = os.isatty(fd)
        self._poll = _poll(fd)
        self._thread = None if self._poll else BlockingThread()
        _prepare(fd)
        _widen(fd, _PIPE_TO_US)

    async def read(self, limit: int) -> bytes:
        """As :meth:`Source.read`."""
        if self._thread is not None:
            return await self._thread.run(lambda: os.read(self._fd, limit))
        loop = asyncio.get_running_loop()
        while (data := self.read_now(limit)) is None:
            await _ready(loop.add_reader, loop.remove_reader, self._fd)
        return data

    def read_now(self, limit: int) -> bytes | None:
        """What ``read`` would return at once, or None."""
        if self._poll is None or not self._poll.poll(0):
            return None
        return os.read(self._fd, limit)

    async def status(self) -> None:
        """As :meth:`Source.status`: who wrote into a descriptor has none."""

    def close(self) -> None:
        """As :meth:`Source.close`. Descriptors 0 to 2 are replaced by /dev/null and stay valid."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            _release(fd, in_use=self._thread is not None)
        if self._thread is not None:
            self._thread.stop()


class FdSink:
    """Writes to a descriptor, and owns it. ``shared``: other processes may have the same open file."""

    def __init__(self, fd: int, *, shared: bool = True) -> None:
        self._fd = fd
        self._target = _writable_without_blocking(fd, shared)
        self._thread = BlockingThread() if self._target is None else None
        _prepare(fd)
        _widen(fd, _PIPE_FROM_US)

    async def write(self, chunks: Sequence[memoryview]) -> None:
        """As :meth:`Sink.write`; BrokenPipeError where the reader has gone."""
        if self._target is None:
            assert self._thread is not None  # noqa: S101 - one of the two is there
            await self._thread.run(lambda: _write_blocking(self._fd, chunks))
            return
        loop = asyncio.get_running_loop()
        left = list(chunks)
        while left:
            try:
                left = _write_some(self._target, left)
            except BlockingIOError:
                await _ready(loop.add_writer, loop.remove_writer, self._target)

    def write_now(self, chunk: memoryview) -> memoryview:
        """As :meth:`Sink.write_now`."""
        if self._target is None:
            return chunk
        try:
            return chunk[os.write(self._target, chunk) :]
        except OSError:
            return chunk

    async def finish(self) -> None:
        """As :meth:`Sink.finish`. Descriptors 0 to 2 are replaced by /dev/null and stay valid."""
        if self._fd >= 0:
            os.close(os.dup(self._fd))  # some file systems report what failed only when a file is closed
            self.abort()

    def abort(self) -> None:
        """As :meth:`Sink.abort`."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        if self._target is not None and self._target != fd:
            os.close(self._target)
        _release(fd, in_use=self._thread is not None)
        if self._thread is not None:
            self._thread.stop()


def _poll(fd: int) -> Any:  # select.poll is a function, its class has no public name
    """A poll object for reading ``fd``, or None where the system cannot tell whether a read would block."""
    if not hasattr(select, "poll"):
        return None
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return None if any(event & select.POLLNVAL for _, event in poll.poll(0)) else poll


def _writable_without_blocking(fd: int, shared: bool) -> int | None:
    """A descriptor on which a write never blocks for long, or None."""
    if sys.platform == "win32":
        return None
    kind = os.fstat(fd).st_mode
    if not shared:
        os.set_blocking(fd, False)
        return fd
    if not (stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) or os.isatty(fd)):
        return fd
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # no such folder here, a socket, another user's terminal, a pipe without a reader
        return None


def _write_some(fd: int, chunks: list[memoryview]) -> list[memoryview]:
    """Writes what fits: the rest."""
    count = os.writev(fd, chunks[:_MAX_BUFFERS])
    for index, chunk in enumerate(chunks):
        if count < len(chunk):
            return [chunk[count:], *chunks[index + 1 :]]
        count -= len(chunk)
    return []


def _write_blocking(fd: int, chunks: Sequence[memoryview]) -> None:
    for chunk in chunks:
        while chunk:
            chunk = chunk[os.write(fd, chunk) :]


async def _ready(add: Callable[..., object], remove: Callable[[int], object], fd: int) -> None:
    """Waits until the event loop says that ``fd`` is readable or writable, as ``add`` has it."""
    future = asyncio.get_running_loop().create_future()
    add(fd, _settle, future)
    try:
        await future
    finally:
        remove(fd)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _prepare(fd: int) -> None:
    if sys.platform == "win32":
        msvcrt.setmode(fd, os.O_BINARY)


def _widen(fd: int, size: int) -> None:
    """Gives a pipe room for several records, so that the two processes at it need not run in step.

    More where we write, since a batch goes in at once; less where we read: what lies in a small pipe is
    still in the processor's cache when we come for it.
    """
    if sys.platform == "linux" and stat.S_ISFIFO(os.fstat(fd).st_mode):
        try:
            if fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) < size:
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, size)
        except OSError:
            return  # over what this user may have: the pipe stays as it is


def _release(fd: int, *, in_use: bool) -> None:
    """Gives up ``fd``. Its number must not come back as another file while somebody may still use it."""
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, fd)
    os.close(null)
    if fd > _LAST_STANDARD_FD and not in_use:
        os.close(fd)
