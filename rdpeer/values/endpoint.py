"""IP addresses and ports, and how they are written."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Self

from rdpeer.values.text import printable

_LITERAL = re.compile(r"[^%]*(?:%[A-Za-z0-9_.:@-]+)?")


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
        return cls(str(ip_literal(host)), port)

    @property
    def address(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
        return ipaddress.ip_address(self.ip)

    @property
    def is_v6(self) -> bool:
        return ":" in self.ip

    def __str__(self) -> str:
        return join_host_port(self.ip, self.port)


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


def join_host_port(host: str, port: int) -> str:
    """``host:port`` with a v6 literal in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def ip_literal(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IP address. The zone behind a ``%``, for which ipaddress takes any text, is an interface's name."""
    if not _LITERAL.fullmatch(text):
        raise ValueError(f"not an IP address: {printable(text)!r}")
    return ipaddress.ip_address(text)
