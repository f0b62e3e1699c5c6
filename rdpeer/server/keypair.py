"""The server's key pair, in the two files of hbbs, so that either can take over from the other.

``id_ed25519`` holds base64 of 64 bytes, the seed and the public key;
``id_ed25519.pub`` base64 of the 32-byte public key, which is what is
configured at the peers (docs/PROTOCOL.md 9.7). A key that cannot be read is
never replaced: every peer would refuse the new one.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

from rdpeer.crypto.keys import SEED_BYTES, IdentityKey
from rdpeer.errors import UsageError
from rdpeer.store.files import read_text, write_whole

SECRET_FILE = "id_ed25519"  # noqa: S105 - a file's name
PUBLIC_FILE = "id_ed25519.pub"


def load_or_create(folder: Path) -> IdentityKey:
    """The key in ``folder``, made on first use; UsageError if it cannot be read or written.

    Two processes that make one at the same time would overwrite each other's: the caller holds the folder's
    database, which is locked.
    """
    secret, public = folder / SECRET_FILE, folder / PUBLIC_FILE
    kept, shown = read_text(secret), read_text(public)
    if kept is None and shown is not None:
        raise UsageError(
            f"{public} is there without {secret}", hint="restore the secret key, or move both away"
        )
    if kept is None:
        key = IdentityKey.generate()
        write_whole(secret, base64.b64encode(key.seed + key.public.raw).decode())
    else:
        key = _decode(secret, kept)
    if shown is None:
        write_whole(public, key.public.text)
    elif shown.strip() != key.public.text:
        raise UsageError(f"{public} does not belong to {secret}")
    return key


def _decode(path: Path, text: str) -> IdentityKey:
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
