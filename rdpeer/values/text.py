"""Text from the network, for people."""

from __future__ import annotations

import unicodedata


def printable(text: str, limit: int = 200) -> str:
    """``text`` from the network made fit for a terminal: control, format, private-use and
    line characters replaced by ``?``, at most ``limit`` characters with ``...`` behind what was cut."""
    clean = "".join("?" if unicodedata.category(c)[0] in "CZ" and c != " " else c for c in text[:limit])
    return clean + ("..." if len(text) > limit else "")
