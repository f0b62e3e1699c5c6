"""Asking a person on the terminal, while stdin and stdout belong to the peer.

The terminal is opened on its own (/dev/tty), so it can be asked when both are
pipes, as in a ProxyCommand. Reading goes through the event loop: ^C cancels the
question, and the echo comes back on every way out.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator

MAX_ANSWER = 4096
"""Bytes of one line, as terminals have it."""


async def ask(question: str, *, hidden: bool) -> str:
    """The line that a person types, without its end; ``hidden``: without echo.

    Raises OSError where there is no terminal, and EOFError where it is closed (^D).
    """
    if sys.platform == "win32":
        return await asyncio.to_thread(_ask_windows, question, hidden)
    terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    try:
        with _echo(terminal, on=not hidden):
            os.write(terminal, question.encode())
            line = await _line(terminal)
            if hidden:
                os.write(terminal, b"\n")
    finally:
        os.close(terminal)
    if not line:
        raise EOFError("the terminal was closed")
    return line.decode(errors="surrogateescape").rstrip("\r\n")


async def _line(terminal: int) -> bytes:
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[bytes] = loop.create_future()

    def read() -> None:
        if not readable.done():
            readable.set_result(os.read(terminal, MAX_ANSWER))

    loop.add_reader(terminal, read)
    try:
        return await readable
    finally:
        loop.remove_reader(terminal)


if sys.platform == "win32":

    def _ask_windows(question: str, hidden: bool) -> str:
        import getpass

        return getpass.getpass(question) if hidden else input(question)

else:
    import termios

    @contextlib.contextmanager
    def _echo(terminal: int, *, on: bool) -> Iterator[None]:
        """The terminal's echo as asked for, and as it was afterwards. What was typed ahead is dropped."""
        before = termios.tcgetattr(terminal)
        local = before[3] | termios.ECHO if on else before[3] & ~termios.ECHO
        try:
            termios.tcsetattr(terminal, termios.TCSAFLUSH, [*before[:3], local, *before[4:]])
            yield
        finally:
            termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
