"""A program that is asked for one line: what counts, and that it is not left behind."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from rdpeer.net.command import first_line


def python(script: str) -> list[str]:
    return [sys.executable, "-c", script]


async def test_the_first_line_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDPEER_PASSWORD", "horse")
    script = "import os; print(' 123', os.environ.get('RDPEER_PASSWORD')); print('more' * 10000)"
    assert await first_line(python(script)) == "123 None"


async def test_it_reads_nothing() -> None:
    assert await first_line(python("import sys; print(repr(sys.stdin.read()))")) == "''"


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("raise SystemExit(3)", "it exited 3"),
        ("print('x'); raise SystemExit(1)", "it exited 1"),
        ("print()", "it printed no line that could be a code"),
        ("print('\\x1b[31m')", "it printed no line that could be a code"),
        ("print('x' * 100000)", "it printed no line that could be a code"),
    ],
)
async def test_what_gives_no_line(script: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        await first_line(python(script))


async def test_a_program_that_is_not_there() -> None:
    with pytest.raises(FileNotFoundError):
        await first_line(["/no/such/program"])


async def test_cancelled_it_is_killed(tmp_path: Path) -> None:
    pipe = tmp_path / "pid"
    os.mkfifo(pipe)
    script = f"import os, signal; open({str(pipe)!r}, 'w').write(str(os.getpid())); signal.pause()"
    asking = asyncio.create_task(first_line(python(script)))
    pid = int(await asyncio.to_thread(pipe.read_text))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
