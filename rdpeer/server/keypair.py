"""The server's key pair, in the two files of hbbs, so that either can take over from the other.

``id_ed25519`` holds base64 of 64 bytes, the seed and the public key;
``id_ed25519.pub`` base64 of the 32-byte public key, which is what is
configured at the peers (docs/PROTOCOL.md 9.7). A key that cannot be read is
never replaced: every peer would refuse the new one.

A rotation leaves the old secret, and until when it counts, in
``id_ed25519.previous``. It is written first, so that a crash between the files
leaves a public key that is known to be the old one's.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from pathlib import Path

from rdpeer.crypto.keys import SEED_BYTES, IdentityKey
from rdpeer.errors import UsageError
from rdpeer.net.clock import wall
from rdpeer.server.keys import Keys, Previous
from rdpeer.store.files import read_text, write_whole

SECRET_FILE = "id_ed25519"  # noqa: S105 - a file's name
PUBLIC_FILE = "id_ed25519.pub"
PREVIOUS_FILE = "id_ed25519.previous"

_DAY = 24 * 3600.0
_NEVER = 0.0
"""The date before all others."""


def load_or_create(folder: Path, date: Callable[[], float] = wall) -> Keys:
    """The keys in ``folder``, made on first use; UsageError if that cannot be done.

    Two processes that make them at the same time would overwrite each other's: the caller holds the folder's
    database, which is locked.
    """
    secret, public = folder / SECRET_FILE, folder / PUBLIC_FILE
    kept, shown = read_text(secret), read_text(public)
    previous = _load_previous(folder / PREVIOUS_FILE)
    if kept is None and shown is not None:
        raise UsageError(
            f"{public} is there without {secret}", hint="restore the secret key, or move both away"
        )
    if kept is None:
        key = IdentityKey.generate()
        write_whole(secret, _encoded(key))
    else:
        key = _decoded(secret, kept)
    rotated = previous is not None and shown is not None and shown.strip() == previous.key.public.text
    if shown is None or (rotated and shown.strip() != key.public.text):
        write_whole(public, key.public.text)
    elif shown.strip() != key.public.text:
        raise UsageError(f"{public} does not belong to {secret}")
    return Keys(key, previous, date)


def rotate(folder: Path, keys: Keys, days: float) -> None:
    """A new pair in ``folder`` and in ``keys``; the old one counts for so many days more.

    With none, it never counts again, whatever the clock says: nothing is left of it. UsageError where the
    one before it would be cut short of what was promised to its peers.
    """
    if days and keys.previous is not None:
        left = math.ceil((keys.previous.until - keys.date()) / _DAY)
        raise UsageError(
            f"the key before this one counts for {left} more days", hint="wait, or --now, if one has leaked"
        )
    until = keys.date() + days * _DAY if days else _NEVER
    previous, new = Previous(keys.current, until), IdentityKey.generate()
    write_whole(folder / PREVIOUS_FILE, f"{_encoded(previous.key)} {int(previous.until)}\n")
    write_whole(folder / SECRET_FILE, _encoded(new))
    write_whole(folder / PUBLIC_FILE, new.public.text)
    if not days:
        (folder / PREVIOUS_FILE).unlink()
    keys.change(new, previous)


def _load_previous(path: Path) -> Previous | None:
    text = read_text(path)
    if text is None:
        return None
    secret, _, until = text.strip().partition(" ")
    try:
        return Previous(_decoded(path, secret), float(until))
    except ValueError:
        raise UsageError(f"{path} does not say until when its key counts") from None


def _encoded(key: IdentityKey) -> str:
    return base64.b64encode(key.seed + key.public.raw).decode()


def _decoded(path: Path, text: str) -> IdentityKey:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
        key = IdentityKey.from_seed(raw[:SEED_BYTES])
        if raw[SEED_BYTES:] != key.public.raw:
            raise ValueError("the two halves do not belong together")
    except (binascii.Error, ValueError):
        raise UsageError(
            f"{path} is not a server's secret key", hint="it was not changed; restore it from a backup"
        ) from None
    return key
