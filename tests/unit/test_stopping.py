"""rdpeer.net.signals: what a signal does to the main task."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from rdpeer.errors import ConnectionLost
from rdpeer.net.signals import Stopped, run

SIGNALS = [getattr(signal, name) for name in ("SIGHUP", "SIGINT", "SIGTERM") if hasattr(signal, name)]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="os.kill ends the process on Windows")


@pytest.fixture(autouse=True)
def _handlers_are_as_before() -> Iterator[None]:
    before = [signal.getsignal(signum) for signum in SIGNALS]
    yield
    assert [signal.getsignal(signum) for signum in SIGNALS] == before


async def _forever() -> None:
    await asyncio.Event().wait()


def test_the_result_is_returned() -> None:
    async def main() -> int:
        return 5

    assert run(main) == 5


def test_an_error_is_raised() -> None:
    async def main() -> None:
        raise ConnectionLost("gone")

    with pytest.raises(ConnectionLost):
        run(main)


@pytest.mark.parametrize("signum", SIGNALS)
def test_a_signal_cancels_and_lets_things_close(signum: int) -> None:
    closed = []

    async def main() -> None:
        try:
            signal.raise_signal(signum)
            await _forever()
        finally:
            await asyncio.sleep(0)
            closed.append(True)

    with pytest.raises(Stopped) as caught:
        run(main)
    assert caught.value.signum == signum
    assert closed


def test_a_signal_wakes_a_loop_that_has_nothing_to_do() -> None:
    """From another process, as it comes in life: ``raise_signal`` would find the loop awake."""
    senders = []

    async def main() -> None:
        send = "import os, signal; os.kill(os.getppid(), signal.SIGTERM)"
        senders.append(subprocess.Popen([sys.executable, "-c", send]))  # noqa: ASYNC220 - it does not wait
        await _forever()

    with pytest.raises(Stopped):
        run(main)
    assert senders[0].wait() == 0


def test_errors_of_the_end_are_not_told() -> None:
    async def main() -> None:
        signal.raise_signal(signal.SIGTERM)
        try:
            await _forever()
        finally:
            raise ConnectionLost("of course")

    with pytest.raises(Stopped):
        run(main)


def test_a_hang_up_may_come_twice() -> None:
    async def main() -> None:
        signal.raise_signal(signal.SIGHUP)
        try:
            await _forever()
        finally:
            signal.raise_signal(signal.SIGHUP)
            signal.raise_signal(signal.SIGTERM)
            await asyncio.sleep(0)

    with pytest.raises(Stopped) as caught:
        run(main)
    assert caught.value.signum == signal.SIGHUP


def test_a_second_interrupt_does_not_wait() -> None:
    async def main() -> None:
        signal.raise_signal(signal.SIGINT)
        try:
            await _forever()
        finally:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        run(main)


def test_a_signal_that_was_ignored_stays_ignored() -> None:
    async def main() -> int:
        signal.raise_signal(signal.SIGHUP)
        await asyncio.sleep(0)
        return 5

    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert run(main) == 5
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_run_that_ends_well_in_spite_of_a_signal_has_its_result() -> None:
    async def main() -> int:
        signal.raise_signal(signal.SIGTERM)
        return 5

    assert run(main) == 5
