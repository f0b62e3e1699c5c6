"""The server's keys, and their rotation: what counts until when, whatever is interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdpeer.crypto.keys import IdentityKey
from rdpeer.errors import UsageError
from rdpeer.server.keypair import PREVIOUS_FILE, PUBLIC_FILE, SECRET_FILE, load_or_create, rotate
from rdpeer.server.keys import Keys


def test_both_keys_count_during_the_overlap(tmp_path: Path) -> None:
    keys = load_or_create(tmp_path, 0.0)
    old = keys.public
    rotate(tmp_path, keys, until=100.0)
    for now in (keys, load_or_create(tmp_path, 99.0)):
        assert now.public != old
        for key in (old, now.public):
            named = now.named(key.text)
            assert named is not None
            assert named.public == key
    for now in (load_or_create(tmp_path, 100.0), keys):
        now.expire(100.0)
        assert now.named(old.text) is None
        assert now.named(now.public.text) == now.current
    assert (tmp_path / PUBLIC_FILE).read_text() == keys.public.text


@pytest.mark.parametrize("text", ["", "x", IdentityKey.from_seed(bytes(32)).public.text, "\N{SNOWMAN}"])
def test_no_other_key_counts(text: str) -> None:
    assert Keys(IdentityKey.from_seed(bytes(31) + b"1")).named(text) is None


def test_a_rotation_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    keys = load_or_create(tmp_path, 0.0)
    old = keys.public.text
    rotate(tmp_path, keys, until=100.0)
    (tmp_path / PUBLIC_FILE).write_text(old)  # killed before the last of the three files
    assert load_or_create(tmp_path, 0.0).public == keys.public
    assert (tmp_path / PUBLIC_FILE).read_text() == keys.public.text


def test_a_foreign_public_key_is_refused(tmp_path: Path) -> None:
    keys = load_or_create(tmp_path, 0.0)
    rotate(tmp_path, keys, until=100.0)
    (tmp_path / PUBLIC_FILE).write_text(IdentityKey.from_seed(bytes(32)).public.text)
    with pytest.raises(UsageError, match="does not belong to"):
        load_or_create(tmp_path, 0.0)


@pytest.mark.parametrize("text", ["", "garbage 5", "{} never"])
def test_a_damaged_previous_key_is_refused(tmp_path: Path, text: str) -> None:
    load_or_create(tmp_path, 0.0)
    (tmp_path / PREVIOUS_FILE).write_text(text.format((tmp_path / SECRET_FILE).read_text()))
    with pytest.raises(UsageError, match=PREVIOUS_FILE):
        load_or_create(tmp_path, 0.0)
