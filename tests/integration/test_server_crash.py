"""Nothing that got its OK is lost: the server is killed at any moment, again and again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest
from bare_clients import HOST, Datagrams, message
from server_process import invitation, peer_of, process

from rdpeer.errors import UsageError
from rdpeer.server.database import FILE_NAME, Database
from rdpeer.server.registry import Registration
from rdpeer.wire import rendezvous_pb2 as wire

PK = bytes(32)


async def register_until_the_end(peer: Datagrams, names: list[str], confirmed: set[str]) -> None:
    """Registers one after the other, and notes who got an OK; a server that is gone is the end."""
    for name in names:
        request = wire.RegisterPk(id=name, uuid=b"uuid", pk=PK)
        with contextlib.suppress(ConnectionRefusedError):
            answer = await peer.ask(message(register_pk=request))
            if answer.register_pk_response.result == wire.RegisterPkResponse.OK:
                confirmed.add(name)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_a_kill_at_any_moment_loses_no_registration(tmp_path: Path) -> None:
    moments = random.Random(5)
    confirmed: set[str] = set()
    arguments = ("--data-dir", str(tmp_path), "--port", "0")
    for round_ in range(15):
        async with process(*arguments) as running:
            link = await invitation(running)
            with contextlib.ExitStack() as sockets, contextlib.suppress(TimeoutError):
                peers = [sockets.enter_context(peer_of(link)) for _ in range(3)]
                async with asyncio.timeout(moments.uniform(0.0, 0.15)), asyncio.TaskGroup() as crowd:
                    for number, peer in enumerate(peers):
                        names = [f"peer-{round_}-{number}-{n}" for n in range(9)]
                        crowd.create_task(register_until_the_end(peer, names, confirmed))
            running.kill()
            await running.wait()
        with closing(Database(tmp_path)) as database:
            assert confirmed <= {registration.id for registration in database.load()}
    assert confirmed


def many(count: int) -> list[Registration]:
    return [
        Registration(f"peer-{n}", b"uuid", PK, f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(count)
    ]


@pytest.mark.slow
async def test_a_hundred_thousand_peers_are_known_when_it_is_ready(tmp_path: Path) -> None:
    with closing(Database(tmp_path)) as database:
        database.save([*many(100_000), Registration("here-and-now", b"uuid", PK, HOST)])
    async with process("--data-dir", str(tmp_path), "--port", "0") as running:
        with peer_of(await invitation(running)) as peer:
            known = await peer.ask(message(register_peer=wire.RegisterPeer(id="here-and-now")))
            assert not known.register_peer_response.request_pk


def test_an_older_schema_is_brought_up_to_date(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    with closing(sqlite3.connect(path)) as old, old:
        old.execute("PRAGMA application_id = 0x72647031")
        old.execute("PRAGMA user_version = 1")
        old.execute(
            "CREATE TABLE peer (id TEXT PRIMARY KEY, uuid BLOB NOT NULL, pk BLOB NOT NULL, ip TEXT NOT NULL)"
            " WITHOUT ROWID, STRICT"
        )
        old.execute("INSERT INTO peer VALUES ('612345678', x'01', zeroblob(32), '192.0.2.1')")
    for _ in range(2):
        with closing(Database(tmp_path)) as database:
            assert database.load() == [Registration("612345678", b"\x01", PK, "192.0.2.1")]
            assert database.blocks() == []


def test_that_an_id_is_proven_is_not_forgotten(tmp_path: Path) -> None:
    proven = Registration("612345678", b"\x01", PK, "192.0.2.1", proven=True)
    with closing(Database(tmp_path)) as database:
        database.save([proven])
    with closing(Database(tmp_path)) as database:
        assert database.load() == [proven]


def test_a_newer_schema_is_refused_and_kept(tmp_path: Path) -> None:
    with closing(Database(tmp_path)):
        pass
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as newer:
        newer.execute("PRAGMA user_version = 99")
    before = (tmp_path / FILE_NAME).read_bytes()
    with pytest.raises(UsageError, match="newer version of rdpeer"):
        Database(tmp_path)
    assert (tmp_path / FILE_NAME).read_bytes() == before


def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as foreign:
        foreign.execute("CREATE TABLE x (y)")
    with pytest.raises(UsageError, match="another program's database"):
        Database(tmp_path)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def killed(folder: Path) -> Path:
    """What a server left that was killed in its second run: a whole file, and what came later beside it."""
    (alive := folder / "alive").mkdir()
    with closing(Database(alive)) as database:
        database.save(many(5_000))
    with closing(Database(alive)) as database:
        database.save(many(8_000)[5_000:])
        return Path(shutil.copytree(alive, folder / "killed: 100% of it? #1"))


def test_what_a_killed_server_left_is_taken_over(tmp_path: Path) -> None:
    left = killed(tmp_path)
    assert set(contents(left)) == {FILE_NAME, FILE_NAME + "-wal"}
    with closing(Database(left)) as database:
        assert len(database.load()) == 8_000
        assert set(contents(left)) == {FILE_NAME, FILE_NAME + "-wal"}
    assert set(contents(left)) == {FILE_NAME}


def with_a_bad_page(whole: bytes) -> bytes:
    return whole[: 20 * 4096] + random.Random(5).randbytes(4096) + whole[21 * 4096 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a page": with_a_bad_page,
    "all": lambda _: random.Random(5).randbytes(8192),
    "cut in the header": lambda whole: whole[:100],
    "nothing left": lambda _: b"",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_found_and_kept_with_what_is_beside_it(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    left = killed(tmp_path)
    path = left / FILE_NAME
    path.write_bytes(damage(path.read_bytes()))
    before = contents(left)
    with pytest.raises(UsageError, match="cannot use") as raised:
        Database(left)
    assert raised.value.hint == (
        "it was not changed; restore it from a backup, or move it away,"
        " and peers.sqlite3-wal away in either case"
    )
    assert contents(left) == before


def test_a_file_that_is_gone_is_not_made_anew_beside_its_peers(tmp_path: Path) -> None:
    left = killed(tmp_path)
    (left / FILE_NAME).unlink()
    before = contents(left)
    with pytest.raises(UsageError, match=r"it is empty or not there, but peers\.sqlite3-wal is"):
        Database(left)
    assert contents(left) == before


@pytest.mark.parametrize(
    ("beside", "is_new"), [([], True), (["id_ed25519", "db_v2.sqlite3"], True), (["id_ed25519"], False)]
)
def test_an_empty_file_is_that_of_a_first_start_or_a_damaged_one(
    tmp_path: Path, beside: list[str], is_new: bool
) -> None:
    """A first start that is cut short leaves one, before it makes a key: that of hbbs may be there."""
    for name in (*beside, FILE_NAME):
        (tmp_path / name).touch()
    if is_new:
        Database(tmp_path).close()
    else:
        with pytest.raises(UsageError, match="it is empty, though"):
            Database(tmp_path)
        assert (tmp_path / FILE_NAME).read_bytes() == b""


def test_a_commit_is_flushed_to_a_log_beside_the_file(tmp_path: Path) -> None:
    with closing(Database(tmp_path)) as database:
        modes = [
            database._connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "locking_mode")
        ]
    full = 2
    assert modes == ["wal", full, "exclusive"]


def test_a_page_that_is_damaged_is_found_and_kept(tmp_path: Path) -> None:
    with closing(Database(tmp_path)) as database:
        database.save(many(5_000))
    path = tmp_path / FILE_NAME
    path.write_bytes(damaged := with_a_bad_page(path.read_bytes()))
    with pytest.raises(UsageError, match="cannot use") as raised:
        Database(tmp_path)
    assert raised.value.hint == "it was not changed; restore it from a backup, or move it away"
    assert path.read_bytes() == damaged


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a file system of one's own wants Linux and root")
    (folder := tmp_path / "small").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("known", [0, 10])
def test_a_start_on_a_full_disk_asks_for_room(small_disk: Path, known: int) -> None:
    if known:
        with closing(Database(small_disk)) as database:
            database.save(many(known))
    with suppress(OSError), (small_disk / "other").open("wb", buffering=0) as other:
        while True:
            other.write(bytes(512))
    with pytest.raises(UsageError, match="its disk is full") as raised:
        Database(small_disk)
    assert raised.value.hint == "nothing is lost; make room there"
    (small_disk / "other").unlink()
    with closing(Database(small_disk)) as database:
        assert len(database.load()) == known


def test_a_first_start_that_was_cut_short_is_begun_anew(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as first:
        first.execute("PRAGMA cache_size = 1")  # so that half of what follows is in the file
        first.execute("BEGIN")
        first.execute("CREATE TABLE half (x)")
        first.executemany("INSERT INTO half VALUES (zeroblob(4000))", [()] * 9)
        left = Path(shutil.copytree(tmp_path, tmp_path / "left"))
        first.execute("ROLLBACK")
    assert set(contents(left)) == {FILE_NAME, FILE_NAME + "-journal"}
    assert contents(left)[FILE_NAME]
    with closing(Database(left)) as database:
        assert database.load() == []
