"""The server's keys, and their rotation: what counts until when, whatever is interrupted."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdpeer.crypto.keys import IdentityKey
from rdpeer.errors import UsageError
from rdpeer.server import keypair
from rdpeer.server.keypair import PREVIOUS_FILE, PUBLIC_FILE, SECRET_FILE, load_or_create, rotate
from rdpeer.server.keys import Keys
from rdpeer.store.files import write_whole

DAY = 24 * 3600.0


class Calendar:
    """Whatever date is set, as a clock may be."""

    def __init__(self, days: float) -> None:
        self.days = days

    def __call__(self) -> float:
        return self.days * DAY


def test_both_keys_count_during_the_overlap(tmp_path: Path) -> None:
    today = Calendar(1000)
    keys = load_or_create(tmp_path, today)
    old = keys.public
    rotate(tmp_path, keys, days=30)
    for now in (keys, load_or_create(tmp_path, today)):
        today.days = 1029.9
        assert now.public != old
        assert now.counting == [now.named(key.text) for key in (now.public, old)]
        assert [key.public for key in now.counting] == [now.public, old]
        today.days = 1030
        assert now.previous is None
        assert now.named(old.text) is None
        assert now.named(now.public.text) == now.current
    assert (tmp_path / PUBLIC_FILE).read_text() == keys.public.text


def test_an_overlap_is_not_cut_short_by_another(tmp_path: Path) -> None:
    today = Calendar(1000)
    keys = load_or_create(tmp_path, today)
    old = keys.public
    rotate(tmp_path, keys, days=30)
    today.days = 1029.5
    with pytest.raises(UsageError, match="counts for 1 more days"):
        rotate(tmp_path, keys, days=30)
    assert keys.named(old.text) is not None
    today.days = 1030
    rotate(tmp_path, keys, days=30)
    assert keys.named(old.text) is None
    rotate(tmp_path, keys, days=0)
    assert len(keys.counting) == 1


def test_a_clock_that_is_ahead_for_a_moment_does_not_end_the_overlap(tmp_path: Path) -> None:
    today = Calendar(1000)
    keys = load_or_create(tmp_path, today)
    old = keys.public
    rotate(tmp_path, keys, days=30)
    today.days = 2000
    starting = load_or_create(tmp_path, today)
    assert keys.named(old.text) is None
    today.days = 1001
    for now in (keys, starting):
        assert now.named(old.text) is not None


def test_a_key_that_has_leaked_never_counts_again_whatever_the_clock_says(tmp_path: Path) -> None:
    today = Calendar(20_000)
    keys = load_or_create(tmp_path, today)
    leaked = [keys.public]
    rotate(tmp_path, keys, days=30)
    leaked.append(keys.public)
    rotate(tmp_path, keys, days=0)
    today.days = 0
    for now in (keys, load_or_create(tmp_path, today)):
        assert [now.named(key.text) for key in leaked] == [None, None]
    assert not (tmp_path / PREVIOUS_FILE).exists()


def test_a_leaked_key_does_not_count_either_where_its_rotation_was_interrupted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    today = Calendar(20_000)
    keys = load_or_create(tmp_path, today)
    leaked = keys.public

    def killed_before_the_last_file(path: Path, text: str) -> None:
        if path.name == PUBLIC_FILE:
            raise KeyboardInterrupt
        write_whole(path, text)

    monkeypatch.setattr(keypair, "write_whole", killed_before_the_last_file)
    with pytest.raises(KeyboardInterrupt):
        rotate(tmp_path, keys, days=0)
    monkeypatch.undo()
    today.days = 0
    now = load_or_create(tmp_path, today)
    assert now.public != leaked
    assert now.named(leaked.text) is None
    assert (tmp_path / PUBLIC_FILE).read_text() == now.public.text


@pytest.mark.parametrize("text", ["", "x", IdentityKey.from_seed(bytes(32)).public.text, "\N{SNOWMAN}"])
def test_no_other_key_counts(text: str) -> None:
    assert Keys(IdentityKey.from_seed(bytes(31) + b"1")).named(text) is None


def test_a_rotation_that_was_interrupted_is_finished(tmp_path: Path) -> None:
    keys = load_or_create(tmp_path)
    old = keys.public.text
    rotate(tmp_path, keys, days=30)
    (tmp_path / PUBLIC_FILE).write_text(old)  # killed before the last of the three files
    assert load_or_create(tmp_path).public == keys.public
    assert (tmp_path / PUBLIC_FILE).read_text() == keys.public.text


def test_a_foreign_public_key_is_refused(tmp_path: Path) -> None:
    keys = load_or_create(tmp_path)
    rotate(tmp_path, keys, days=30)
    (tmp_path / PUBLIC_FILE).write_text(IdentityKey.from_seed(bytes(32)).public.text)
    with pytest.raises(UsageError, match="does not belong to"):
        load_or_create(tmp_path)


@pytest.mark.parametrize("text", ["", "garbage 5", "{} never"])
def test_a_damaged_previous_key_is_refused(tmp_path: Path, text: str) -> None:
    load_or_create(tmp_path)
    (tmp_path / PREVIOUS_FILE).write_text(text.format((tmp_path / SECRET_FILE).read_text()))
    with pytest.raises(UsageError, match=PREVIOUS_FILE):
        load_or_create(tmp_path)
