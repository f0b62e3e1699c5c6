"""Candidates: where an end may be reached without the relay, and which of the other's are tried.

What a peer names is the word of somebody who has been authenticated, and still only a word:
it is not to make us knock at our own services, at our neighbours, or at a thousand hosts
(docs/CHANNEL.md 6.1 has the rules, 6.2 the reasons).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from rdpeer.crypto.move_key import NONCE_BYTES
from rdpeer.errors import RemoteProtocolError
from rdpeer.values import Endpoint, Family
from rdpeer.wire import channel_pb2 as pb
from rdpeer.wire.messages import parse

MOST_CANDIDATES = 8

Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network

_PRIVATE = [
    ipaddress.ip_network(subnet)
    for subnet in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
]
_GLOBAL_V6 = ipaddress.ip_network("2000::/3")
_NEVER_V4 = [
    ipaddress.ip_network(subnet) for subnet in ("0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
]


class Transport(IntEnum):
    """What is spoken at a candidate; the numbers are the wire's."""

    UDP = 1
    TCP = 2


@dataclass(frozen=True, slots=True)
class Candidate:
    transport: Transport
    endpoint: Endpoint

    def __str__(self) -> str:
        return f"{self.endpoint} {self.transport.name.lower()}"


@dataclass(frozen=True, slots=True)
class Candidates:
    """What one end says of itself; ``nonce`` is its part of the move key."""

    nonce: bytes
    candidates: tuple[Candidate, ...]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where this end is."""

    loopback: bool
    """The relay was reached over it: the other end may be on this machine."""
    subnets: tuple[Subnet, ...]
    """Those that it is attached to."""
    family: Family = Family.ANY
    """The addresses that may be used at all."""

    def is_usable(self, endpoint: Endpoint) -> bool:
        """Whether anybody else could be asked to come to ``endpoint`` of ours."""
        address = endpoint.address
        if not self.family.allows(endpoint):
            return False
        if address.is_loopback:
            return self.loopback
        if address.version == 6:
            return address in _GLOBAL_V6 or address in _PRIVATE[-1]
        return not any(address in subnet for subnet in _NEVER_V4)

    def may_try(self, endpoint: Endpoint) -> bool:
        """Whether packets may be sent to ``endpoint`` because a peer says that it is there."""
        if not self.is_usable(endpoint):
            return False
        address = endpoint.address
        attached = [subnet for subnet in self.subnets if address in subnet]
        if any(_is_edge(address, subnet) for subnet in attached):
            return False
        return bool(attached) or not any(address in subnet for subnet in _PRIVATE)


def chosen(found: Iterable[Candidate], surroundings: Surroundings) -> tuple[Candidate, ...]:
    """Of our own, those to offer: usable, none twice, the first MOST_CANDIDATES."""
    usable = dict.fromkeys(one for one in found if surroundings.is_usable(one.endpoint))
    return tuple(usable)[:MOST_CANDIDATES]


def targets(
    theirs: Sequence[Candidate],
    transport: Transport,
    surroundings: Surroundings,
    seen: Endpoint | None = None,
) -> list[Endpoint]:
    """Which of the other end's candidates to try by ``transport``, in its order.

    ``seen``: where the server saw it. For UDP that address is tried with the ports of its candidates,
    too, behind them: many NATs keep a port.
    """
    offered = [one.endpoint for one in theirs if one.transport is transport]
    if seen is not None and transport is Transport.UDP:
        offered += [Endpoint(seen.ip, one.port) for one in offered if one.is_v6 == seen.is_v6]
    return [endpoint for endpoint in dict.fromkeys(offered) if surroundings.may_try(endpoint)]


def write_candidates(said: Candidates) -> pb.Candidates:
    """The body of CANDIDATES."""
    return pb.Candidates(
        nonce=said.nonce,
        candidates=[
            pb.Candidate(
                transport=pb.Candidate.Transport.ValueType(one.transport),
                ip=one.endpoint.address.packed,
                port=one.endpoint.port,
            )
            for one in said.candidates
        ],
    )


def read_candidates(body: bytes) -> Candidates:
    """What the other end says. Transports of a later version are left out.

    RemoteProtocolError for more than MOST_CANDIDATES, and for what is no nonce or no endpoint.
    """
    message = parse(pb.Candidates, body)
    if len(message.nonce) != NONCE_BYTES:
        raise RemoteProtocolError(f"candidates with a nonce of {len(message.nonce)} bytes")
    if len(message.candidates) > MOST_CANDIDATES:
        raise RemoteProtocolError(f"{len(message.candidates)} candidates")
    known = [one for one in message.candidates if int(one.transport) in set(Transport)]
    return Candidates(message.nonce, tuple(map(_read, known)))


def _read(message: pb.Candidate) -> Candidate:
    if len(message.ip) not in (4, 16) or not 0 < message.port < 65536:
        raise RemoteProtocolError(f"a candidate of {len(message.ip)} bytes at port {message.port}")
    endpoint = Endpoint.of((str(ipaddress.ip_address(message.ip)), message.port))
    return Candidate(Transport(message.transport), endpoint)


def _is_edge(address: ipaddress.IPv4Address | ipaddress.IPv6Address, subnet: Subnet) -> bool:
    """The broadcast address of an attached subnet, or the one that names it."""
    if subnet.version == 6 or subnet.prefixlen > 30:
        return False
    return address in (subnet.network_address, subnet.broadcast_address)
