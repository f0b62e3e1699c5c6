"""rdpeer.store.files: whole or not at all, and nobody else's business."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from rdpeer.errors import UsageError
from rdpeer.store import files

posix = pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX")


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_writes_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write_whole(path, "één\n")
    assert path.read_bytes() == "één\n".encode()
    assert _mode(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_replaces_a_file_and_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    path.chmod(0o644)
    files.write_whole(path, "new")
    assert path.read_text() == "new"
    assert _mode(path) == 0o600


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    target = tmp_path / "dotfiles" / "config"
    target.parent.mkdir()
    target.write_text("old")
    link = tmp_path / "config"
    link.symlink_to(target)
    files.write_whole(link, "new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UsageError, match=f"cannot write {path}: No space left on device"):
        files.write_whole(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@posix
def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """As root this would cost the machine its /dev/null; a pipe stands in for it."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(UsageError, match="not a regular file"):
            files.write_whole(path, "text")
        with pytest.raises(UsageError, match="not a regular file"), files.ready_file(path):
            pass
    assert pipe.is_fifo()


def test_names_the_file_whose_folder_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "file"
    with pytest.raises(UsageError, match=f"cannot write {path}: No such file"):
        files.write_whole(path, "text")


def test_makes_folders_for_the_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    files.make_folder(folder)
    files.make_folder(folder)
    assert _mode(folder) == 0o700


def test_names_the_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("")
    with pytest.raises(UsageError, match=f"cannot make the folder {tmp_path}/a/b: Not a directory"):
        files.make_folder(tmp_path / "a" / "b")


def test_reads_text_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert files.read_text(path) is None
    path.write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not UTF-8"):
        files.read_text(path)
    with pytest.raises(UsageError, match="Is a directory"):
        files.read_text(tmp_path)


@pytest.mark.parametrize("content", ["secret", "secret\n", "secret\r\n", "secret\nmore\n"])
def test_a_secret_is_the_first_line(tmp_path: Path, content: str) -> None:
    path = tmp_path / "password"
    files.write_whole(path, content)
    assert files.read_secret_file(path) == "secret"


def test_a_secret_keeps_its_spaces(tmp_path: Path) -> None:
    path = tmp_path / "password"
    files.write_whole(path, " a b \n")
    assert files.read_secret_file(path) == " a b "


def test_a_secret_file_must_be_there_and_hold_one(tmp_path: Path) -> None:
    path = tmp_path / "password"
    with pytest.raises(UsageError, match="no such file"):
        files.read_secret_file(path)
    files.write_whole(path, "\nsecret")
    with pytest.raises(UsageError, match="is empty"):
        files.read_secret_file(path)


@posix
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "password"
    path.write_text("secret")
    path.chmod(mode)
    with pytest.raises(UsageError, match="others may read") as caught:
        files.read_secret_file(path)
    assert caught.value.hint == f"chmod 600 {path}"


@posix
@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_file_that_others_may_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "file"
    path.write_text("")
    files.refuse_writable(path)
    path.chmod(mode)
    with pytest.raises(UsageError, match=f"others may write {path}"):
        files.refuse_writable(path)


@posix
def test_so_is_one_in_a_folder_that_others_may_write(tmp_path: Path) -> None:
    real, near = tmp_path / "real", tmp_path / "near"
    for folder in (real, near):
        folder.mkdir()
    (real / "file").write_text("")
    (near / "file").symlink_to(real / "file")
    files.refuse_writable(near / "file")
    real.chmod(0o770)
    with pytest.raises(UsageError, match=f"others may write {real}"):
        files.refuse_writable(near / "file")
    real.chmod(0o700)
    near.chmod(0o777)
    with pytest.raises(UsageError, match=f"others may write {near}"):
        files.refuse_writable(near / "file")


@posix
def test_and_one_that_belongs_to_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_text("")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    if tmp_path.stat().st_uid == 0:
        os.chown(path, 54321, -1)
    with pytest.raises(UsageError, match="belongs to another user"):
        files.refuse_writable(path)


def test_the_ready_file_is_there_from_ready_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "ready"
    path.write_text("left by a process that was killed")
    with files.ready_file(path) as ready:
        assert not path.exists()
        ready("612345678")
        assert path.read_text() == "612345678\n"
        assert _mode(path) == 0o600
    assert not path.exists()


def test_without_a_path_there_is_no_ready_file(tmp_path: Path) -> None:
    with files.ready_file(None) as ready:
        ready("612345678")
    assert list(tmp_path.iterdir()) == []
