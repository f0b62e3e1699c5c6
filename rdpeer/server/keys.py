"""The keys that count: the one that we sign with, and, for a while after a rotation, the one before.

Peers have the key in their settings, and they do not all change at one moment.
So during the overlap both are taken, and whoever names the old one gets peers'
keys signed by the old one, the only one that he can check.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from rdpeer.crypto.keys import IdentityKey
from rdpeer.values import PublicKey


@dataclass(frozen=True, slots=True)
class Previous:
    """The key before, and until when (seconds since 1970) it counts."""

    key: IdentityKey
    until: float


class Keys:
    """A server's own pair; ``previous`` only while it counts."""

    def __init__(self, current: IdentityKey, previous: Previous | None = None) -> None:
        self.current = current
        self.previous = previous

    @property
    def public(self) -> PublicKey:
        """The one for new peers."""
        return self.current.public

    def named(self, text: str) -> IdentityKey | None:
        """The key that ``text``, from the network, names; None if it does not count."""
        return next((key for key in self.counting if names(text, key.public)), None)

    @property
    def counting(self) -> list[IdentityKey]:
        """Those that peers may know us by now."""
        return [self.current, *([self.previous.key] if self.previous else [])]

    def expire(self, wall: float) -> None:
        """Drops the previous key when its time is over; ``wall`` is the date."""
        if self.previous is not None and self.previous.until <= wall:
            self.previous = None


def names(text: str, key: PublicKey) -> bool:
    """Whether ``text``, from the network, is ``key``."""
    return hmac.compare_digest(text.encode(), key.text.encode())
