"""For whom a reverse proxy speaks: X-Forwarded-For, where a proxy that the operator trusts has written it."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from rdpeer.server.blocks import Blocks
from rdpeer.values import Endpoint


class TrustedProxies:
    """``networks`` are addresses and networks, as text; ValueError for what is neither."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self.set(networks)

    def set(self, networks: Iterable[str]) -> None:
        """These, and no others."""
        self._trusted = Blocks(str(ipaddress.ip_network(network)) for network in networks)

    def client(self, source: Endpoint, forwarded_for: str) -> Endpoint:
        """Who is behind a connection from ``source`` that brings this X-Forwarded-For.

        Each proxy adds, at the right end, whom it serves. So from there on the first entry that is no
        trusted proxy itself is the client; whatever is left of it may be his own invention. Where an
        entry cannot be read nobody knows what stands before it, and the last proxy is all that is known.
        The port is the source's: it keeps two clients of one address apart.
        """
        found = source
        for entry in reversed(forwarded_for.split(",")):
            if not self._trusted.has_ip(found.ip):
                break
            if (ip := _address(entry.strip())) is None:
                break
            found = Endpoint(ip, source.port)
        return found


def _address(entry: str) -> str | None:
    """``entry`` is an address, perhaps with a port behind it."""
    try:
        return Endpoint.of((entry, 0)).ip
    except ValueError:
        pass
    try:
        return Endpoint.of((Endpoint.parse(entry).ip, 0)).ip
    except ValueError:
        return None
