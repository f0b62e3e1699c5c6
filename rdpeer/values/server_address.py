"""Where servers are: rendezvous, relay, and what else listens on TCP."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Self

from rdpeer.values.endpoint import ip_literal, join_host_port, split_host_port
from rdpeer.values.text import printable

BASE_PORT = 21116
"""The rendezvous server's port; NAT test and online query are one below, the relay one above."""

RENDEZVOUS_PATH = "/ws/id"
RELAY_PATH = "/ws/relay"
"""Where a reverse proxy has a server's two WebSockets (docs/PROTOCOL.md 6)."""

_WEB_PORTS = {"ws": 80, "wss": 443}
_WEB_OFFSET = 2  # a server's own WebSocket ports are two above its TCP ports
_PATH = re.compile(r"(?:/[A-Za-z0-9._~-]+)*")
_HOST = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where a server is: a host name or IP literal, and a port (1 to 65535)."""

    host: str
    port: int = BASE_PORT

    def __post_init__(self) -> None:
        if not _HOST.fullmatch(self.host):
            try:
                ip_literal(self.host)
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


def _host_and_port(text: str, default_port: int) -> tuple[str, int]:
    host, port = split_host_port(text)
    return host.lower(), default_port if port is None else port
