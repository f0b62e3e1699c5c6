"""tar into ``rdpeer connect``, out of ``rdpeer listen``; and other pipelines of the shell."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from subprocess import PIPE

import pytest
from network import Network
from program import installed


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "holidays").mkdir(parents=True)
    (folder / "holidays" / "1.jpg").write_bytes(os.urandom(3 << 20))
    (folder / "empty").touch()
    return folder


@pytest.mark.parametrize("way", ["--relay", "--direct"])
def test_tar(network: Network, photos: Path, tmp_path: Path, way: str) -> None:
    tar = installed("tar")
    target = tmp_path / "target"
    target.mkdir()
    with subprocess.Popen([tar, "x", "-C", target], stdin=PIPE) as unpack:
        listener = network.listen("--open", stdout=unpack.stdin)
        unpack.stdin.close()
        done = network.near.shell(f"tar c -C {photos.parent} photos | rdpeer connect {way} {network.peer}")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        listener.end(".*: accepted by open")
    assert unpack.returncode == 0
    for path in ("holidays/1.jpg", "empty"):
        assert (target / "photos" / path).read_bytes() == (photos / path).read_bytes()


def test_tar_from_far(network: Network, photos: Path, tmp_path: Path) -> None:
    """Pulled instead of pushed, by a program for each that asks."""
    network.listen("--open", "--exec", f"{installed('tar')} c -C {photos.parent} photos")
    done = network.near.shell(f"mkdir target; rdpeer connect {network.peer} < /dev/null | tar x -C target")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    copy = network.near.folder / "target" / "photos" / "holidays" / "1.jpg"
    assert copy.read_bytes() == (photos / "holidays" / "1.jpg").read_bytes()


def test_a_reader_that_has_enough(network: Network, tmp_path: Path) -> None:
    """gzip's header is all that ``head`` wants; tar and rdpeer end by its pipe, as tools do."""
    big = tmp_path / "big"
    with big.open("wb") as file:
        file.truncate(64 << 20)
    network.listen("--open", "--exec", f"{installed('tar')} cz -C {tmp_path} big")
    done = network.near.shell(f"rdpeer connect {network.peer} < /dev/null | head -c 2 | od -An -tx1")
    assert (done.stdout.strip(), done.stderr) == ("1f 8b", "")
