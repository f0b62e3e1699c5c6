"""The database of hbbs 1.1.17, as it leaves it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from rdpeer.server.hbbs import FILE_NAME

SCHEMA = """create table peer (
    guid blob primary key not null,
    id varchar(100) not null,
    uuid blob not null,
    pk blob not null,
    created_at datetime not null default(current_timestamp),
    user blob,
    status tinyint,
    note varchar(300),
    info text not null
) without rowid"""


@contextmanager
def hbbs(folder: Path, *rows: tuple[object, object, object, object]) -> Iterator[None]:
    """A database as hbbs keeps it open: the last commits are in the -wal file alone."""
    with closing(sqlite3.connect(folder / FILE_NAME, isolation_level=None)) as database:
        database.execute("pragma journal_mode = wal")
        database.execute(SCHEMA)
        for number, (peer_id, uuid, pk, info) in enumerate(rows):
            database.execute(
                "insert into peer (guid, id, uuid, pk, info) values (?, ?, ?, ?, ?)",
                (number.to_bytes(16, "big"), peer_id, uuid, pk, info),
            )
        yield


def killed(folder: Path, copy: Path, *rows: tuple[object, object, object, object]) -> Path:
    """What a hbbs that was killed leaves behind."""
    with hbbs(folder, *rows):
        shutil.copytree(folder, copy)
    return copy
