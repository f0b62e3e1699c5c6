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
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rdpeer.errors import UsageError
from rdpeer.server import hbbs, keypair
from rdpeer.server.registry import Registration

FILE_NAME = "peers.sqlite3"

_APPLICATION_ID = 0x72647031  # "rdp1": tells our file from any other database
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE)
"""The second one when there is no room to read: that takes an index in a file."""

_STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE peer (
            id TEXT PRIMARY KEY,
            uuid BLOB NOT NULL,
            pk BLOB NOT NULL,
            ip TEXT NOT NULL  -- that it registered from
        ) WITHOUT ROWID, STRICT""",
    ),
    (
        "CREATE TABLE block (entry TEXT PRIMARY KEY) WITHOUT ROWID, STRICT",
        "CREATE TABLE imported (source TEXT PRIMARY KEY) WITHOUT ROWID, STRICT",
    ),
    ("ALTER TABLE peer ADD COLUMN proven INTEGER NOT NULL DEFAULT 0",),
)
"""What each version of the schema adds to the one before; user_version counts the steps taken."""


class Database:
    """Open until ``close``. One thread uses it at a time, any thread."""

    def __init__(self, folder: Path) -> None:
        """Opens or creates the file in ``folder``; UsageError if it cannot be used."""
        path = folder / FILE_NAME
        try:
            _examine(path)
            path.touch(mode=0o600)
            self._connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(path)
            except BaseException:
                self._connection.close()
                raise
        except OSError as error:
            raise UsageError(f"cannot use {path}: {error}") from None
        except sqlite3.Error as error:
            raise _unusable(path, error) from None

    def load(self) -> list[Registration]:
        """All registered peers."""
        rows = self._connection.execute("SELECT id, uuid, pk, ip, proven FROM peer")
        return [Registration(name, uuid, pk, ip, bool(proven)) for name, uuid, pk, ip, proven in rows]

    def save(self, registrations: Iterable[Registration]) -> None:
        """All of them, or none: then sqlite3.Error is raised. Waits for the disk."""
        with self._transaction():
            self._connection.executemany("REPLACE INTO peer VALUES (?, ?, ?, ?, ?)", registrations)

    def blocks(self) -> list[str]:
        """What the operator has blocked."""
        return [entry for (entry,) in self._connection.execute("SELECT entry FROM block")]

    def block(self, entry: str) -> None:
        """Durable when it returns, as ``unblock`` is."""
        self._connection.execute("REPLACE INTO block VALUES (?)", (entry,))

    def unblock(self, entry: str) -> None:
        self._connection.execute("DELETE FROM block WHERE entry = ?", (entry,))

    def remove(self, peer_id: str) -> None:
        """Forgets a peer."""
        self._connection.execute("DELETE FROM peer WHERE id = ?", (peer_id,))

    def has_imported(self, source: str) -> bool:
        found = self._connection.execute("SELECT 1 FROM imported WHERE source = ?", (source,)).fetchone()
        return found is not None

    def import_peers(self, source: str, registrations: Iterable[Registration]) -> int:
        """Adds those whose ID is not known, and remembers that ``source`` was read, in one go; how many."""
        with self._transaction() as execute:
            before = self._connection.total_changes
            self._connection.executemany("INSERT OR IGNORE INTO peer VALUES (?, ?, ?, ?, ?)", registrations)
            added = self._connection.total_changes - before
            execute("INSERT INTO imported VALUES (?)", (source,))
        return added

    def backup(self, path: Path) -> None:
        """Writes all of it, as it is now, to the new file ``path``; sqlite3.Error or OSError if it cannot."""
        path.touch(mode=0o600, exist_ok=False)
        with closing(sqlite3.connect(path)) as copy:
            self._connection.backup(copy)

    def close(self) -> None:
        self._connection.close()

    def _prepare(self, path: Path) -> None:
        execute = self._connection.execute
        execute("PRAGMA locking_mode = EXCLUSIVE")
        execute("BEGIN EXCLUSIVE")
        version = _check(execute, path)  # again, now that nobody else can change it
        if version == 0:
            execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        for step in _STEPS[version:]:
            for statement in step:
                execute(statement)
        execute(f"PRAGMA user_version = {len(_STEPS)}")
        execute("COMMIT")
        execute("PRAGMA journal_mode = WAL")
        execute("PRAGMA synchronous = FULL")

    @contextmanager
    def _transaction(self) -> Iterator[Callable[..., sqlite3.Cursor]]:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            yield execute
            execute("COMMIT")
        except sqlite3.Error:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise


def _examine(path: Path) -> None:
    """Raises UsageError or sqlite3.Error for a file that is not ours or not whole, and has changed nothing.

    Whoever opens it for writing has changed it when he closes it: SQLite then takes over what stands in the
    -wal of a server that was killed, into a damaged file too. Beside an empty one it just deletes the -wal.
    """
    wal = _wal(path)
    if not _size(path):
        if _size(wal):
            raise sqlite3.DatabaseError(f"it is empty or not there, but {wal.name} is")
        if path.exists() and not _may_be_new(path.parent):
            raise sqlite3.DatabaseError("it is empty, though this server has been there before")
        return
    index = path.with_name(path.name + "-shm")
    had_index = index.exists()
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", timeout=0, uri=True)) as reader:
            _check(reader.execute, path)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_READONLY_ROLLBACK:  # the first start was cut short
            raise
    finally:
        if not had_index:  # reading makes it, a server never does
            index.unlink(missing_ok=True)


def _may_be_new(folder: Path) -> bool:
    """Whether a server's first start, which was cut short, may have left an empty file in ``folder``: before
    it made a key, or in the place of hbbs."""
    return not (folder / keypair.SECRET_FILE).exists() or (folder / hbbs.FILE_NAME).exists()


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check(execute: Callable[[str], sqlite3.Cursor], path: Path) -> int:
    """Its schema's version, 0 for an empty one; UsageError or sqlite3.Error where it is not to be used."""
    version: int = execute("PRAGMA user_version").fetchone()[0]
    if version == 0 and not execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        return 0
    if execute("PRAGMA application_id").fetchone()[0] != _APPLICATION_ID:
        raise UsageError(f"{path} is another program's database")
    if version > len(_STEPS):
        raise UsageError(f"{path} was written by a newer version of rdpeer (schema {version})")
    if (damage := execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise sqlite3.DatabaseError(damage)
    return version


def _unusable(path: Path, error: sqlite3.Error) -> UsageError:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_BUSY:
        return UsageError(f"{path} is in use by another server")
    if code in _FULL:
        return UsageError(f"cannot use {path}: its disk is full", hint="nothing is lost; make room there")
    hint = "it was not changed; restore it from a backup, or move it away"
    if _size(_wal(path)):  # it would be taken over into the backup
        hint += f", and {_wal(path).name} away in either case"
    return UsageError(f"cannot use {path}: {error}", hint=hint)
