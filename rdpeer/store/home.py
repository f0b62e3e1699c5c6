"""Where rdpeer keeps things: one folder each for settings, data and state, and in them one for each profile.

    config/  config.toml      the settings of all profiles
             known_peers      pins
             authorized_peers who may connect
    data/    identity.json    the ID and its key, or where its key is
    state/   confirmed        registrations that a server has confirmed
             online-*.lock    who keeps the ID online

The default profile's files lie there; those of profile NAME in ``profiles/NAME``
of the same folder. The three may be one folder: no name stands twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from rdpeer.errors import UsageError
from rdpeer.values import printable

DEFAULT_PROFILE = "default"
_PROFILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Profile:
    """One identity with its settings, pins and authorized peers. Nothing is made before it is written."""

    name: str
    config_file: Path
    config: Path
    data: Path
    state: Path

    @property
    def identity(self) -> Path:
        return self.data / "identity.json"

    @property
    def known_peers(self) -> Path:
        return self.config / "known_peers"

    @property
    def authorized_peers(self) -> Path:
        return self.config / "authorized_peers"

    @property
    def confirmed(self) -> Path:
        return self.state / "confirmed"


@dataclass(frozen=True, slots=True)
class Home:
    """The three folders."""

    config: Path
    data: Path
    state: Path

    @classmethod
    def locate(cls, environ: Mapping[str, str]) -> Self:
        """``RDPEER_HOME`` for all three, else what the platform has for each. UsageError if it has none."""
        if one := environ.get("RDPEER_HOME"):
            folder = Path(one).absolute()
            return cls(folder, folder, folder)
        from platformdirs import PlatformDirs  # 25 ms that RDPEER_HOME saves

        dirs = PlatformDirs("rdpeer", appauthor=False)
        home = cls(dirs.user_config_path, dirs.user_data_path, dirs.user_state_path)
        if not home.config.is_absolute():  # a user without a home, as in containers: the path is still ~/...
            raise UsageError("this user has no home folder", hint="set RDPEER_HOME to a folder")
        return home

    @property
    def config_file(self) -> Path:
        return self.config / "config.toml"

    def profile(self, name: str = DEFAULT_PROFILE) -> Profile:
        """The profile of that name. UsageError for a name that could not be one folder on every system."""
        if not _PROFILE_NAME.fullmatch(name):
            raise UsageError(
                f"not a profile name: {printable(name)!r}",
                hint="letters, digits, - and _, beginning with a letter or digit",
            )
        below = () if name == DEFAULT_PROFILE else ("profiles", name)
        config, data, state = (folder.joinpath(*below) for folder in (self.config, self.data, self.state))
        return Profile(name, self.config_file, config, data, state)
