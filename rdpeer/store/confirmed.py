"""Registrations that a server has confirmed: it has our key, so a new process need not send it again.

A line has a hash of the server's key, the ID and our public key. The hash is
there because a server's key may be any text, and then works as a password.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from rdpeer.store.files import read_text, write_whole
from rdpeer.store.lock import locked
from rdpeer.values import PeerId, PublicKey

_MOST_LINES = 256
"""One line for each server and identity; the oldest go."""


class Confirmed:
    """The confirmed registrations in one file. ``server_key`` is the configured text, empty where there is
    none. A line too many costs one datagram, a missing one a rate-limited answer; neither is an error."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def holds(self, server_key: str, peer: PeerId, key: PublicKey) -> bool:
        """Whether the server with this key has confirmed ``key`` as that of ``peer``."""
        return _line(server_key, peer, key) in self._lines()

    def add(self, server_key: str, peer: PeerId, key: PublicKey) -> None:
        self._change(_line(server_key, peer, key), keep=True)

    def discard(self, server_key: str, peer: PeerId, key: PublicKey) -> None:
        """The server has asked for the key again, or has refused it."""
        self._change(_line(server_key, peer, key), keep=False)

    def _change(self, line: str, *, keep: bool) -> None:
        if (line in self._lines()) == keep:
            return
        with locked(self._path.with_name(".confirmed.lock")):
            lines = [other for other in self._lines() if other != line] + [line] * keep
            write_whole(self._path, "".join(f"{line}\n" for line in lines[-_MOST_LINES:]))

    def _lines(self) -> list[str]:
        return (read_text(self._path) or "").splitlines()


def _line(server_key: str, peer: PeerId, key: PublicKey) -> str:
    return f"{hashlib.sha256(server_key.encode()).hexdigest()} {peer} {key}"
