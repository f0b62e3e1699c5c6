"""rdpeer.store.identity: made once, never changed by itself, wherever its key lies."""

from __future__ import annotations

import json
import multiprocessing
import os
import uuid
from pathlib import Path

import pytest

from rdpeer.errors import UsageError
from rdpeer.store import identity, secrets
from rdpeer.store.home import Home, Profile
from rdpeer.store.identity import Store


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return Home(tmp_path, tmp_path, tmp_path).profile()


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the keyring holds."""
    kept: dict[str, str] = {}
    monkeypatch.setattr(secrets, "get", kept.get)
    monkeypatch.setattr(secrets, "put", kept.__setitem__)
    monkeypatch.setattr(secrets, "remove", kept.pop)
    return kept


def test_the_first_use_makes_one_and_the_second_finds_it(profile: Profile) -> None:
    assert identity.load(profile) is None
    made = identity.load_or_create(profile)
    assert 600_000_000 <= int(made.peer_id.text) <= 999_999_999
    assert uuid.UUID(made.uuid.decode()).version == 4
    assert identity.load_or_create(profile) == made
    assert identity.load(profile) == (made, Store.FILE)
    assert profile.identity.stat().st_mode & 0o777 == 0o600


def test_each_profile_has_its_own(tmp_path: Path) -> None:
    home = Home(tmp_path, tmp_path, tmp_path)
    first = identity.load_or_create(home.profile())
    second = identity.load_or_create(home.profile("work"))
    assert first.peer_id != second.peer_id
    assert first.key != second.key


def test_the_secrets_are_not_in_the_repr(profile: Profile) -> None:
    made = identity.load_or_create(profile)
    record = json.loads(profile.identity.read_text())
    assert record["key"] not in repr(made)
    assert record["uuid"] not in repr(made)
    assert repr(made.key.seed) not in repr(made)


def _first_use(folder: Path) -> str:
    return identity.load_or_create(Home(folder, folder, folder).profile()).peer_id.text


def test_processes_that_come_first_together_get_the_same(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert len(set(pool.map(_first_use, [tmp_path] * 4, chunksize=1))) == 1


def test_a_new_one_leaves_the_old_beside_it_as_good_as_it_was(profile: Profile) -> None:
    old = identity.load_or_create(profile)
    new, kept_in = identity.renew(profile)
    assert kept_in == profile.data / f"identity-{old.peer_id}.bak"
    assert identity.load(profile) == (new, Store.FILE)
    assert new.key != old.key
    assert new.uuid != old.uuid
    assert kept_in.stat().st_mode & 0o777 == 0o600
    kept_in.replace(profile.identity)
    assert identity.load(profile) == (old, Store.FILE)


def test_a_new_one_where_there_was_none(profile: Profile) -> None:
    new, kept_in = identity.renew(profile)
    assert kept_in is None
    assert identity.load_or_create(profile) == new


def test_a_kept_identity_is_not_overwritten(profile: Profile) -> None:
    old = identity.load_or_create(profile)
    in_the_way = profile.data / f"identity-{old.peer_id}.bak"
    in_the_way.write_text("precious")
    with pytest.raises(UsageError, match=r"\.bak is in the way"):
        identity.renew(profile)
    assert in_the_way.read_text() == "precious"
    assert identity.load_or_create(profile) == old


def _damage(text: str) -> list[str]:
    record = json.loads(text)
    changes: list[dict[str, object]] = [
        {"id": "123"},
        {"uuid": "none"},
        {"uuid": 5},
        {"public": "A" * 43},
        {"key": "AAAA"},
        {"key": "ä"},
        {"store": "cloud"},
    ]
    missing = [{name: value for name, value in record.items() if name != gone} for gone in record]
    return [
        "",
        "{",
        "[]",
        "null",
        text[:-10],
        *(json.dumps(x) for x in missing + [record | c for c in changes]),
    ]


def test_a_damaged_one_is_an_error_and_is_left_alone(profile: Profile) -> None:
    identity.load_or_create(profile)
    for text in _damage(profile.identity.read_text()):
        profile.identity.write_text(text)
        with pytest.raises(UsageError, match=f"the identity in {profile.identity} is damaged") as caught:
            identity.load_or_create(profile)
        assert "backup" in str(caught.value.hint)
        with pytest.raises(UsageError, match="is damaged"):
            identity.renew(profile)
        with pytest.raises(UsageError, match="is damaged"):
            identity.choose_store(profile, Store.FILE)
        assert profile.identity.read_text() == text


@pytest.mark.skipif(os.name != "posix", reason="permission bits are POSIX")
def test_one_that_others_may_read_is_refused(profile: Profile) -> None:
    identity.load_or_create(profile)
    profile.identity.chmod(0o644)
    with pytest.raises(UsageError, match="others may read"):
        identity.load_or_create(profile)


# the keyring


def test_the_key_may_lie_in_the_keyring_from_the_start(profile: Profile, kept: dict[str, str]) -> None:
    made = identity.choose_store(profile, Store.KEYRING)
    assert "key" not in json.loads(profile.identity.read_text())
    assert list(kept) == [f"identity {made.uuid.decode()}"]
    assert identity.load(profile) == (made, Store.KEYRING)
    assert identity.load_or_create(profile) == made


def test_the_key_moves_between_stores_and_is_left_in_one(profile: Profile, kept: dict[str, str]) -> None:
    made = identity.load_or_create(profile)
    assert identity.choose_store(profile, Store.KEYRING) == made
    assert "key" not in json.loads(profile.identity.read_text())
    assert len(kept) == 1
    assert identity.choose_store(profile, Store.KEYRING) == made
    assert identity.choose_store(profile, Store.FILE) == made
    assert not kept
    assert identity.load(profile) == (made, Store.FILE)


def test_a_new_one_stays_in_the_store_chosen_and_the_old_key_too(
    profile: Profile, kept: dict[str, str]
) -> None:
    old = identity.choose_store(profile, Store.KEYRING)
    new, kept_in = identity.renew(profile)
    assert kept_in
    assert identity.load(profile) == (new, Store.KEYRING)
    kept_in.replace(profile.identity)
    assert identity.load(profile) == (old, Store.KEYRING)


def test_a_key_that_the_keyring_has_lost_is_no_reason_for_a_new_one(
    profile: Profile, kept: dict[str, str]
) -> None:
    identity.choose_store(profile, Store.KEYRING)
    before = profile.identity.read_text()
    kept.clear()
    with pytest.raises(UsageError, match="is not there") as caught:
        identity.load_or_create(profile)
    assert "rdpeer id --store file" in str(caught.value.hint)
    assert profile.identity.read_text() == before


def test_nor_is_a_keyring_that_cannot_be_opened(
    profile: Profile, kept: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    identity.choose_store(profile, Store.KEYRING)
    before = profile.identity.read_text()

    def closed(name: str) -> str:
        raise UsageError("there is no keyring here")

    monkeypatch.setattr(secrets, "get", closed)
    with pytest.raises(UsageError, match="in the keyring: there is no keyring here") as caught:
        identity.load_or_create(profile)
    assert caught.value.hint
    assert profile.identity.read_text() == before


def test_a_keyring_that_refuses_the_key_changes_nothing(
    profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = identity.load_or_create(profile)

    def refuse(name: str, secret: str) -> None:
        raise UsageError("there is no keyring here")

    monkeypatch.setattr(secrets, "put", refuse)
    with pytest.raises(UsageError, match="no keyring"):
        identity.choose_store(profile, Store.KEYRING)
    assert identity.load(profile) == (made, Store.FILE)
