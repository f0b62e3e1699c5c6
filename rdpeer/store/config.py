"""config.toml: the settings of all profiles, written so that people's comments and order survive.

Top-level keys are the default profile's settings, ``[profile.NAME]`` has those of
the others; nothing is inherited. What the settings mean is ``rdpeer.settings``'s
business.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rdpeer.errors import UsageError
from rdpeer.store.files import read_text, write_whole
from rdpeer.store.home import DEFAULT_PROFILE, Profile
from rdpeer.store.lock import locked

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def read(profile: Profile) -> dict[str, object]:
    """The profile's settings as they stand in the file: names to TOML values. UsageError for a bad file."""
    text = read_text(profile.config_file)
    return _table(_parse(text or "", profile), profile)


def change(profile: Profile, values: Mapping[str, str | float | None]) -> None:
    """Sets the settings named, and removes those whose value is None, all at once.

    UsageError for a file that cannot be read or written.
    """
    path = profile.config_file
    with locked(path.with_name(".config.lock")):
        text = read_text(path) or ""
        _table(_parse(text, profile), profile)  # a file that is not understood is not changed
        new = _changed(text, profile, values)
        if new != text:
            write_whole(path, new)


def _changed(text: str, profile: Profile, values: Mapping[str, str | float | None]) -> str:
    import tomlkit  # 30 ms that only writing needs

    document = tomlkit.parse(text)
    table = _writable_table(document, profile)
    for name, value in values.items():
        if value is not None:
            table[name] = value
        elif name in table:
            del table[name]
    return tomlkit.dumps(document)


def _writable_table(document: TOMLDocument, profile: Profile) -> Any:
    import tomlkit

    if profile.name == DEFAULT_PROFILE:
        return document
    profiles = document.setdefault("profile", tomlkit.table(is_super_table=True))
    return profiles.setdefault(profile.name, tomlkit.table())


def _parse(text: str, profile: Profile) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{profile.config_file}: {str(error)[:1].lower()}{str(error)[1:]}") from error


def _table(document: dict[str, Any], profile: Profile) -> dict[str, object]:
    profiles = document.pop("profile", {})
    if not (isinstance(profiles, dict) and all(isinstance(table, dict) for table in profiles.values())):
        raise UsageError(f"{profile.config_file}: write the settings of a profile below [profile.NAME]")
    if DEFAULT_PROFILE in profiles:
        raise UsageError(
            f"{profile.config_file}: [profile.{DEFAULT_PROFILE}] is not a profile of its own",
            hint="the default profile's settings stand at the top of the file",
        )
    if profile.name == DEFAULT_PROFILE:
        return document
    return dict(profiles.get(profile.name, {}))
