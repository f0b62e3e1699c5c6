"""rdpeer.store.home: which folder is whose."""

from __future__ import annotations

from pathlib import Path

import platformdirs
import pytest

from rdpeer.errors import UsageError
from rdpeer.store.home import Home


def test_rdpeer_home_has_everything(tmp_path: Path) -> None:
    home = Home.locate({"RDPEER_HOME": str(tmp_path)})
    profile = home.profile()
    assert home.config_file == profile.config_file == tmp_path / "config.toml"
    assert profile.identity == tmp_path / "identity.json"
    assert profile.known_peers == tmp_path / "known_peers"
    assert profile.authorized_peers == tmp_path / "authorized_peers"
    assert profile.confirmed == tmp_path / "confirmed"


def test_rdpeer_home_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Home.locate({"RDPEER_HOME": "here"}).data == tmp_path / "here"


@pytest.mark.parametrize("environ", [{}, {"RDPEER_HOME": ""}])
def test_else_the_platform_says(environ: dict[str, str]) -> None:
    home = Home.locate(environ)
    assert home.config == platformdirs.user_config_path("rdpeer", appauthor=False)
    assert home.data == platformdirs.user_data_path("rdpeer", appauthor=False)
    assert home.state == platformdirs.user_state_path("rdpeer", appauthor=False)


def test_a_user_without_a_home_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platformdirs.PlatformDirs, "user_config_dir", "~/.config/rdpeer")
    with pytest.raises(UsageError, match="no home folder") as caught:
        Home.locate({})
    assert "RDPEER_HOME" in str(caught.value.hint)


def test_other_profiles_have_their_own_folders_and_the_same_settings_file(tmp_path: Path) -> None:
    home = Home(tmp_path / "config", tmp_path / "data", tmp_path / "state")
    profile = home.profile("work")
    assert profile.config_file == tmp_path / "config" / "config.toml"
    assert profile.known_peers == tmp_path / "config" / "profiles" / "work" / "known_peers"
    assert profile.identity == tmp_path / "data" / "profiles" / "work" / "identity.json"
    assert profile.state == tmp_path / "state" / "profiles" / "work"


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    Home.locate({"RDPEER_HOME": str(tmp_path / "home")}).profile("work")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-a", "_a", "a b", "ä", "a\n", "x" * 65])
def test_bad_profile_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="not a profile name"):
        Home(tmp_path, tmp_path, tmp_path).profile(name)
