"""What hbbs left in its folder: its peers, read without touching a byte.

``db_v2.sqlite3`` may have its last commits in the ``-wal`` file beside it, and
merely opening such a database changes both. So a copy is read. hbbs checks
hardly anything that it stores (docs/PROTOCOL.md 13); what our own server would
refuse at a registration is left out.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rdpeer.errors import UsageError
from rdpeer.server.registry import Registration, fault
from rdpeer.values import Endpoint, printable

FILE_NAME = "db_v2.sqlite3"

_QUERY = "SELECT id, uuid, pk, info FROM peer"


@dataclass(frozen=True, slots=True)
class HbbsPeers:
    """``peers`` that may be taken over; ``left_out``: a line for each that may not, with the reason."""

    peers: list[Registration]
    left_out: list[str]


def read_peers(folder: Path) -> HbbsPeers | None:
    """The peers of the hbbs whose data is in ``folder``; None where there is no such data.

    UsageError where the database cannot be read.
    """
    path = folder / FILE_NAME
    if not path.exists():
        return None
    found = HbbsPeers([], [])
    try:
        for row in _rows(path):
            registration = _registration(*row)
            problem = "fields of another type" if registration is None else fault(registration)
            if registration is not None and problem is None:
                found.peers.append(registration)
            else:
                found.left_out.append(f"{printable(str(row[0]), 100)}: {problem}")
    except (OSError, sqlite3.Error) as error:
        raise UsageError(
            f"cannot read {path}: {error}", hint="it was not changed; move it away to start without its peers"
        ) from None
    return found


def _rows(path: Path) -> Iterator[tuple[object, object, object, object]]:
    with tempfile.TemporaryDirectory(prefix=".hbbs-", dir=path.parent) as copies:
        for name in (FILE_NAME, FILE_NAME + "-wal"):
            if (source := path.with_name(name)).exists():
                shutil.copyfile(source, Path(copies) / name)
        with closing(sqlite3.connect(Path(copies) / FILE_NAME)) as copy:
            copy.text_factory = _text
            yield from copy.execute(_QUERY)


def _text(raw: bytes) -> str:
    """What is no UTF-8 stays recognizable as such, and makes an ID that is refused."""
    return raw.decode(errors="surrogateescape")


def _registration(peer_id: object, uuid: object, pk: object, info: object) -> Registration | None:
    if isinstance(peer_id, str) and isinstance(uuid, bytes) and isinstance(pk, bytes):
        return Registration(peer_id, uuid, pk, _ip(info))
    return None


def _ip(info: object) -> str:
    """The address that the peer registered from, empty where none can be read: then it registers anew."""
    try:
        return Endpoint.of((json.loads(str(info))["ip"], 0)).ip
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
