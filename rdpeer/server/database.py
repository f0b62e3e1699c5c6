"""Registered peers on the disk: SQLite, in WAL mode, synchronous.

A registration gets its OK only after ``save`` has returned: the commit was
flushed, so it survives the death of the process and of the machine. A commit
costs the same for one registration as for a thousand, and waits for the disk;
the driver collects what comes in meanwhile and saves it as one.

The file belongs to one server at a time, which holds it locked: two servers
would not hear of each other's registrations.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from rdpeer.errors import UsageError
from rdpeer.server.registry import Registration

FILE_NAME = "peers.sqlite3"

_APPLICATION_ID = 0x72647031  # "rdp1": tells our file from any other database
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE peer (
    id TEXT PRIMARY KEY,
    uuid BLOB NOT NULL,
    pk BLOB NOT NULL,
    ip TEXT NOT NULL  -- that it registered from
) WITHOUT ROWID, STRICT
"""


class Database:
    """Open until ``close``. One thread uses it at a time, any thread."""

    def __init__(self, folder: Path) -> None:
        """Opens or creates the file in ``folder``; UsageError if it cannot be used."""
        path = folder / FILE_NAME
        try:
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise UsageError(f"cannot use {path}: {error}") from None
        try:
            self._prepare(path)
        except sqlite3.Error as error:
            self._connection.close()
            raise _unusable(path, error) from None
        except UsageError:
            self._connection.close()
            raise

    def load(self) -> list[Registration]:
        """All registered peers."""
        return [Registration(*row) for row in self._connection.execute("SELECT id, uuid, pk, ip FROM peer")]

    def save(self, registrations: Iterable[Registration]) -> None:
        """All of them, or none: then sqlite3.Error is raised. Waits for the disk."""
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            self._connection.executemany("REPLACE INTO peer VALUES (?, ?, ?, ?)", registrations)
            execute("COMMIT")
        except sqlite3.Error:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise

    def close(self) -> None:
        self._connection.close()

    def _prepare(self, path: Path) -> None:
        execute = self._connection.execute
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute("BEGIN EXCLUSIVE")
        version = execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            execute(_SCHEMA)
            execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        elif execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
            raise UsageError(f"{path} is another program's database")
        elif version != _SCHEMA_VERSION:
            raise UsageError(f"{path} was written by another version of rdpeer (schema {version})")
        execute("COMMIT")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")


def _unusable(path: Path, error: sqlite3.Error) -> UsageError:
    if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
        return UsageError(f"{path} is in use by another server")
    return UsageError(
        f"cannot use {path}: {error}", hint="it was not changed; restore it from a backup, or move it away"
    )
