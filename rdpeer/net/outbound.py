"""How connections leave this machine: over which family of addresses, through which proxy, trusting whom.

It is the same for everything that one command does towards its servers, and
whatever does not ask would leak past a proxy. So it is not handed from call to
call: the command line says it once (:func:`use`), and all that dial a server
obey. Targets of ``listen --to`` are not reached through here.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import quote, unquote

from rdpeer.values import Family, ServerAddress, join_host_port, split_host_port

_SCHEMES = {"socks5": "socks5", "socks5h": "socks5", "http": "http"}
_PORTS = {"socks5": 1080, "http": 80}


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """What carries connections on: ``socks5://`` or ``http://``, perhaps with a user and a password.

    Names are resolved by the proxy, so ``socks5h://``, as curl has it, is the same.
    """

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``scheme://[user:password@]host[:port]``, or ``host:port`` for SOCKS5."""
        scheme, separator, rest = text.strip().rpartition("://")
        scheme = _SCHEMES.get(scheme.lower(), "") if separator else "socks5"
        if not scheme:
            raise ValueError("not a proxy (socks5://host[:port] or http://host[:port])")
        credentials, at, place = rest.rstrip("/").rpartition("@")
        user, _, password = credentials.partition(":")
        if at and not user:
            raise ValueError("no user before the @ of the proxy")
        host, port = split_host_port(place)
        server = ServerAddress(host.lower(), _PORTS[scheme] if port is None else port)
        proxy = cls(scheme, server.host, server.port, unquote(user), unquote(password))
        try:
            longest = max(len(proxy.user.encode()), len(proxy.password.encode()))
        except UnicodeEncodeError:
            raise ValueError("a proxy's user and password are not valid text") from None
        if longest > 255 or ":" in proxy.user:
            raise ValueError("a proxy's user and password have at most 255 bytes, the user no colon")
        return proxy

    @property
    def address(self) -> ServerAddress:
        return ServerAddress(self.host, self.port)

    def __str__(self) -> str:
        """As it may be shown: without the password."""
        user = quote(self.user, safe="") + "@" if self.user else ""
        return f"{self.scheme}://{user}{join_host_port(self.host, self.port)}"


@dataclass(frozen=True, slots=True)
class Outbound:
    """``proxy`` carries every connection; no datagram leaves beside it. ``ca_file``: certificates to trust
    in place of the system's."""

    family: Family = Family.ANY
    proxy: ProxyAddress | None = None
    ca_file: str | None = None


_DIRECT = Outbound()
_CURRENT = ContextVar("outbound", default=_DIRECT)


def use(outbound: Outbound) -> Token[Outbound]:
    """From here on, in this context and the tasks that it starts."""
    return _CURRENT.set(outbound)


def restore(token: Token[Outbound]) -> None:
    """Takes a :func:`use` back."""
    _CURRENT.reset(token)


def outbound() -> Outbound:
    """What is in force."""
    return _CURRENT.get()
