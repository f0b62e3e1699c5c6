"""The completions in completions/ are click's own, and complete in the real shells."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.shell_completion import BashComplete, FishComplete, ShellComplete, ZshComplete

from rdpeer.cli.root import cli

COMPLETIONS = Path(__file__).parents[2] / "completions"
SCRIPTS: list[tuple[type[ShellComplete], str]] = [
    (BashComplete, "rdpeer.bash"),
    (ZshComplete, "_rdpeer"),
    (FishComplete, "rdpeer.fish"),
]


@pytest.mark.parametrize(("shell", "name"), SCRIPTS)
def test_script_is_what_click_generates(shell: type[ShellComplete], name: str) -> None:
    script = shell(cli, {}, "rdpeer", "_RDPEER_COMPLETE").source()
    assert (COMPLETIONS / name).read_text() == script


def test_bash_completes() -> None:
    with _terminal("bash", "--norc", "--noprofile", "-i") as terminal:
        _run(terminal, f"source '{COMPLETIONS}/rdpeer.bash'")
        _type(terminal, "rdpeer con\t\t")
        _read_until(terminal, b"config", b"connect")
        _type(terminal, "nect --dir\t")
        _read_until(terminal, b"--direct ")


def test_zsh_completes() -> None:
    with _terminal("zsh", "-f", "-i") as terminal:
        _run(terminal, f"autoload -Uz compinit; compinit -D -u; source '{COMPLETIONS}/_rdpeer'")
        _type(terminal, "rdpeer con\t")
        _read_until(terminal, b"config", b"connect")


def test_fish_completes() -> None:
    fish = _installed("fish")
    asked = f"source '{COMPLETIONS}/rdpeer.fish'; complete --do-complete 'rdpeer con'"
    answer = subprocess.run(
        [fish, "--no-config", "-c", asked], env=_environment(), capture_output=True, check=True
    )
    assert {line.split(b"\t")[0] for line in answer.stdout.splitlines()} == {b"config", b"connect"}


@contextmanager
def _terminal(*command: str) -> Iterator[int]:
    """A shell on a pseudo-terminal of its own; gives the side that a person would sit at."""
    command = (_installed(command[0]), *command[1:])
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=_environment(), start_new_session=True
    )
    os.close(theirs)
    try:
        yield ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def _installed(shell: str) -> str:
    return shutil.which(shell) or pytest.skip(f"{shell} is not installed")


def _environment() -> dict[str, str]:
    """The command of this environment first in PATH, and a terminal that no escape sequences clutter."""
    return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "TERM": "dumb"}


def _run(terminal: int, command: str) -> None:
    """Has the shell run it to its end: the echo of what was typed does not match the word that it prints."""
    _type(terminal, f"{command}; echo rea''dy\n")
    _read_until(terminal, b"\nready\r")


def _type(terminal: int, text: str) -> None:
    os.write(terminal, text.encode())


def _read_until(terminal: int, *expected: bytes) -> None:
    seen = b""
    while not all(text in seen for text in expected):
        seen += os.read(terminal, 4096)
