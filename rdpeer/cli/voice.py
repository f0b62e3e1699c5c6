"""What rdpeer says: answers on stdout, everything else on stderr, each in one line.

Text that came from the network goes through ``rdpeer.values.printable`` before it
gets here.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence

import click

from rdpeer.errors import RdpeerError


def answer(text: str) -> None:
    """One line of what was asked for. RdpeerError where it cannot be written; BrokenPipeError as it is."""
    _written(text + "\n")


def answer_json(value: object) -> None:
    """One object, one line."""
    import json

    answer(json.dumps(value, ensure_ascii=False))


def answer_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """One line a row: in columns under ``header`` on a terminal, else its cells with tabs between."""
    if not sys.stdout.isatty():
        for row in rows:
            answer("\t".join(row))
        return
    widths = [max(map(_width, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        padded = (cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True))
        answer("  ".join(padded).rstrip())


def note(text: str) -> None:
    """``rdpeer: TEXT``: news that a person wants without having asked."""
    _tell(text)


def paste(text: str) -> None:
    """A line for people to copy whole, so it is bare: nothing before it."""
    _tell_bare(text)


def hint(text: str) -> None:
    """``rdpeer: hint: TEXT``: what to do about an error."""
    _tell("hint: " + text)


def error(text: str) -> None:
    """``rdpeer: error: TEXT``."""
    _tell("error: " + text)


def settle() -> None:
    """Writes out what stdout still holds. Raises as :func:`answer` does.

    After a failure stdout leads to /dev/null: Python tries again at its end, and
    would complain on its own.
    """
    _written("")


def _width(text: str) -> int:
    """Columns on a terminal."""
    import unicodedata

    return sum(2 if unicodedata.east_asian_width(c) in "FW" else not unicodedata.combining(c) for c in text)


def _written(text: str) -> None:
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as problem:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
        if isinstance(problem, BrokenPipeError):
            raise
        raise RdpeerError(f"cannot write to standard output: {problem.strerror}") from problem


def _tell(text: str) -> None:
    _tell_bare(f"rdpeer: {' '.join(text.split())}")


def _tell_bare(line: str) -> None:
    with contextlib.suppress(OSError):  # where stderr has no reader, there is nobody to tell
        click.echo(line, err=True)
