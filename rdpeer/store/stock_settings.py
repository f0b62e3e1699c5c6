"""Server, key and relay as RustDesk's own programs keep them and hand them on (docs/PROTOCOL.md 9.7).

    RustDesk2.toml     the desktop's settings; those of a server of one's own are in [options]
    a server string    what "Export server config" copies: JSON in URL-safe base64, written backwards
    a file name        of an installer that brings its server along: rustdesk-host=HOST,key=KEY.exe, or
                       rustdesk-licensed-STRING.exe

The desktop remembers in ``rendezvous_server`` which server it uses, its maker's public one too; only a server
that somebody has set counts. The API server, which all of them may name, is of no use here.
"""

from __future__ import annotations

import base64
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rdpeer.errors import UsageError
from rdpeer.values import ServerAddress, ServerKey, ServerLink, printable

_MOST = 1024 * 1024
_LONGEST = 4096
_RELAY_PORT = 21117  # whatever the server's port is (docs/PROTOCOL.md 9.3)
_INSTALLER = re.compile(r"rustdesk(?:-licensed)?-+", re.IGNORECASE)
_ENDING = re.compile(
    r"(?:\s*\(\d+\)|\.exe|--|,|\s)+\Z", re.IGNORECASE
)  # with what a browser adds to a second copy


def server_link(text: str) -> ServerLink:
    """The server that ``text`` stands for: a link of ours, or one of the above by its path, text or name.

    UsageError, one line, where it is none of these or names no server.
    """
    try:
        if text.strip().startswith("rdpeer://"):
            return ServerLink.parse(text)
        path = Path(text)
        if path.suffix.lower() == ".toml":
            return _from_file(path)
        return _from_string(text.strip())
    except ValueError as error:
        raise UsageError(str(error)) from error


def _from_file(path: Path) -> ServerLink:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > _MOST:
        raise UsageError(f"{path} is no file of settings: it has more than {_MOST >> 20} MiB")
    try:
        table = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise UsageError(f"cannot read {path}: it is not TOML") from error
    options = table.get("options")
    if not isinstance(options, dict) or not options.get("custom-rendezvous-server"):
        raise UsageError(f"{path} sets no server: there is no custom-rendezvous-server in its [options]")
    try:
        return _link(options, "custom-rendezvous-server", "relay-server")
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error


def _from_string(text: str) -> ServerLink:
    if len(text) > _LONGEST:
        raise ValueError(f"a server string has at most {_LONGEST} characters")
    name = _ENDING.sub("", text)
    if "host=" in name:
        parts = (part.partition("=") for part in name[name.index("host=") :].split(","))
        return _link({field: value for field, _, value in parts}, "host", "relay")
    installer = _INSTALLER.search(name)
    return _link(_unreversed(name[installer.end() :] if installer else name), "host", "relay")


def _unreversed(text: str) -> Mapping[str, Any]:
    """The JSON object in a server string; its padding, which would stand in front, may be missing."""
    encoded = text[::-1].rstrip("=").replace("+", "-").replace("/", "_")
    try:
        read = json.loads(base64.b64decode(encoded + "=" * (-len(encoded) % 4), b"-_", validate=True))
        if isinstance(read, dict):
            return read
    except (ValueError, RecursionError):
        pass  # said below, for all that is no such string
    raise ValueError(
        "not a server link (rdpeer://host?key=KEY), a RustDesk2.toml or a RustDesk server string"
    )


def _link(fields: Mapping[str, Any], server: str, relay: str) -> ServerLink:
    """From a table that may hold anything. ValueError for a value that cannot be used."""
    texts = {name: _text(name, fields.get(name)) for name in (server, "key", relay)}
    if not texts[server]:
        raise ValueError("it names no server")
    return ServerLink(
        ServerAddress.parse(texts[server]),
        ServerKey(texts["key"]) if texts["key"] else None,
        ServerAddress.parse(texts[relay], _RELAY_PORT) if texts[relay] else None,
    )


def _text(name: str, value: object) -> str:
    if not isinstance(value, str | None):
        raise ValueError(f"{name} is not text")
    text = (value or "").strip()
    if len(text) > _LONGEST or not text.isprintable():
        raise ValueError(f"{name} cannot be {printable(text, 40)!r}")
    return text
