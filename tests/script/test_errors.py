"""What goes wrong before anything is tried: usage, standard streams, the home."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from program import Rdpeer

posix = pytest.mark.skipif(os.name != "posix", reason="sh and /dev are POSIX")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "error: missing command\nhint: try 'rdpeer --help'"),
        (["conect"], "error: no such command 'conect'\nhint: did you mean 'connect'?"),
        (["xyzzy"], "error: no such command 'xyzzy'\nhint: try 'rdpeer --help'"),
        (["config"], "error: missing command\nhint: try 'rdpeer config --help'"),
        (["config", "get"], "error: missing argument 'NAME'\nhint: try 'rdpeer config get --help'"),
        (["id", "x"], "error: got unexpected extra argument (x)\nhint: try 'rdpeer id --help'"),
        (["id", "--server", "a"], None),
        (["--nope"], None),
    ],
)
def test_usage(rdpeer: Rdpeer, arguments: list[str], told: str | None) -> None:
    stderr = None if told is None else "".join(f"rdpeer: {line}\n" for line in told.split("\n"))
    assert rdpeer(*arguments, code=2, stderr=stderr) == ""


@posix
@pytest.mark.parametrize("arguments", ["--help", "id", "config list"])
def test_a_full_output_is_told(rdpeer: Rdpeer, arguments: str) -> None:
    done = rdpeer.shell(f"rdpeer {arguments} > /dev/full")
    assert done.returncode == 1
    assert done.stderr.startswith("rdpeer: error: ")
    assert done.stderr.endswith("No space left on device\n")
    assert done.stderr.count("\n") == 1


@posix
@pytest.mark.parametrize("arguments", ["--help", "id", "config list"])
def test_an_output_without_a_reader_is_141_and_silent(rdpeer: Rdpeer, arguments: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = rdpeer.start(*arguments.split(), stdout=writing)
    os.close(writing)
    assert process.communicate() == (None, "")
    assert process.returncode == 141


@posix
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_as_good_as_dev_null(rdpeer: Rdpeer, closed: str) -> None:
    done = rdpeer.shell(f"rdpeer id {closed}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == ("" if ">&-" in closed.replace("2>&-", "") else rdpeer("id"))
    assert (rdpeer.home / "identity.json").read_text().startswith("{")


@posix
def test_an_error_without_a_reader_still_has_its_code(rdpeer: Rdpeer) -> None:
    assert rdpeer.shell("rdpeer conect 2>&-").returncode == 2
    assert rdpeer.shell("rdpeer conect 2>/dev/full").returncode == 2


def test_a_settings_file_that_cannot_be_read_is_named(rdpeer: Rdpeer) -> None:
    (rdpeer.home / "config.toml").mkdir(parents=True)
    told = f"rdpeer: error: cannot read {rdpeer.home}/config.toml: Is a directory\n"
    rdpeer("config", "list", code=2, stderr=told)
