"""A terminal with a person at it: what a program shows there is read, what the person types is written.

POSIX alone; tests get it from the fixture ``terminal``, which a plugin (tests/conftest.py) gives.
"""

from __future__ import annotations

import fcntl
import os
import re
import termios
from typing import Any

from program import Rdpeer, Running


class Terminal:
    def __init__(self) -> None:
        self._person, self.line = os.openpty()
        """``line`` is the program's side."""
        self._shown = ""

    def run(self, program: Rdpeer, *args: str, **popen: Any) -> Running:
        """Runs rdpeer with this as its terminal. Its standard streams are the terminal unless told."""
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), self.line)
        return program.follow(*args, start_new_session=True, preexec_fn=self.take, **(streams | popen))

    def take(self) -> None:
        """Makes it the terminal of the calling process, which leads a session without one."""
        fcntl.ioctl(self.line, termios.TIOCSCTTY, 0)

    def type(self, text: str) -> None:
        os.write(self._person, text.encode())

    def shows(self, pattern: str) -> re.Match[str]:
        """Reads until it has shown ``pattern``, behind what was found before."""
        while (found := re.search(pattern, self._shown)) is None:
            self._shown += os.read(self._person, 4096).decode()
        self._shown = self._shown[found.end() :]
        return found

    @property
    def echoes(self) -> bool:
        return bool(termios.tcgetattr(self.line)[3] & termios.ECHO)

    def hang_up(self) -> None:
        """Its window is closed."""
        os.close(self._person)
        self._person = -1

    def close(self) -> None:
        if self._person >= 0:
            self.hang_up()
        os.close(self.line)
