"""Help, version and completion: what they say, and that they stay light."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click
import pytest

from rdpeer import __version__
from rdpeer.cli.root import COMMANDS, cli

if TYPE_CHECKING:
    from program import Rdpeer

HEAVY = {"asyncio", "google.protobuf", "keyring", "nacl", "platformdirs", "spake2", "tomlkit", "websockets"}
PROBE = """
import atexit, sys
heavy = set(sys.argv.pop(1).split())
atexit.register(lambda: print(*sorted(heavy & set(sys.modules)), file=sys.stderr, end=""))
from rdpeer.cli import main
main()
"""


def test_help_names_all_commands(rdpeer: Rdpeer) -> None:
    told = rdpeer("--help")
    assert rdpeer("-h") == told
    for name in COMMANDS:
        assert f"\n  {name} " in told


def test_version(rdpeer: Rdpeer) -> None:
    assert rdpeer("--version") == f"rdpeer {__version__}\n"


def test_help_and_version_are_not_variables(rdpeer: Rdpeer) -> None:
    rdpeer("config", "path", env={"RDPEER_VERSION": "1.2", "RDPEER_HELP": "1"})


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command
    assert command.name == name
    assert (command.help or "").partition("\n")[0] == COMMANDS[name]


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_has_help(rdpeer: Rdpeer, name: str) -> None:
    assert rdpeer(name, "-h").startswith(f"Usage: rdpeer {name} ")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_imports_nothing_heavy(name: str, rdpeer: Rdpeer) -> None:
    _run_light([name, "--help"], {}, rdpeer)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_table_imports_little_more_than_click(option: str, rdpeer: Rdpeer) -> None:
    _run_light(
        [option], {}, rdpeer, HEAVY | {"rdpeer.values", "rdpeer.settings", "rdpeer.store", "dataclasses"}
    )


@pytest.mark.parametrize("line", ["rdpeer ", "rdpeer con", *(f"rdpeer {name} --" for name in COMMANDS)])
def test_completion_imports_nothing_heavy(line: str, rdpeer: Rdpeer) -> None:
    words = {"_RDPEER_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(line.count(" "))}
    told = _run_light([], words, rdpeer)
    assert told


def test_completion_of_commands(rdpeer: Rdpeer) -> None:
    words = {"_RDPEER_COMPLETE": "bash_complete", "COMP_WORDS": "rdpeer con", "COMP_CWORD": "1"}
    assert rdpeer(env=words) == "plain,connect\nplain,config\n"


def _run_light(arguments: list[str], env: dict[str, str], rdpeer: Rdpeer, heavy: set[str] = HEAVY) -> str:
    assert all(find_spec(name) for name in heavy)
    probe = [sys.executable, "-c", PROBE, " ".join(heavy), *arguments]
    unmeasured = {name: value for name, value in rdpeer.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        probe, env=unmeasured | env, cwd=rdpeer.folder, capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
