"""A program that is asked for one line."""

from __future__ import annotations

import asyncio
import contextlib
import os
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Sequence

_LONGEST = 4096


async def first_line(argv: Sequence[str]) -> str:
    """The first line that ``argv`` prints, without the space around it.

    It is run without a shell, reads nothing, has our stderr, and sees no RDPEER_ variable: secrets may be
    among them. Cancelled, it is killed. Raises OSError where it cannot be started, ValueError where it fails
    or says nothing that can be read.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RDPEER_")}
    child = await asyncio.create_subprocess_exec(
        *argv, stdin=DEVNULL, stdout=PIPE, env=environ, limit=_LONGEST
    )
    assert child.stdout is not None  # noqa: S101 - it is a pipe
    try:
        line = await child.stdout.readline()
        while await child.stdout.read(_LONGEST):
            pass
        status = await child.wait()
    finally:
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()
            await child.wait()
    if status:
        raise ValueError(f"it exited {status}")
    text = line.decode(errors="replace").strip()
    if not text.isprintable() or not text:
        raise ValueError("it printed no line")
    return text
