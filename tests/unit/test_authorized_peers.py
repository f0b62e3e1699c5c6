"""rdpeer.store.authorized_peers: nobody, until said, and only by the owner."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rdpeer.errors import UsageError
from rdpeer.store import authorized_peers
from rdpeer.values import PublicKey

KEY, OTHER_KEY = PublicKey(b"k" * 32), PublicKey(b"o" * 32)


def test_nobody_without_a_file(tmp_path: Path) -> None:
    assert authorized_peers.read(tmp_path / "folder" / "authorized_peers") == {}


def test_keys_and_comments(tmp_path: Path) -> None:
    path = tmp_path / "authorized_peers"
    path.write_text(f"# people\n\n{KEY} laptop of Ann  \r\n  {str(OTHER_KEY).rstrip('=')}\n{KEY} again\n")
    assert authorized_peers.read(path) == {KEY: "laptop of Ann", OTHER_KEY: ""}


def test_a_line_removed_counts_at_once(tmp_path: Path) -> None:
    path = tmp_path / "authorized_peers"
    path.write_text(f"{KEY}\n")
    assert KEY in authorized_peers.read(path)
    path.write_text("")
    assert KEY not in authorized_peers.read(path)


@pytest.mark.parametrize("line", ["laptop", "AAAA laptop", f"permit {KEY}", f"{KEY},{OTHER_KEY}"])
def test_a_line_that_is_no_key_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "authorized_peers"
    path.write_text(f"{KEY}\n{line}\n")
    with pytest.raises(UsageError, match=f"cannot read {path} line 2: not an Ed25519 public key"):
        authorized_peers.read(path)


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX")
def test_what_others_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "authorized_peers"
    path.write_text(f"{KEY}\n")
    path.chmod(0o664)
    with pytest.raises(UsageError, match=f"others may write {path}"):
        authorized_peers.read(path)
    path.chmod(0o644)
    tmp_path.chmod(0o777)
    with pytest.raises(UsageError, match=f"others may write {tmp_path}"):
        authorized_peers.read(path)
