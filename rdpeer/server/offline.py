"""What can be done with a server's data folder while no server runs on it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from rdpeer.errors import UsageError
from rdpeer.server import keypair, operator
from rdpeer.server.database import Database
from rdpeer.values import PublicKey


def back_up(data_dir: Path, folder: Path) -> None:
    """As ``Operator.backup``."""
    with closing(_database(data_dir)) as database:
        operator.back_up(database, data_dir, folder)


def rotate(data_dir: Path, days: float) -> PublicKey:
    """As ``Operator.rotate``; the new key."""
    with closing(_database(data_dir)):  # held while the files change
        keys = keypair.load_or_create(data_dir)
        keypair.rotate(data_dir, keys, days)
    return keys.public


def _database(data_dir: Path) -> Database:
    if not data_dir.is_dir():
        raise UsageError(f"there is no server's data in {data_dir}")
    return Database(data_dir)
