"""rdpeer.cli.common: options on both sides of the command, variables, and the end of a run."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import click
import pytest

from rdpeer.cli.common import Command, Group, Invocation, run
from rdpeer.cli.exits import SIGNALLED


@click.group(cls=Group, json=True, envvars=True)
def outer() -> None: ...


@outer.command(cls=Command, json=True)
@click.option("--relay", is_flag=True)
@click.pass_obj
def inner(invocation: Invocation, relay: bool) -> tuple[Invocation, bool]:
    return invocation, relay


@outer.command(cls=Command, context_settings={"auto_envvar_prefix": "RDPEER_SERVE"})
@click.option("--bind")
def served(bind: str | None) -> str | None:
    return bind


def _invoke(line: str) -> Any:
    with outer.make_context("outer", line.split(), obj=Invocation()) as context:
        return outer.invoke(context)


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("RDPEER_")]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    "line",
    [
        "--server a --json -v -v inner",
        "inner --server a --json -vv",
        "--server b -v inner --server a -v --json",
    ],
)
def test_options_stand_before_or_after_the_command(line: str) -> None:
    invocation, _ = _invoke(line)
    assert invocation.flags == {"server": "a"}
    assert invocation.verbosity == 2
    assert invocation.json


def test_what_is_not_given_is_not_there() -> None:
    invocation, _ = _invoke("inner")
    assert (invocation.flags, invocation.verbosity, invocation.json) == ({}, 0, False)


def test_common_variables_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"PROFILE": "b", "JSON": "1", "VERBOSE": "2", "RELAY_SERVER": "r"}.items():
        monkeypatch.setenv("RDPEER_" + name, value)
    invocation, _ = _invoke("--profile a inner")
    assert invocation.flags == {"profile": "a"}
    assert invocation.json
    assert invocation.verbosity == 2


@pytest.mark.parametrize("line", ["--trace inner", "inner --trace", "inner"])
def test_a_trace_may_be_asked_for_everywhere(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[bool] = []
    monkeypatch.setattr("rdpeer.cli.tracing.start", lambda: started.append(True))
    if line == "inner":
        monkeypatch.setenv("RDPEER_TRACE", "1")
    assert _invoke(line)[0].trace
    assert started == [True]


def test_a_command_has_its_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDPEER_RELAY", "1")
    monkeypatch.setenv("RDPEER_SERVE_BIND", "here")
    monkeypatch.setenv("RDPEER_BIND", "elsewhere")
    assert _invoke("inner")[1] is True
    assert _invoke("served") == "here"


def test_verbose_is_for_those_who_asked(capsys: pytest.CaptureFixture[str]) -> None:
    invocation, _ = _invoke("inner -v")
    invocation.verbose("once")
    invocation.verbose("twice", level=2)
    assert capsys.readouterr().err == "rdpeer: once\n"


@pytest.mark.skipif(os.name != "posix", reason="signals end a process on Windows")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("service", [False, True])
def test_a_signal_is_an_exit_code_and_the_orderly_end_of_a_service(signum: int, service: bool) -> None:
    async def main() -> None:
        signal.raise_signal(signum)
        await asyncio.Event().wait()

    with pytest.raises(click.exceptions.Exit) as caught:
        run(main, service=service)
    assert caught.value.exit_code == (0 if service else SIGNALLED + signum)
