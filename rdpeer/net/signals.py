"""Signals that ask the process to stop: they cancel the main task, so that everything closes in order.

``signal.signal`` and not ``loop.add_signal_handler``, which Windows does not have;
``asyncio.Runner`` does the same for SIGINT. A signal that is ignored when we
start stays ignored: nohup, and ``&`` in a script, mean it so.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from rdpeer.errors import RdpeerError

T = TypeVar("T")
LoopFactory = Callable[[], asyncio.AbstractEventLoop]

_STOPPING = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # SIGHUP is POSIX, SIGBREAK is Windows
    if hasattr(signal, name)
]


class Stopped(Exception):
    """A signal ended the run; ``signum`` is the first that came."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum


def run(main: Callable[[], Coroutine[Any, Any, T]], make_loop: LoopFactory | None = None) -> T:
    """Runs ``main()`` in a new event loop, made by ``make_loop`` if given, and returns its result.

    The first signal cancels its task; Stopped is raised when it has ended,
    whatever error its end brought with it. A second SIGINT, from someone who
    does not want to wait, raises KeyboardInterrupt; other repetitions change
    nothing, as a hang-up often comes twice: from the terminal and from the shell.
    """
    with asyncio.Runner(loop_factory=make_loop) as runner:
        return runner.run(_until_stopped(main))


async def _until_stopped(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    task = asyncio.current_task()
    loop = asyncio.get_running_loop()
    assert task is not None  # noqa: S101 - a coroutine that runs has one
    received: list[int] = []

    def stop(signum: int, frame: FrameType | None) -> None:
        if not received:
            received.append(signum)
            loop.call_soon_threadsafe(task.cancel)  # wakes the loop where a plain cancel would not
        elif signum == signal.SIGINT:
            raise KeyboardInterrupt

    with _handled(stop):
        try:
            return await main()
        except (asyncio.CancelledError, RdpeerError, OSError) as error:
            if not received:
                raise
            raise Stopped(received[0]) from error


@contextmanager
def hang_up_means(action: Callable[[], None]) -> Iterator[None]:
    """Inside ``run``: a hang-up has the loop call ``action``, and stops nothing.

    It is a terminal's only where standard input is one; then it still stops the process, as does everything
    where there is no such signal, and one that is ignored stays so.
    """
    number = getattr(signal, "SIGHUP", None)
    if number is None or signal.getsignal(number) is signal.SIG_IGN or os.isatty(0):
        yield
        return
    loop = asyncio.get_running_loop()
    previous = signal.signal(number, lambda *_: loop.call_soon_threadsafe(action))
    try:
        yield
    finally:
        signal.signal(number, previous)


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    previous = {
        signum: signal.signal(signum, handler)
        for signum in _STOPPING
        if signal.getsignal(signum) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for signum, old in previous.items():
            signal.signal(signum, old)
