"""The server's settings: flag over environment over configuration file over hbbs's own file over default.

The configuration file is TOML, its keys are the options without their dashes;
the table ``[limits]`` has the names of ``rdpeer.server.limits.Limits``:

    port = 21116
    relay-servers = ["relay1.example", "relay2.example"]

    [limits]
    connections = 4096

hbbs reads ``.env`` in its folder; what it has there counts as well, unless
something else says otherwise. Read again at every reload.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rdpeer.errors import UsageError
from rdpeer.server.enrolment import Mode
from rdpeer.server.limits import Limits
from rdpeer.server.options import ServerOptions, quoted
from rdpeer.store.files import read_text

FILE_NAME = "server.toml"
"""In the data folder, unless another file is named."""

KINDS: dict[str, type] = {
    "port": int,
    "bind": list,
    "relay-servers": list,
    "address": str,
    "key": str,
    "only": str,
    "always-use-relay": bool,
    "tls-cert": Path,
    "tls-key": Path,
    "trust-proxy": list,
    "enrol": Mode,
    "allow-keys": Path,
    "blocklist": Path,
    "single-bandwidth": float,
    "total-bandwidth": float,
    "blacklist": Path,
    "limit-speed": float,
    "relay-idle": float,
    "drain": float,
    "access-log": str,
    "log-format": str,
    "log-level": str,
    "metrics": str,
}
"""The options that may stand in a file. A list may also be one text, its items separated by commas."""

_HBBS_FILE = ".env"
_HBBS_NAMES = ("port", "bind", "relay-servers", "key", "always-use-relay")
_HBBR_NAMES = ("single-bandwidth", "total-bandwidth", "limit-speed")

Values = Mapping[str, object]


def load(data_dir: Path, given: Values, file: Path | None = None) -> ServerOptions:
    """The options in force. ``given`` has those of the command line and the environment, named as in KINDS.

    UsageError for a bad value, naming where it stands, and for a ``file`` that is not there.
    """
    path = file or data_dir / FILE_NAME
    text = read_text(path)
    if text is None and file is not None:
        raise UsageError(f"cannot read {path}: no such file")
    table = _parsed(path, text or "")
    limits = table.pop("limits", {})
    here = _checked("the command line or a variable", given)
    values = _hbbs(data_dir / _HBBS_FILE) | _checked(str(path), table) | here
    fields = {name.replace("-", "_"): value for name, value in values.items()}
    return ServerOptions(data_dir, limits=_limits(str(path), limits), **fields)


def _parsed(path: Path, text: str) -> dict[str, object]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {str(error)[:1].lower()}{str(error)[1:]}") from error


def _checked(where: str, values: Values) -> dict[str, Any]:
    return {name: _value(where, name, value) for name, value in values.items()}


def _value(where: str, name: str, value: object) -> Any:
    kind = KINDS.get(name)
    if kind is None:
        raise UsageError(f"{where}: no such option: {quoted(name)}", hint=f"options are {', '.join(KINDS)}")
    if kind is list:
        return _items(where, name, value)
    wanted = str if kind in (Mode, Path) else kind
    if type(value) is not wanted and not (kind is float and type(value) is int):
        raise UsageError(f"{where}: {name}: not {_NOUNS[wanted]}: {quoted(value)}")
    try:
        return kind(value)
    except ValueError as error:
        raise UsageError(f"{where}: {name}: {error}") from None


_NOUNS = {int: "a whole number", float: "a number", str: "a text in quotes", bool: "true or false"}


def _items(where: str, name: str, value: object) -> tuple[str, ...]:
    parts = [value] if isinstance(value, str) else value
    if not isinstance(parts, list | tuple) or not all(isinstance(part, str) for part in parts):
        raise UsageError(f"{where}: {name}: not a list of texts: {quoted(value)}")
    return tuple(item.strip() for part in parts for item in part.split(",") if item.strip())


def _limits(where: str, table: object) -> Limits:
    kinds: dict[str, type] = {field.name: type(field.default) for field in dataclasses.fields(Limits)}
    if not isinstance(table, dict):
        raise UsageError(f"{where}: limits is a table")
    values = {}
    for name, value in table.items():
        kind = kinds.get(field := name.replace("-", "_"))
        if kind is None:
            raise UsageError(f"{where}: no such limit: {quoted(name)}")
        if type(value) not in (int, kind) or not value > 0:
            raise UsageError(f"{where}: limits: {name}: not {_NOUNS[kind]} above 0: {quoted(value)}")
        values[field] = kind(value)
    return Limits(**values)


def _hbbs(path: Path) -> dict[str, Any]:
    """hbbs takes a name in either case, with - or _; all its values are texts."""
    found: dict[str, Any] = {}
    for line in (read_text(path) or "").splitlines():
        name, equals, value = line.partition("=")
        option = name.strip().lower().replace("_", "-")
        text = value.strip().strip("\"'")
        if not equals or option not in _HBBS_NAMES + _HBBR_NAMES or not text:
            continue
        found[option] = _value(str(path), option, _from_text(text, KINDS[option]))
    return found


def _from_text(text: str, kind: type) -> object:
    if kind is bool:
        return text.upper() == "Y"
    if re.fullmatch("[0-9]{1,9}", text) and kind in (int, float):
        return int(text)
    if re.fullmatch(r"[0-9]{1,9}\.[0-9]{1,9}", text):
        return float(text)
    return text
