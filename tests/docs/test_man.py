"""The man pages name exactly the commands, options and exit codes that there are, and mandoc accepts them."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from rdpeer.cli import exits
from rdpeer.cli.root import cli
from rdpeer.server import Limits, forwards, frequency, limits, strangers

ROOT = Path(__file__).parents[2]
MAN = ROOT / "man"
PAGES = sorted(MAN.glob("*.1"))


COMMANDS = cli.list_commands(click.Context(cli))


def _command(name: str) -> click.Command:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    return command


def _subcommands(command: click.Command) -> dict[str, click.Command]:
    return dict(command.commands) if isinstance(command, click.Group) else {}


def _all_below(command: click.Command) -> list[click.Command]:
    """A command and all of its subcommands, and theirs."""
    return [command, *(found for below in _subcommands(command).values() for found in _all_below(below))]


def _page(name: str) -> str:
    return (MAN / f"{name}.1").read_text()


def _options(*commands: click.Command, common: bool = False) -> set[str]:
    """Common ones are read for all commands, and are the only ones that no command is called with."""
    return {
        name
        for command in commands
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.hidden
        if common or parameter.expose_value
        for name in (*parameter.opts, *parameter.secondary_opts)
    }


def _listed_options(page: str) -> set[str]:
    items = re.findall(r"^\.It (Fl .*)$", page, re.MULTILINE)
    return {"-" + name for item in items for name in re.findall(r"Fl (-?[\w-]+)", item)}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_its_page(name: str) -> None:
    page, command = _page(f"rdpeer-{name}"), _command(name)
    subcommands = _subcommands(command)
    assert f".Nm rdpeer-{name}\n" in page
    assert _listed_options(page) == _options(*_all_below(command))
    assert set(re.findall(r"^\.It Cm (\w+)", page, re.MULTILINE)) == set(subcommands)


def test_overview_lists_the_common_options_and_all_commands() -> None:
    page = _page("rdpeer")
    assert _listed_options(page) == _options(cli, common=True) | {"-h", "--help"}
    assert re.findall(r"^\.It Xr rdpeer-([\w-]+) 1$", page, re.MULTILINE) == COMMANDS


def test_no_page_is_left_over() -> None:
    assert {path.stem for path in PAGES} == {"rdpeer"} | {f"rdpeer-{name}" for name in COMMANDS}


def test_exit_codes_are_those_of_the_program() -> None:
    documented = re.findall(r"^    ([0-9, ]+?)  +(.+)$", exits.__doc__ or "", re.MULTILINE)
    section = _page("rdpeer").partition(".Sh EXIT STATUS\n")[2].partition("\n.Sh ")[0]
    assert re.findall(r"^\.It ([0-9, ]+)\n(.+)$", section, re.MULTILINE) == documented
    readme = (ROOT / "README.md").read_text()
    assert re.findall(r"^\| ([0-9, ]+) \| (.+) \|$", readme, re.MULTILINE) == documented
    assert set(exits.CODES.values()) <= {int(code) for codes, _ in documented for code in codes.split(", ")}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_mandoc_has_nothing_to_say(page: Path) -> None:
    mandoc = shutil.which("mandoc") or pytest.skip("mandoc is not installed")
    lint = subprocess.run(
        [mandoc, "-T", "lint", "-W", "warning", page], capture_output=True, text=True, check=False
    )
    assert (lint.stdout, lint.returncode) == ("", 0)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_references_lead_somewhere(page: Path) -> None:
    referred = re.findall(r"^\.(?:It )?Xr (rdpeer[\w-]*) 1\b", page.read_text(), re.MULTILINE)
    assert {f"{name}.1" for name in referred} <= {path.name for path in PAGES}


def test_each_limit_of_the_server_is_listed_with_its_default() -> None:
    listed = re.findall(r"^\.It Li ([a-z-]+) Ta (\d+) Ta ", _page("rdpeer-server"), re.MULTILINE)
    defaults = [
        (field.name.replace("_", "-"), f"{field.default:.0f}") for field in dataclasses.fields(Limits)
    ]
    assert listed == defaults


def test_each_fixed_bound_of_the_server_is_told() -> None:
    section = _page("rdpeer-server").partition(".Sh LIMITS\n")[2].partition("\n.Sh ")[0]
    bounds = re.findall(r"^\.It (\d+) ([a-z ]+) Ta ", section, re.MULTILINE)
    assert [(int(number), unit) for number, unit in bounds] == [
        (limits.MAX_DATAGRAM, "bytes"),
        (limits.MAX_FRAME, "bytes"),
        (limits.MAX_FORWARD, "bytes"),
        (limits.OFFLINE_AFTER, "seconds"),
        (forwards.UNPROVEN_PER_SECOND, "a second"),
        (strangers.ANSWERS_PER_SECOND, "a second"),
        (frequency.FROM_ONE_SOURCE, "in a row"),
        (frequency.OF_ONE_ID, "in a row"),
        (frequency.NEW_IDS_A_DAY, "a day"),
    ]
