"""The program as scripts run it, in a process and a home of its own. A plugin: tests/conftest.py loads it.

    def test_it(rdpeer: Rdpeer) -> None:
        rdpeer("config", "set", "server", "a")                      # exit 0, silent
        assert rdpeer("config", "get", "server") == "a\\n"           # its stdout
        rdpeer("config", "set", "x", "y", code=2, stderr="rdpeer: error: ...\\n")

A run that ends with 0 must have said nothing on stderr, unless ``stderr`` says
what. ``RDPEER_COMMAND`` is the program to test: that of an installed wheel.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

COMMAND = shlex.split(os.environ.get("RDPEER_COMMAND", "")) or [sys.executable, "-m", "rdpeer"]


SEARCHED = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/sbin"])


def installed(program: str) -> str:
    """The path of another program that a test needs; the test is skipped where it is not installed."""
    path = shutil.which(program, path=SEARCHED)
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path


class Rdpeer:
    """Runs ``rdpeer`` with ``home`` as RDPEER_HOME, in ``folder``; ``within``: the command that runs it."""

    def __init__(self, folder: Path, within: Sequence[str] = ()) -> None:
        self._command = [*within, *COMMAND]
        self.folder = folder
        self.home = folder / "home"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("RDPEER_")}
        self.environ = inherited | {
            "HOME": str(folder),
            "RDPEER_HOME": str(self.home),
            "RDPEER_NO_DISCOVERY": "1",  # its port is one for the whole machine
            "PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring",
        }
        self._started: list[subprocess.Popen[Any]] = []

    def __call__(
        self,
        *args: str,
        code: int = 0,
        stdin: str = "",
        stderr: str | re.Pattern[str] | None = None,
        env: dict[str, str] | None = None,
    ) -> str:
        """Runs to the end and returns stdout. ``stderr``: the whole text, or a pattern for the whole of it;
        by default nothing where ``code`` is 0, anything else otherwise."""
        done = subprocess.run(
            [*self._command, *args],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environ | (env or {}),
            timeout=50,
        )
        assert done.returncode == code, done.stderr
        if isinstance(stderr, re.Pattern):
            assert stderr.fullmatch(done.stderr), done.stderr
        elif stderr is not None or code == 0:
            assert done.stderr == (stderr or "")
        assert "Traceback" not in done.stderr
        return done.stdout

    def start(self, *args: str, env: dict[str, str] | None = None, **popen: Any) -> subprocess.Popen[Any]:
        """Starts it with pipes, in text, and kills it at the end of the test if it is still there."""
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(
            [*self._command, *args],
            cwd=self.folder,
            env=self.environ | (env or {}),
            **({"text": True} | pipes | popen),
        )
        self._started.append(process)
        return process

    def follow(self, *args: str, **popen: Any) -> Running:
        """As :meth:`start`, in bytes, and its stderr is read as it comes."""
        return Running(self.start(*args, text=False, bufsize=0, **popen))

    @property
    def command(self) -> str:
        """The program as a word of sh."""
        return shlex.join(self._command)

    def shell(self, script: str, timeout: float = 50) -> subprocess.CompletedProcess[str]:
        """Runs a line of sh, in which ``rdpeer`` is the program."""
        return subprocess.run(
            ["sh", "-c", f'rdpeer() {{ {self.command} "$@"; }}; {script}'],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=self.environ,
            timeout=timeout,
        )

    def end(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()


class Running:
    """A program at work. ``lines`` has what it said on stderr, as far as that was read."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.lines: list[str] = []

    def said(self, pattern: str) -> re.Match[str]:
        """Reads its stderr up to the next line that is all of ``pattern``."""
        assert self.process.stderr
        while line := self.process.stderr.readline().decode():
            self.lines.append(line.rstrip("\n"))
            if found := re.fullmatch(pattern, self.lines[-1]):
                return found
        raise AssertionError(f"it ended without {pattern!r}: {self.lines}")

    def end(self, *told: str, code: int = 0, stdin: bytes | None = None) -> bytes:
        """Waits for its end, and returns its stdout. ``told``: a pattern for each line that it still says."""
        out, err = self.process.communicate(stdin, timeout=50)
        lines = err.decode().splitlines() if err else []
        assert self.process.returncode == code, lines
        assert len(lines) == len(told), lines
        for line, pattern in zip(lines, told, strict=True):
            assert re.fullmatch(pattern, line), lines
        self.lines += lines
        return out or b""


@pytest.fixture
def rdpeer(tmp_path: Path) -> Iterator[Rdpeer]:
    program = Rdpeer(tmp_path)
    yield program
    program.end()
