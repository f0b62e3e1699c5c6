"""Taking over from hbbs: its peers are read as they are, and its files stay as they were."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from hbbs_database import hbbs, killed

from rdpeer.errors import UsageError
from rdpeer.server.database import Database
from rdpeer.server.hbbs import FILE_NAME, read_peers
from rdpeer.server.registry import Registration

PK = bytes(range(32))


def test_peers_are_read_and_the_files_left_alone(tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    folder = killed(
        tmp_path / "live",
        tmp_path / "left",
        ("612345678", b"uuid", PK, '{"ip":"::ffff:10.77.0.9"}'),
        ("iMac_hac", b"uuid", PK, '{"ip":"2001:db8::9"}'),
        ("nowhere-1", b"uuid", PK, "garbage"),
    )
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    found = read_peers(folder)
    assert found is not None
    assert sorted(found.peers) == [
        Registration("612345678", b"uuid", PK, "10.77.0.9"),
        Registration("iMac_hac", b"uuid", PK, "2001:db8::9"),
        Registration("nowhere-1", b"uuid", PK, ""),
    ]
    assert found.left_out == []
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_would_be_refused_is_left_out(tmp_path: Path) -> None:
    with hbbs(
        tmp_path,
        ("short", b"uuid", PK, "{}"),
        ("with space", b"uuid", PK, "{}"),
        ("x" * 101, b"uuid", PK, "{}"),
        ("bell\a1", b"uuid", PK, "{}"),
        ("611111111", b"", PK, "{}"),
        ("622222222", b"u" * 129, PK, "{}"),
        ("633333333", b"uuid", PK[1:], "{}"),
        (b"644444444", b"uuid", PK, "{}"),
        ("655555555", "uuid", PK, "{}"),
        ("666666666", b"uuid", PK, '["ip"]'),
    ):
        found = read_peers(tmp_path)
    assert found is not None
    assert [peer.id for peer in found.peers] == ["666666666"]
    assert len(found.left_out) == 9
    assert "bell?1: a peer ID has no spaces and no control characters" in found.left_out


def test_an_id_that_is_not_utf8_is_left_out(tmp_path: Path) -> None:
    with hbbs(tmp_path, ("612345678", b"uuid", PK, "{}")):
        with closing(sqlite3.connect(tmp_path / FILE_NAME)) as other, other:
            other.execute("update peer set id = cast(x'ffffffffffff' as text)")
        found = read_peers(tmp_path)
    assert found is not None
    assert found.peers == []
    assert len(found.left_out) == 1


def test_no_database_is_none_and_a_broken_one_an_error(tmp_path: Path) -> None:
    assert read_peers(tmp_path) is None
    (tmp_path / FILE_NAME).write_bytes(b"garbage" * 1000)
    with pytest.raises(UsageError, match=r"cannot read .*db_v2\.sqlite3"):
        read_peers(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == b"garbage" * 1000


def test_an_import_adds_unknown_ids_once(tmp_path: Path) -> None:
    mine, theirs = Registration("612345678", b"mine", PK, "a"), Registration("612345678", b"theirs", PK, "b")
    other = Registration("712345678", b"theirs", PK, "b")
    with closing(Database(tmp_path)) as database:
        database.save([mine])
        assert not database.has_imported("x")
        assert database.import_peers("x", [theirs, other]) == 1
        assert database.has_imported("x")
        assert sorted(database.load()) == [mine, other]
