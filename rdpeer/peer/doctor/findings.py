"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from rdpeer.errors import RdpeerError


class Level(StrEnum):
    """How bad it is."""

    OK = "OK"
    WARN = "WARN"
    """It works, or something does without it."""
    FAIL = "FAIL"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line for people. ``remedy``: what to do about it, empty where there is nothing to do.

    A FAIL has the ``error`` that a command would end with.
    """

    check: str
    level: Level
    text: str
    remedy: str = ""
    error: RdpeerError | None = None


def ok(check: str, text: str) -> Finding:
    return Finding(check, Level.OK, text)


def warn(check: str, text: str, remedy: str) -> Finding:
    return Finding(check, Level.WARN, text, remedy)


def fail(check: str, error: RdpeerError, remedy: str = "") -> Finding:
    """``remedy`` where the error has no hint of its own."""
    return Finding(check, Level.FAIL, str(error), error.hint or remedy, error)
