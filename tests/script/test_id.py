"""``rdpeer id``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from program import Rdpeer

KEYRING = """
import json, pathlib
from keyring.backend import KeyringBackend

class Keyring(KeyringBackend):
    priority = 1
    path = pathlib.Path(__file__).with_name("kept.json")

    def _kept(self):
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    def get_password(self, service, username):
        return self._kept().get(f"{service} {username}")

    def set_password(self, service, username, password):
        self.path.write_text(json.dumps(self._kept() | {f"{service} {username}": password}))

    def delete_password(self, service, username):
        kept = self._kept()
        del kept[f"{service} {username}"]
        self.path.write_text(json.dumps(kept))
"""


@pytest.fixture
def keyring(rdpeer: Rdpeer) -> dict[str, str]:
    """The environment of a desktop that has a keyring."""
    folder = rdpeer.folder / "desktop"
    folder.mkdir()
    (folder / "fake_keyring.py").write_text(KEYRING)
    return {"PYTHONPATH": str(folder), "PYTHON_KEYRING_BACKEND": "fake_keyring.Keyring"}


def test_prints_the_id_and_nothing_else(rdpeer: Rdpeer) -> None:
    first = rdpeer("id")
    assert re.fullmatch(r"[6-9]\d{8}\n", first)
    assert rdpeer("id") == first


def test_profiles_are_different_people(rdpeer: Rdpeer) -> None:
    assert rdpeer("id") != rdpeer("id", "--profile", "work")
    assert rdpeer("id", "--profile", "work") == rdpeer("--profile", "work", "id")
    assert rdpeer("id", env={"RDPEER_PROFILE": "work"}) == rdpeer("id", "--profile", "work")
    assert rdpeer("--profile", "work", "id", env={"RDPEER_PROFILE": "other"}) == rdpeer(
        "id", "--profile", "work"
    )


def test_json_and_the_line_for_authorized_peers(rdpeer: Rdpeer) -> None:
    told = json.loads(rdpeer("id", "--json"))
    assert told["id"] == rdpeer("id").strip()
    assert told["profile"] == "default"
    assert re.fullmatch(r"SHA256:[A-Za-z0-9+/]{43}", told["fingerprint"])
    assert rdpeer("id", "--authorized") == f"{told['key']} {told['id']}\n"
    rdpeer("id", "--authorized", "--json", code=2)


def test_a_new_one_tells_where_the_old_one_is(rdpeer: Rdpeer) -> None:
    old = rdpeer("id").strip()
    kept = rdpeer.home / f"identity-{old}.bak"
    new = rdpeer("id", "--new", stderr=f"rdpeer: the old identity is kept in {kept}\n").strip()
    assert new != old
    assert rdpeer("id").strip() == new
    kept.replace(rdpeer.home / "identity.json")
    assert rdpeer("id").strip() == old


def test_the_first_one_may_be_new(rdpeer: Rdpeer) -> None:
    assert rdpeer("id", "--new") == rdpeer("id")


def test_the_key_moves_to_the_keyring_and_back(rdpeer: Rdpeer, keyring: dict[str, str]) -> None:
    told = rdpeer("id", "--json")
    assert rdpeer("id", "--store", "keyring", "--json", env=keyring) == told
    assert '"key"' not in (rdpeer.home / "identity.json").read_text()
    assert rdpeer("id", "--json", env=keyring) == told
    assert rdpeer("id", "--store", "file", "--json", env=keyring) == told
    assert rdpeer("id", "--json") == told


def test_without_the_recorded_keyring_there_is_no_new_id(rdpeer: Rdpeer, keyring: dict[str, str]) -> None:
    rdpeer("id", "--store", "keyring", env=keyring)
    stderr = re.compile(
        r"rdpeer: error: the key of this ID is in the keyring: there is no keyring here .*\n"
        r"rdpeer: hint: unlock the keyring .* 'rdpeer id --store file' .*\n"
    )
    assert rdpeer("id", code=2, stderr=stderr) == ""
    assert rdpeer("id", "--new", code=2, stderr=stderr) == ""


def test_no_keyring_to_store_in(rdpeer: Rdpeer) -> None:
    assert rdpeer("id", "--store", "keyring", code=2) == ""
    assert not (rdpeer.home / "identity.json").exists()


def test_a_damaged_identity_is_left_alone(rdpeer: Rdpeer) -> None:
    rdpeer("id")
    path = rdpeer.home / "identity.json"
    path.write_text("{")
    stderr = re.compile(f"rdpeer: error: the identity in {path} is damaged\nrdpeer: hint: restore .*\n")
    rdpeer("id", code=2, stderr=stderr)
    assert path.read_text() == "{"


def test_a_home_that_cannot_be_a_folder(rdpeer: Rdpeer) -> None:
    rdpeer(
        "id",
        code=2,
        env={"RDPEER_HOME": "/dev/null/home"},
        stderr=re.compile("rdpeer: error: cannot read /dev/null/home/.*\n"),
    )


def test_the_home_is_for_the_owner_alone(rdpeer: Rdpeer) -> None:
    rdpeer("id")
    assert rdpeer.home.stat().st_mode & 0o777 == 0o700
    assert Path(rdpeer.home / "identity.json").stat().st_mode & 0o777 == 0o600
