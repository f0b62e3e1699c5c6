"""A program that is asked for one line."""

from __future__ import annotations

import os
from collections.abc import Sequence

from rdpeer.net.process import Process

_LONGEST = 4096


async def first_line(argv: Sequence[str]) -> str:
    """The first line that ``argv`` prints, without the space around it.

    It is run without a shell, reads nothing, has our stderr, and sees no RDPEER_ variable: secrets may be
    among them. Raises OSError where it cannot be started, ValueError where it fails or says nothing that
    can be read.
    """
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RDPEER_")}
    async with await Process.start(argv, environ) as program:
        await program.finish()
        output = b""
        while data := await program.read(_LONGEST):
            output = (output + data)[:_LONGEST]
        status = await program.status()
    if status:
        raise ValueError(f"it exited {status}")
    first = output.partition(b"\n")[0]
    line = first.decode(errors="replace").strip()
    if len(first) == _LONGEST or not line or not line.isprintable():
        raise ValueError("it printed no line that could be a code")
    return line
