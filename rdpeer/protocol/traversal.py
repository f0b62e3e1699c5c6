"""By what a direct path to a peer may come about, and what nobody may make us knock at."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from enum import Enum, auto

from rdpeer.values import Endpoint

_GLOBAL_V6 = ipaddress.ip_network("2000::/3")

LISTENER = "peer"
"""The name of the listener that a conversation keeps, at the port that the server saw."""


class Kind(Enum):
    """What the initiator does with a candidate."""

    LOCAL = auto()
    """Dial it: it is on our side of the NAT."""
    PUNCH = auto()
    """Dial it from the port that the server saw, and take connections there (docs/PROTOCOL.md 2.7)."""
    AWAIT = auto()
    """It is that port of ours: the peer dials it."""
    UDP = auto()
    """Send datagrams to it, as the peer does to us, and connect by them (docs/PROTOCOL.md 2.1)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What may become a direct path."""

    kind: Kind
    endpoint: Endpoint


def may_dial(endpoint: Endpoint, server_ip: str | None) -> bool:
    """False for what no peer can be at: a lying server is not to make us knock at our own services.

    ``server_ip``: the address that the server was reached at; peers on loopback need a server there.
    """
    address = endpoint.address
    if not endpoint.port or address.is_multicast or address.is_unspecified:
        return False
    if isinstance(address, ipaddress.IPv4Address) and address.is_reserved:  # the broadcast address among them
        return False
    return not address.is_loopback or (server_ip is not None and ipaddress.ip_address(server_ip).is_loopback)


def may_meet_v6(endpoint: Endpoint | None, server_ip: str | None) -> bool:
    """True for an IPv6 address that a peer may be at, whichever network it is in."""
    if endpoint is None or not endpoint.is_v6 or not may_dial(endpoint, server_ip):
        return False
    return endpoint.address in _GLOBAL_V6 or endpoint.address.is_loopback
