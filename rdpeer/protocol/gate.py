"""Who may pass: what a listener lets in, and what an initiator chooses of it (docs/CHANNEL.md 3).

A secret that people can type can be guessed, so the gate's work is to make
guessing slow without making it a way to lock others out. A guess is counted
when a wrong confirmation arrives, before it is answered; once the bucket is
empty, confirmations are answered without being looked at. A code does not end
the listener when it was guessed wrong (that would be a remote off switch); it
ends with its first success, before the responder confirms, so that two who
know it cannot both pass.

All sessions of a listener share one gate. ``now`` is monotonic, in seconds.
"""

from __future__ import annotations

import hmac
import secrets
import unicodedata
from collections.abc import Callable
from enum import IntEnum
from typing import Generic, TypeVar

from rdpeer.crypto.keys import Random
from rdpeer.protocol.bucket import Bucket
from rdpeer.values import PublicKey

CODE_LIFE = 3600.0
"""Seconds that a one-time code is good for."""

MAX_WAITING = 32
"""Sessions before authentication, at most, at one listener."""

_CODE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_CODE_BYTES = 5
_CODE_LENGTH = 8
_LOOKALIKES = str.maketrans("ILO", "110")
_SEPARATORS = str.maketrans("", "", " -_.\t\r\n")

S = TypeVar("S")


class Method(IntEnum):
    """How an initiator passes; the numbers are the wire's."""

    KEY = 1
    """Its key is authorized."""
    CODE = 2
    """It knows the one-time code."""
    PASSWORD = 3
    """It knows the password."""
    OPEN = 4
    """Anybody passes."""

    @property
    def needs_secret(self) -> bool:
        return self in (Method.CODE, Method.PASSWORD)


class Gate:
    """What lets an initiator in: any of an authorized key, a one-time code, a password, or nothing at all.

    ``is_authorized`` is asked anew for each session. ``password`` is as
    :func:`normalize_password` made it.
    """

    def __init__(
        self,
        *,
        is_authorized: Callable[[PublicKey], bool] | None = None,
        password: bytes | None = None,
        open_to_all: bool = False,
    ) -> None:
        self._is_authorized = is_authorized
        self._password = password
        self._open_to_all = open_to_all
        self._code: bytes | None = None
        self._code_expires = 0.0
        self._guesses = {
            Method.CODE: Bucket(capacity=5, per_second=1.0),
            Method.PASSWORD: Bucket(capacity=10, per_second=10 / 60),
        }

    def offer_code(self, code: bytes, now: float) -> float:
        """Lets ``code`` (see :func:`normalize_code`) pass once, and no older one. Returns when it expires."""
        self._code = code
        self._code_expires = now + CODE_LIFE
        return self._code_expires

    def methods(self, now: float) -> tuple[Method, ...]:
        """What is offered at present, in the order of their numbers."""
        offered = {
            Method.KEY: self._is_authorized is not None,
            Method.CODE: self.secret(Method.CODE, now) is not None,
            Method.PASSWORD: self._password is not None,
            Method.OPEN: self._open_to_all,
        }
        return tuple(method for method in Method if offered[method])

    def is_authorized(self, key: PublicKey) -> bool:
        return self._is_authorized is not None and self._is_authorized(key)

    def secret(self, method: Method, now: float) -> bytes | None:
        """The secret of CODE or PASSWORD; None where there is none, or none any more."""
        if method is Method.CODE:
            return self._code if now < self._code_expires else None
        return self._password if method is Method.PASSWORD else None

    def may_guess(self, method: Method, now: float) -> bool:
        """Whether a confirmation may be looked at now."""
        return self._guesses[method].holds_one(now)

    def wrong_guess(self, method: Method, now: float) -> None:
        """Counts one."""
        self._guesses[method].take(now)

    def consume(self, code: bytes, now: float) -> bool:
        """Uses the code up; False if ``code`` is not the one that is good now: used, expired, replaced."""
        current = self.secret(Method.CODE, now)
        if current is None or not hmac.compare_digest(current, code):
            return False
        self._code = None
        return True


class Admission(Generic[S]):
    """The sessions that have not authenticated yet, at most ``limit``: random early drop beyond.

    Refusing the newest would let whoever holds all places keep everybody out;
    dropping the oldest would let a flood push out those who are about to pass.
    A random one, the newest included, gives an honest session its chance.
    """

    def __init__(self, limit: int = MAX_WAITING, choose: Callable[[int], int] = secrets.randbelow) -> None:
        self._limit = limit
        self._choose = choose
        self._waiting: list[S] = []

    def enter(self, session: S) -> S | None:
        """Takes ``session`` in; returns the one to drop for it, perhaps itself, or None if there is room."""
        self._waiting.append(session)
        if len(self._waiting) <= self._limit:
            return None
        return self._waiting.pop(self._choose(len(self._waiting)))

    def leave(self, session: S) -> None:
        """It has authenticated, or ended; one that was dropped may leave, too."""
        if session in self._waiting:
            self._waiting.remove(session)

    def __len__(self) -> int:
        return len(self._waiting)


def make_code(random: Random = secrets.token_bytes) -> str:
    """A fresh one-time code for people: 40 bits of Crockford's base32 in two groups, ``7K4M-2XQP``."""
    number = int.from_bytes(random(_CODE_BYTES), "big")
    symbols = "".join(_CODE_ALPHABET[number >> shift & 31] for shift in range(35, -1, -5))
    return f"{symbols[:4]}-{symbols[4:]}"


def normalize_code(typed: str) -> bytes:
    """The secret in a code as typed: case and separators do not matter, I and L are 1, O is 0.

    ValueError for what cannot be a code, so that a slip costs no guess.
    """
    symbols = typed.translate(_SEPARATORS).upper().translate(_LOOKALIKES)
    if len(symbols) != _CODE_LENGTH or any(symbol not in _CODE_ALPHABET for symbol in symbols):
        raise ValueError("a code is eight letters and digits, as in 7K4M-2XQP")
    return symbols.encode()


def normalize_password(typed: str) -> bytes:
    """The secret in a password as typed or read: NFC, UTF-8, without one trailing newline.

    ValueError where nothing is left, or where it is not text.
    """
    newline = "\r\n" if typed.endswith("\r\n") else "\n"
    password = unicodedata.normalize("NFC", typed.removesuffix(newline))
    if not password:
        raise ValueError("the password is empty")
    try:
        return password.encode()
    except UnicodeEncodeError:
        raise ValueError("the password is not valid text") from None
