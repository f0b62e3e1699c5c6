"""rdpeer.store.lock: between processes, so with real ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rdpeer.errors import UsageError
from rdpeer.store import lock
from rdpeer.store.lock import keep_online, locked
from rdpeer.values import ServerAddress

SERVER = ServerAddress("hbbs.example.org")
HOLDER = """
import sys
from pathlib import Path
from rdpeer.store.lock import keep_online
from rdpeer.values import ServerAddress
with keep_online(Path(sys.argv[1]), ServerAddress.parse(sys.argv[2]), "rdpeer listen"):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def _other_process(state: Path, server: ServerAddress = SERVER) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", HOLDER, str(state), str(server)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "held\n"
        yield process


def test_the_second_process_is_refused_and_told_of_the_first(tmp_path: Path) -> None:
    with _other_process(tmp_path) as first:
        with pytest.raises(UsageError) as caught, keep_online(tmp_path, SERVER, "rdpeer register"):
            pass
        assert str(caught.value) == (
            f"'rdpeer listen' (process {first.pid}) already keeps this ID online at hbbs.example.org:21116"
        )
        assert "--profile" in str(caught.value.hint)


def test_another_server_or_profile_is_free(tmp_path: Path) -> None:
    with (
        _other_process(tmp_path),
        keep_online(tmp_path, ServerAddress("hbbs.example.org", 5000), "rdpeer register"),
        keep_online(tmp_path / "work", SERVER, "rdpeer register"),
    ):
        pass


@pytest.mark.parametrize("kill", [False, True])
def test_the_lock_ends_with_its_process_however_that_ends(tmp_path: Path, kill: bool) -> None:
    with _other_process(tmp_path) as first:
        if kill:
            first.kill()
    with keep_online(tmp_path, SERVER, "rdpeer register"):
        pass


def test_a_version_six_address_makes_a_file_name_too(tmp_path: Path) -> None:
    with keep_online(tmp_path, ServerAddress("2001:db8::1"), "rdpeer register"):
        assert [path.name for path in tmp_path.iterdir()] == ["online-_2001_db8__1__21116.lock"]


def test_names_the_lock_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with (
        pytest.raises(UsageError, match=f"cannot write {tmp_path}/lock: Is a directory"),
        locked(tmp_path / "lock"),
    ):
        pass


def test_locked_makes_its_folder_and_ends(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path / "folder" / "lock"):
            pass


def test_a_file_system_that_cannot_lock_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(descriptor: int, *, wait: bool) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(lock, "_acquire", no_locks)
    for held in (locked(tmp_path / "lock"), keep_online(tmp_path, SERVER, "rdpeer register")):
        with pytest.raises(UsageError, match=f"cannot lock {tmp_path}/.*: No locks available"), held:
            pass
