"""The nouns that travel everywhere: peer IDs, endpoints, server addresses, keys.

All of them are frozen and valid by construction: a ``parse`` takes what a
person typed or a server sent and raises :class:`ValueError` with one line that
says what is wrong; the edge turns that into the error of its side.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Self
from urllib.parse import quote, unquote

BASE_PORT = 21116
"""The rendezvous server's port; NAT test and online query are one below, the relay one above."""

RENDEZVOUS_PATH = "/ws/id"
RELAY_PATH = "/ws/relay"
"""Where a reverse proxy has a server's two WebSockets (docs/PROTOCOL.md 6)."""

_WEB_PORTS = {"ws": 80, "wss": 443}
_WEB_OFFSET = 2  # a server's own WebSocket ports are two above its TCP ports
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_DOTTED_QUAD = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}")
_PEER_ID_MIN, _PEER_ID_MAX = 6, 100
_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")


def printable(text: str, limit: int = 200) -> str:
    """``text`` from the network made fit for a terminal: control, format, private-use and
    line characters replaced by ``?``, at most ``limit`` characters with ``...`` behind what was cut."""
    clean = "".join("?" if unicodedata.category(c)[0] in "CZ" and c != " " else c for c in text[:limit])
    return clean + ("..." if len(text) > limit else "")


