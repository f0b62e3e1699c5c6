"""rdpeer.store.secrets: a keyring that works, one that lies, and none."""

from __future__ import annotations

from collections.abc import Iterator

import keyring
import keyring.backends.fail
import keyring.backends.null
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringLocked, PasswordDeleteError

from rdpeer.errors import UsageError
from rdpeer.store import secrets


class Memory(KeyringBackend):
    """A keyring as it should be."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if self.kept.pop((service, username), None) is None:
            raise PasswordDeleteError("no such password")


class Locked(Memory):
    def get_password(self, service: str, username: str) -> str | None:
        raise KeyringLocked("the collection\nis locked")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    before = keyring.get_keyring()
    yield
    keyring.set_keyring(before)


def test_keeps_gets_and_removes() -> None:
    backend = Memory()
    keyring.set_keyring(backend)
    assert secrets.get("a") is None
    secrets.put("a", "secret")
    assert secrets.get("a") == "secret"
    assert backend.kept == {("rdpeer", "a"): "secret"}
    secrets.remove("a")
    secrets.remove("a")
    assert secrets.get("a") is None


def test_no_keyring() -> None:
    keyring.set_keyring(keyring.backends.fail.Keyring())
    for action in (lambda: secrets.get("a"), lambda: secrets.put("a", "b"), lambda: secrets.remove("a")):
        with pytest.raises(UsageError, match="there is no keyring here"):
            action()


def test_a_keyring_that_forgets() -> None:
    keyring.set_keyring(keyring.backends.null.Keyring())
    with pytest.raises(UsageError, match="did not keep"):
        secrets.put("a", "b")


def test_a_locked_keyring_is_told_in_one_line() -> None:
    keyring.set_keyring(Locked())
    with pytest.raises(UsageError) as caught:
        secrets.get("a")
    assert str(caught.value) == "the keyring cannot be used: the collection is locked"
