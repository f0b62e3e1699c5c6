"""What a target is, and what all of them share: how bytes become a course of events, and what a refusal is.

A machine is not fed once: it hears this, then that, and time goes by. So its input is a script, a row of
pieces, each behind its length; any bytes are one. What the first byte of a piece means is the target's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_LONG = 255


@dataclass(frozen=True, slots=True)
class Target:
    """``feed`` takes any bytes. It returns where they were accepted, or refused as the documentation of what
    is tried says; it raises anything else, AssertionError where what must hold does not.

    ``seeds``: inputs that come far, to begin with; ``longest``: bytes of the longest input tried.
    """

    feed: Callable[[bytes], object]
    seeds: list[bytes] = field(default_factory=list)
    longest: int = 1024


def pieces(data: bytes) -> Iterator[bytes]:
    """The pieces of a script: a length of one byte, or 255 and two bytes; then so many bytes, or all that
    there are."""
    at = 0
    while at < len(data):
        size, at = data[at], at + 1
        if size == _LONG:
            size, at = int.from_bytes(data[at : at + 2], "big"), at + 2
        yield data[at : at + size]
        at += size


def script(*parts: bytes) -> bytes:
    """The script of these pieces."""
    return b"".join(_length(len(part)) + part for part in parts)


def _length(size: int) -> bytes:
    return bytes((size,)) if size < _LONG else bytes((_LONG,)) + size.to_bytes(2, "big")


@contextmanager
def refusing(*kinds: type[Exception]) -> Iterator[None]:
    """What is inside may raise one of ``kinds``, for people in one line; what Python says of a text that it
    cannot encode is none."""
    try:
        yield
    except kinds as error:
        if isinstance(error, UnicodeError) or not str(error).isprintable():
            raise AssertionError(f"refused, but not for people: {error!r}") from error
