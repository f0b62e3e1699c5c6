"""What people paste and type: a server in one line, a peer with what stands around its ID."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, unquote

from rdpeer.values.keys import ServerKey
from rdpeer.values.peer_id import PeerId
from rdpeer.values.server_address import ServerAddress
from rdpeer.values.text import printable


@dataclass(frozen=True, slots=True)
class ServerLink:
    """One pasteable line for a server: ``rdpeer://host[:port]?key=KEY[&relay=HOST[:PORT]]``.

    The key stands verbatim, as base64: ``+`` is not a space there.
    """

    server: ServerAddress
    key: ServerKey | None = None
    relay: ServerAddress | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        scheme, _, rest = text.strip().partition("://")
        if scheme != "rdpeer" or not rest:
            raise ValueError("not a server link (rdpeer://host?key=KEY)")
        place, _, query = rest.partition("?")
        server = ServerAddress.parse(unquote(place.rstrip("/")))
        fields = _link_fields(query, {"key", "relay"})
        relay = fields.get("relay")
        return cls(
            server,
            ServerKey(fields["key"]) if fields.get("key") else None,
            ServerAddress.parse_relay(relay, server.plain.port) if relay else None,
        )

    def __str__(self) -> str:
        return f"rdpeer://{self.server.short()}{self.query}"

    @property
    def query(self) -> str:
        """``?key=...&relay=...``, or nothing; also what follows ``ID@host``."""
        parts = []
        if self.key:
            parts.append("key=" + quote(self.key.text, safe="+/="))
        if self.relay:
            parts.append("relay=" + self.relay.short(self.server.plain.port + 1))
        return "?" + "&".join(parts) if parts else ""


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Whom to reach: an ID, and what may be typed around it.

    ``ID/r`` (relay only) and ``ID@host[:port]?key=KEY`` (another server than the
    configured one) are what users of the stock client type (docs/PROTOCOL.md 9.2).
    """

    peer: PeerId
    force_relay: bool = False
    link: ServerLink | None = None

    @classmethod
    def parse(cls, typed: str) -> Self:
        name, at, place = typed.strip().partition("@")
        force_relay = name.endswith(("/r", "\\r"))
        peer = PeerId.parse(name[:-2] if force_relay else name)
        return cls(peer, force_relay, ServerLink.parse("rdpeer://" + place) if at else None)


def _link_fields(query: str, known: set[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        value = unquote(value)
        if not equals or name not in known or name in fields or not value.isprintable():
            raise ValueError(f"cannot read {printable(part)!r} in the server link")
        fields[name] = value
    return fields
