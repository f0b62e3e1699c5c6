"""The keys that count: the one that we sign with, and, for a while after a rotation, the one before.

Peers have the key in their settings, and they do not all change at one moment.
So during the overlap both are taken, and whoever names the old one gets peers'
keys signed by the old one, the only one that he can check.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass

from rdpeer.crypto.keys import IdentityKey
from rdpeer.net.clock import wall
from rdpeer.values import PublicKey


@dataclass(frozen=True, slots=True)
class Previous:
    """The key before, and until when (seconds since 1970) it counts."""

    key: IdentityKey
    until: float


class Keys:
    """A server's own pair, and the one before. ``date`` tells the seconds since 1970."""

    def __init__(
        self, current: IdentityKey, previous: Previous | None = None, date: Callable[[], float] = wall
    ) -> None:
        self.current = current
        self.date = date
        self._previous = previous

    def change(self, current: IdentityKey, previous: Previous | None) -> None:
        """From now on."""
        self.current, self._previous = current, previous

    @property
    def previous(self) -> Previous | None:
        """The key before, while it counts. The date is asked each time: a clock that was ahead for a moment
        ends no overlap."""
        return self._previous if self._previous and self.date() < self._previous.until else None

    @property
    def public(self) -> PublicKey:
        """The one for new peers."""
        return self.current.public

    def named(self, text: str) -> IdentityKey | None:
        """The key that ``text``, from the network, names; None if it does not count."""
        return next((key for key in self.counting if names(text, key.public)), None)

    def accepts(self, text: str) -> bool:
        """Whether ``text``, from the network, names a key that counts."""
        return self.named(text) is not None

    @property
    def counting(self) -> list[IdentityKey]:
        """Those that peers may know us by now."""
        previous = self.previous
        return [self.current, *([previous.key] if previous else [])]


class NamedKeys:
    """What a relay without a pair of its own demands: one of its rendezvous server's ``keys``, of which there
    is at least one, and the one for new peers comes first."""

    def __init__(self, keys: tuple[PublicKey, ...]) -> None:
        self.keys = keys

    @property
    def public(self) -> PublicKey:
        """The one for new peers."""
        return self.keys[0]

    def accepts(self, text: str) -> bool:
        """Whether ``text``, from the network, is one of them."""
        return any(names(text, key) for key in self.keys)


def names(text: str, key: PublicKey) -> bool:
    """Whether ``text``, from the network, is ``key``."""
    return hmac.compare_digest(text.encode(), key.text.encode())
