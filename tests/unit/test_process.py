"""The child of ``--exec``: its output, its input, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from rdpeer.net.pipe import ReaderGone
from rdpeer.net.process import Process

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups")

ENVIRONMENT = {"PATH": os.environ["PATH"], "GREETING": "hello"}


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


async def start(argv: list[str], grace: float = 60.0) -> Process:
    return await Process.start(argv, ENVIRONMENT, grace=grace)


async def output(process: Process) -> bytes:
    data = b""
    while chunk := await process.read(65536):
        data += chunk
    return data


async def test_output_environment_and_status():
    async with await start(shell("echo $GREETING $HOME; exit 3")) as process:
        assert await output(process) == b"hello\n"
        assert await process.status() == 3


async def test_input_reaches_it_and_ends():
    async with await start(["cat"]) as process:
        await process.write([memoryview(b"one "), memoryview(b"two")])
        await process.finish()
        assert await output(process) == b"one two"
        assert await process.status() == 0


async def test_bulk_both_ways():
    blob = bytes(range(256)) * 20_000
    async with await start(["cat"]) as process:

        async def feed() -> None:
            await process.write([memoryview(blob)])
            await process.finish()

        _, heard = await asyncio.gather(feed(), output(process))
        assert heard == blob


async def test_a_signal_is_a_status_above_128():
    async with await start(shell("kill -TERM $$")) as process:
        assert await output(process) == b""
        assert await process.status() == 128 + signal.SIGTERM


async def test_there_is_no_shell():
    async with await start(["echo", "$GREETING; exit 1"]) as process:
        assert await output(process) == b"$GREETING; exit 1\n"


async def test_no_such_program():
    with pytest.raises(FileNotFoundError):
        await start(["/no/such/program"])


async def test_it_leads_a_session_and_a_process_group_of_its_own():
    async with await start(shell("echo $$; read line")) as process:
        pid = int(await process.read(100))
        assert os.getpgid(pid) == os.getsid(pid) == pid


async def test_input_that_it_does_not_read():
    async with await start(shell("exec <&-; echo closed; exec sleep 600")) as process:
        assert await process.read(100) == b"closed\n"
        with pytest.raises(ReaderGone):
            await process.write([memoryview(b"anybody?")])


async def test_a_program_that_closes_its_output_runs_on():
    async with await start(shell("exec >&-; cat >/dev/null; exit 5")) as process:
        assert await output(process) == b""
        await process.write([memoryview(b"still read")])
        await process.finish()
        assert await process.status() == 5


async def test_a_background_child_that_holds_the_pipe_is_not_waited_for():
    async with await start(shell("sleep 600 & echo started $!")) as process:
        started = await output(process)
        assert started.startswith(b"started ")
        assert await process.status() == 0
        os.kill(int(started.split()[1]), signal.SIGKILL)


async def test_what_was_written_before_the_end_is_read_to_the_end():
    async with await start(shell("head -c 30000 /dev/zero")) as process:
        await process.status()
        assert len(await output(process)) == 30_000


async def test_leaving_hangs_up_the_whole_group():
    async with await start(shell("trap 'exit 7' HUP; sh -c 'echo $$; exec sleep 600' & wait")) as process:
        child = int(await process.read(100))
    assert await process.status() == 7
    await gone(child)


async def test_what_ignores_the_hang_up_is_killed():
    async with await start(shell("trap '' HUP; echo ready; sleep 600"), grace=0.0) as process:
        assert await process.read(100) == b"ready\n"
    assert await process.status() == 128 + signal.SIGKILL


async def gone(pid: int) -> None:
    """Until it has ended: a zombie that init has not yet collected counts."""
    while True:
        try:
            os.kill(pid, 0)
            if state(pid) == "Z":
                return
        except (ProcessLookupError, FileNotFoundError):
            return
        await asyncio.sleep(0.01)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