@dataclass(frozen=True, slots=True)
class PeerId:
    """A peer's ID, exactly as registered: 6 to 100 printable characters, no space (docs/PROTOCOL.md 9.2)."""

    text: str

    def __post_init__(self) -> None:
        if not _PEER_ID_MIN <= len(self.text) <= _PEER_ID_MAX:
            raise ValueError(f"a peer ID has {_PEER_ID_MIN} to {_PEER_ID_MAX} characters")
        if any(unicodedata.category(c)[0] in "CZ" for c in self.text):
            raise ValueError("a peer ID has no spaces and no control characters")

    @classmethod
    def parse(cls, typed: str) -> Self:
        """From what a person or another program typed.

        Groups of digits may be separated by spaces (``612 345 678``). OpenSSH
        fills ``%h`` with a dotted quad where the host is a number below 2**32
        (``123456789`` becomes ``7.91.205.21``): that quad is read as the number.
        """
        typed = typed.strip()
        compact = typed.replace(" ", "")
        if compact.isascii() and compact.isdigit():
            typed = compact
        if _DOTTED_QUAD.fullmatch(typed) and all(int(part) < 256 for part in typed.split(".")):
            typed = str(int(ipaddress.IPv4Address(typed)))
        return cls(typed)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """An IP address (canonical text) and a port, 0 to 65535; port 0 means that there is none."""

    ip: str
    port: int

    @classmethod
    def of(cls, sockaddr: tuple[str, int] | tuple[str, int, int] | tuple[str, int, int, int]) -> Self:
        """From what the socket functions return: a scope is dropped, a v4-mapped v6 address becomes v4."""
        address = ipaddress.ip_address(sockaddr[0].partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
            address = address.ipv4_mapped
        return cls(str(address), sockaddr[1])

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``1.2.3.4:80`` or ``[::1]:80``."""
        host, port = split_host_port(text)
        if port is None:
            raise ValueError(f"no port in {text!r}")
        return cls(str(ipaddress.ip_address(host)), port)

    @property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        return ipaddress.ip_address(self.ip)

    @property
    def is_v6(self) -> bool:
        return ":" in self.ip

    def __str__(self) -> str:
        return join_host_port(self.ip, self.port)


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server is: a host name or IP literal, and a port (1 to 65535)."""

    host: str
    port: int = BASE_PORT

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            try:
                ipaddress.ip_address(self.host)
            except ValueError:
                raise ValueError(f"not a host name or IP address: {printable(self.host)!r}") from None
        if not 0 < self.port < 65536:
            raise ValueError(f"not a port: {self.port}")

    @staticmethod
    def parse(text: str, default_port: int = BASE_PORT) -> ServerAddress:
        """From ``host``, ``host:port``, ``[v6]``, ``[v6]:port``, a bare v6 literal, or what WebAddress
        reads; lowercased."""
        if "://" in text:
            return WebAddress.parse_url(text)
        return ServerAddress(*_host_and_port(text.strip(), default_port))

    @staticmethod
    def parse_relay(text: str, base: int = BASE_PORT) -> ServerAddress:
        """The same for a relay; its default port is the one above ``base``."""
        if "://" in text:
            return WebAddress.parse_url(text, RELAY_PATH)
        return ServerAddress.parse(text, base + 1)

    @classmethod
    def parse_target(cls, text: str) -> Self:
        """From ``host:port`` or ``[v6]:port``: a target always has its port; lowercased."""
        host, port = split_host_port(text.strip())
        if port is None:
            raise ValueError(f"no port in {printable(text)!r}")
        return cls(host.lower(), port)

    def offset(self, by: int) -> ServerAddress:
        """The same host, ``by`` ports further: +1 is the relay, -1 the NAT test (docs/PROTOCOL.md 0)."""
        return ServerAddress(self.host, self.port + by)

    @property
    def plain(self) -> ServerAddress:
        """The server's TCP port: what messages on the wire call it by."""
        return self

    @property
    def is_loopback(self) -> bool:
        """True for ``localhost`` and loopback literals; a name that resolves to one does not count."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def short(self, default_port: int = BASE_PORT) -> str:
        """The host alone where the port is the default one, else ``host:port``; a v6 literal bracketed."""
        if self.port != default_port:
            return str(self)
        return f"[{self.host}]" if ":" in self.host else self.host

    def __str__(self) -> str:
        return join_host_port(self.host, self.port)


@dataclass(frozen=True, slots=True)
class WebAddress(ServerAddress):
    """A server's WebSocket (docs/PROTOCOL.md 6).

    Rendezvous and relay are two paths of one origin, ``/ws/id`` and ``/ws/relay``, as a reverse proxy
    has them. Only ``ws://host:port`` with no path is a server's own port: the relay's is the next one.
    """

    scheme: str = "wss"
    path: str = ""
    """Whole; empty for a server's own port."""

    def __post_init__(self) -> None:
        ServerAddress.__post_init__(self)
        if not _PATH.fullmatch(self.path):
            raise ValueError(f"not a path: {printable(self.path)!r}")

    @classmethod
    def of_relay(cls, relay: ServerAddress, scheme: str) -> Self:
        """Where stock looks for the WebSocket of a relay that is named by its TCP port: at an IP literal
        at its own port; at a name behind its reverse proxy."""
        try:
            ipaddress.ip_address(relay.host)
        except ValueError:
            return cls(relay.host, _WEB_PORTS[scheme], scheme, RELAY_PATH)
        return cls.beside(relay)

    @classmethod
    def beside(cls, relay: ServerAddress) -> Self:
        """A relay's own WebSocket port: two above its TCP port, without TLS."""
        return cls(relay.host, relay.port + _WEB_OFFSET, "ws")

    @classmethod
    def parse_url(cls, text: str, service: str = RENDEZVOUS_PATH) -> Self:
        """From ``ws://`` or ``wss://``, ``host[:port]`` and what stands before ``service`` in its path."""
        scheme, _, rest = text.strip().partition("://")
        scheme = scheme.lower()
        if scheme not in _WEB_PORTS:
            raise ValueError(f"not a server's address: {printable(text)!r} (HOST, ws:// or wss://)")
        place, slash, path = rest.partition("/")
        host, port = split_host_port(place)
        if scheme == "ws" and port not in (None, _WEB_PORTS["ws"]) and not slash:
            return cls(host.lower(), port, scheme)
        prefix = (slash + path).rstrip("/").removesuffix(RENDEZVOUS_PATH).removesuffix(RELAY_PATH)
        return cls(host.lower(), _WEB_PORTS[scheme] if port is None else port, scheme, prefix + service)

    def offset(self, by: int) -> ServerAddress:
        """+1 is the relay; what has a TCP port of its own below is asked here."""
        if by != 1:
            return self
        if not self.path:
            return WebAddress(self.host, self.port + 1, self.scheme)
        return WebAddress(
            self.host, self.port, self.scheme, self.path.removesuffix(RENDEZVOUS_PATH) + RELAY_PATH
        )

    @property
    def plain(self) -> ServerAddress:
        """As far as it can be told: what belongs to a server's own WebSocket port, or the usual one."""
        if not self.path and self.port > _WEB_OFFSET:
            return ServerAddress(self.host, self.port - _WEB_OFFSET)
        return ServerAddress(self.host, BASE_PORT + self.path.endswith(RELAY_PATH))

    @property
    def secure(self) -> bool:
        """True for ``wss``."""
        return self.scheme == "wss"

    def short(self, default_port: int = BASE_PORT) -> str:
        """As text that is read as this address again; ``/ws/id`` is said only where it has to be."""
        text = str(self).removesuffix(RENDEZVOUS_PATH)
        return text if WebAddress.parse_url(text) == self else str(self)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.path and self.port == _WEB_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.path}"


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A raw Ed25519 public key: 32 bytes, written as base64."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != 32:
            raise ValueError("an Ed25519 public key has 32 bytes")

    @classmethod
    def parse(cls, text: str) -> Self:
        """From base64 with or without padding."""
        text = text.strip().rstrip("=")
        try:
            return cls(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
        except (binascii.Error, ValueError):
            raise ValueError("not an Ed25519 public key (base64 of 32 bytes)") from None

    @property
    def text(self) -> str:
        return base64.b64encode(self.raw).decode()

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint(hashlib.sha256(self.raw).digest())

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """SHA-256 of a raw public key, written as ssh does: ``SHA256:`` and unpadded base64."""

    digest: bytes

    def __post_init__(self) -> None:
        if len(self.digest) != 32:
            raise ValueError("a fingerprint has 32 bytes")

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``SHA256:...``, whole: a shortened fingerprint is refused."""
        name, _, value = text.strip().partition(":")
        try:
            if name != "SHA256":
                raise ValueError
            return cls(base64.b64decode(value + "=" * (-len(value) % 4), validate=True))
        except (binascii.Error, ValueError):
            raise ValueError("not a fingerprint (SHA256: and 43 characters of base64)") from None

    def __str__(self) -> str:
        return "SHA256:" + base64.b64encode(self.digest).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class ServerKey:
    """A rendezvous server's key as it is configured: what is presented to it, and what it signs with.

    Usually base64 of an Ed25519 key. A server may also be started with any text
    (``hbbs -k TEXT``): then ``public`` is None, and it signs no peer's key
    (docs/PROTOCOL.md 3.1, 9.7).
    """

    text: str

    @property
    def public(self) -> PublicKey | None:
        try:
            key = PublicKey.parse(self.text)
        except ValueError:
            return None
        return key

    @property
    def label(self) -> str:
        """What may be shown of it: its fingerprint, or that it is a text (which works as a password)."""
        return str(self.public.fingerprint) if self.public else "a text key"

    def __str__(self) -> str:
        return self.text


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


class Family(StrEnum):
    """Which addresses of a name are used."""

    ANY = "any"
    V4 = "4"
    V6 = "6"

    def allows(self, endpoint: Endpoint) -> bool:
        return self is Family.ANY or endpoint.is_v6 == (self is Family.V6)


class PinPolicy(StrEnum):
    """What to do with a peer's key that is not pinned yet and that only the server vouches for."""

    ACCEPT_NEW = "accept-new"
    ASK = "ask"
    STRICT = "strict"


def split_host_port(text: str) -> tuple[str, int | None]:
    """``host``, ``host:port``, ``[v6]``, ``[v6]:port`` or a bare v6 literal, taken apart."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"not an address: {printable(text)!r}")
        port = rest[1:] if rest else None
    elif text.count(":") > 1:
        host, port = text, None
    else:
        host, colon, rest = text.partition(":")
        port = rest if colon else None
    if not host:
        raise ValueError(f"no host in {printable(text)!r}")
    if port is None:
        return host, None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 65536):
        raise ValueError(f"not a port: {printable(port)!r}")
    return host, int(port)


def _host_and_port(text: str, default_port: int) -> tuple[str, int]:
    host, port = split_host_port(text)
    return host.lower(), default_port if port is None else port


def join_host_port(host: str, port: int) -> str:
    """``host:port`` with a v6 literal in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _link_fields(query: str, known: set[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if not equals or name not in known or name in fields:
            raise ValueError(f"cannot read {printable(part)!r} in the server link")
        fields[name] = unquote(value)
    return fields
