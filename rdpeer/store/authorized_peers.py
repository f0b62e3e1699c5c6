"""Who may connect: a public key and a comment on each line, as ``rdpeer id --authorized`` prints it.

    # base64 of the key                            comment
    Zm9vYmFyYmF6Zm9vYmFyYmF6Zm9vYmFyYmF6Zm9vMTI= laptop

Lines that begin with ``#`` and empty ones do not count. Whoever can write the
file can let himself in, so a file or folder that others may write is refused.
"""

from __future__ import annotations

from pathlib import Path

from rdpeer.errors import UsageError
from rdpeer.store.files import read_text, refuse_writable
from rdpeer.values import PublicKey


def read(path: Path) -> dict[PublicKey, str]:
    """The keys that are let in, each with its comment; none where there is no file.

    Read again for each connection, so that a line removed counts at once.
    UsageError where others may write it, or where a line, which it names, is no key.
    """
    refuse_writable(path)
    keys: dict[PublicKey, str] = {}
    for number, line in enumerate((read_text(path) or "").split("\n"), start=1):
        key, _, comment = line.strip().partition(" ")
        if not key or key.startswith("#"):
            continue
        try:
            keys.setdefault(PublicKey.parse(key), comment.strip())
        except ValueError as error:
            raise UsageError(
                f"cannot read {path} line {number}: {error}", hint="a line has: key, space, comment"
            ) from error
    return keys
