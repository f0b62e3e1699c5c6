"""What a peer is called."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from typing import Self

_DOTTED_QUAD = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}")
_PEER_ID_MIN, _PEER_ID_MAX = 6, 100


@dataclass(frozen=True, slots=True)
class PeerId:
    """A peer's ID, exactly as registered: 6 to 100 printable characters, no space (docs/PROTOCOL.md 9.2)."""

    text: str

    def __post_init__(self) -> None:
        if not _PEER_ID_MIN <= len(self.text) <= _PEER_ID_MAX:
            raise ValueError(f"a peer ID has {_PEER_ID_MIN} to {_PEER_ID_MAX} characters")
        if any(unicodedata.category(c)[0] in "CZ" for c in self.text):
            raise ValueError("a peer ID has no spaces and no control characters")

    @classmethod
    def parse(cls, typed: str) -> Self:
        """From what a person or another program typed.

        Groups of digits may be separated by spaces (``612 345 678``). OpenSSH
        fills ``%h`` with a dotted quad where the host is a number below 2**32
        (``123456789`` becomes ``7.91.205.21``): that quad is read as the number.
        """
        typed = typed.strip()
        compact = typed.replace(" ", "")
        if compact.isascii() and compact.isdigit():
            typed = compact
        if _DOTTED_QUAD.fullmatch(typed) and all(int(part) < 256 for part in typed.split(".")):
            typed = str(int(ipaddress.IPv4Address(typed)))
        return cls(typed)

    def __str__(self) -> str:
        return self.text
