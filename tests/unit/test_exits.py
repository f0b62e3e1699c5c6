"""rdpeer.cli.exits: every error has its code, and one line."""

from __future__ import annotations

import re

import click
import pytest

from rdpeer import errors
from rdpeer.cli import exits
from rdpeer.cli.exits import exit_code, report

OWN_CODES = {
    errors.RdpeerError: 1,
    errors.UsageError: 2,
    errors.ServerError: 3,
    errors.ServerUnreachable: 3,
    errors.ServerRefused: 3,
    errors.PeerUnavailable: 4,
    errors.PeerUnknown: 4,
    errors.PeerOffline: 4,
    errors.PeerSilent: 4,
    errors.NoPath: 5,
    errors.AuthenticationFailed: 6,
    errors.IdentityMismatch: 7,
    errors.DeadlineExceeded: 8,
    errors.ConnectionLost: 9,
    errors.LocalProtocolError: 1,
    errors.RemoteProtocolError: 10,
    errors.PeerRefused: 11,
}


def _classes(base: type[errors.RdpeerError] = errors.RdpeerError) -> set[type[errors.RdpeerError]]:
    return {base}.union(*(_classes(kind) for kind in base.__subclasses__()))


def test_each_class_of_errors_is_here() -> None:
    tree = {kind for kind in _classes() if kind.__module__ == errors.__name__}
    assert tree - {errors.ProtocolError} == set(OWN_CODES)


@pytest.mark.parametrize(("kind", "code"), OWN_CODES.items())
def test_own_errors(kind: type[errors.RdpeerError], code: int) -> None:
    assert exit_code(kind("text")) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (click.UsageError("text"), 2),
        (click.BadParameter("text"), 2),
        (click.FileError("name"), 2),
        (click.Abort(), 130),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(32, "Broken pipe"), 141),
        (OSError(28, "No space left on device"), 1),
        (ValueError("text"), 1),
    ],
)
def test_other_errors(error: BaseException, code: int) -> None:
    assert exit_code(error) == code


def test_the_docstring_has_the_codes() -> None:
    told = set(map(int, re.findall(r"\b\d+\b", exits.__doc__ or "")))
    assert set(exits.CODES.values()) <= told
    assert {exits.SIGNALLED + signum for signum in (1, 2, 15)} <= told


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (errors.NoPath("no path"), "rdpeer: error: no path\n"),
        (errors.UsageError("bad", hint="do good"), "rdpeer: error: bad\nrdpeer: hint: do good\n"),
        (errors.UsageError("two\nlines"), "rdpeer: error: two lines\n"),
        (click.UsageError("No such thing."), "rdpeer: error: no such thing\n"),
        (FileNotFoundError(2, "No such file", "name"), "rdpeer: error: name: No such file\n"),
        (ExceptionGroup("", [errors.NoPath("no path")]), "rdpeer: error: no path\n"),
        (KeyboardInterrupt(), ""),
        (BrokenPipeError(32, "Broken pipe"), ""),
    ],
)
def test_what_is_told(error: BaseException, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    report(error)
    assert capsys.readouterr() == ("", told)


@pytest.mark.parametrize("error", [ValueError("odd"), errors.LocalProtocolError("odd")])
def test_a_bug_is_one_line_and_its_traceback_is_for_those_who_ask(
    error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    line = f"rdpeer: error: internal error: {type(error).__name__}: odd\n"
    assert report(error) == 1
    assert capsys.readouterr().err == line + "rdpeer: hint: the same with -v shows where\n"
    assert report(error, verbose=True) == 1
    told = capsys.readouterr().err
    assert told.startswith(line)
    assert "Error: odd" in told.removeprefix(line)
