"""Pairing tokens: by which a relay knows that two connections belong together (wire: uuid).

Whoever knows a token can take the place of one end, so each is fresh, and
neither end joins one twice: a repeated notification must not make a second leg
that a relay would pair with the first (docs/CHANNEL.md 6).
"""

from __future__ import annotations

import re
import uuid

REMEMBERED = 60.0
"""Seconds; a relay keeps a leg that waits for its other half no longer than 30."""

_TOKEN = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MOST = 4096


def fresh_token() -> str:
    """A random one (UUID version 4, as text)."""
    return str(uuid.uuid4())


def is_token(text: str) -> bool:
    """True for UUID text, and for none: RustDeskServerDemo pairs without (docs/PROTOCOL.md 12)."""
    return not text or _TOKEN.fullmatch(text) is not None


class UsedTokens:
    """The tokens of the last minute, one memory for all answers of a listener."""

    def __init__(self) -> None:
        self._used: dict[str, float] = {}

    def use(self, token: str, now: float) -> bool:
        """True the first time; False within the next minute, or when too many are remembered.

        No token is never a used one.
        """
        if not token:
            return True
        self._used = {t: at for t, at in self._used.items() if now - at < REMEMBERED}
        if token.lower() in self._used or len(self._used) >= _MOST:
            return False
        self._used[token.lower()] = now
        return True
