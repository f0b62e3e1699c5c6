"""What the built wheel and source distribution hold, compared byte by byte with the tree."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a freshly built sdist and of the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(build, check=True, capture_output=True)
    return folder


def test_wheel_ships_the_package(built: Path) -> None:
    contents = _wheel(built)
    for path in _files("rdpeer"):
        assert contents[str(path)] == (ROOT / path).read_bytes()
    assert "rdpeer/py.typed" in contents


def test_wheel_ships_man_pages_and_completions(built: Path) -> None:
    contents = _wheel(built)
    shared = {
        name.partition(".data/data/")[2]: data for name, data in contents.items() if ".data/data/" in name
    }
    sources = {f"share/man/man1/{path.name}": path for path in _files("man")} | {
        "share/bash-completion/completions/rdpeer": Path("completions/rdpeer.bash"),
        "share/zsh/site-functions/_rdpeer": Path("completions/_rdpeer"),
        "share/fish/vendor_completions.d/rdpeer.fish": Path("completions/rdpeer.fish"),
    }
    assert shared == {name: (ROOT / path).read_bytes() for name, path in sources.items()}


def test_wheel_ships_nothing_else(built: Path) -> None:
    roots = {name.partition("/")[0] for name in _wheel(built)}
    assert {root.partition("-")[0] for root in roots} == {"rdpeer"}


def test_source_distribution_is_whole(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {member.name.partition("/")[2] for member in tar.getmembers() if member.isfile()}
    folders = ["rdpeer", "proto", "tests", "completions", "man", "docs", "deploy"]
    assert {str(path) for folder in folders for path in _files(folder)} <= names
    assert {"Makefile", "constraints.txt", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"} <= names


def _wheel(built: Path) -> dict[str, bytes]:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _files(folder: str) -> Iterator[Path]:
    for path in (ROOT / folder).rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            yield path.relative_to(ROOT)
