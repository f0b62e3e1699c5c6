"""What the NAT in front of us does with our ports."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum

from rdpeer.errors import NoPath
from rdpeer.net.driver import converse
from rdpeer.net.gathering import datagram_socket
from rdpeer.net.stun import reflexive
from rdpeer.peer.setup import reflectors_of, rendezvous_server, why_relayed, within
from rdpeer.protocol.nat import Mapping, Nat, NatProbe
from rdpeer.settings import Settings
from rdpeer.values import Endpoint, ServerAddress


class Situation(StrEnum):
    """What a Nat comes to, for people; what it means is that of docs/PROTOCOL.md 2.7."""

    OPEN = "open"
    CONE = "cone"
    SYMMETRIC = "symmetric"
    UNKNOWN = "unknown"

    @staticmethod
    def of(nat: Nat) -> Situation:
        match nat.mapping:
            case Mapping.SYMMETRIC:
                return Situation.SYMMETRIC
            case Mapping.UNKNOWN:
                return Situation.UNKNOWN
            case _:
                return Situation.OPEN if nat.translates is False else Situation.CONE

    @property
    def mapping(self) -> str:
        """What happens to our ports."""
        return _MAPPINGS[self]

    @property
    def meaning(self) -> str:
        """To whom there can be direct paths. The same network is one whatever is in front of it."""
        return _MEANINGS[self]


_MAPPINGS = {
    Situation.OPEN: "no NAT: the server sees our own address",
    Situation.CONE: "one external port, whatever the destination",
    Situation.SYMMETRIC: "a new external port for each destination",
    Situation.UNKNOWN: "the server did not tell enough",
}

_MEANINGS = {
    Situation.OPEN: "with any peer, where no firewall is in the way",
    Situation.CONE: "with peers that are open or behind a cone; the relay carries the rest",
    Situation.SYMMETRIC: "with peers that are open; the relay carries the rest",
    Situation.UNKNOWN: "each is tried; where none comes about, the relay carries the bytes",
}


@dataclass(frozen=True, slots=True)
class View:
    """What others see of us: of TCP connections in ``tcp``; of a datagram socket, each endpoint that a
    server sees it at in ``udp``, the same one once. ``udp_port`` is that socket's own."""

    tcp: Nat
    udp: tuple[Endpoint, ...]
    udp_port: int


async def nat(settings: Settings) -> View:
    """As the server that is set sees it, and, by UDP, the STUN server that is set.

    Raises UsageError where no server is set, NoPath where it is not reached directly,
    DeadlineExceeded, and what :func:`probe` raises.
    """
    server = rendezvous_server(settings)
    if reason := why_relayed(server):
        raise NoPath(f"no direct path, whatever the NAT does: {reason}")
    async with within(settings.timeout):
        return View(await probe(server.address), *await _by_udp(reflectors_of(server, settings.stun)))


async def _by_udp(reflectors: Sequence[ServerAddress]) -> tuple[tuple[Endpoint, ...], int]:
    """One socket asks each, so that a NAT with a port for each destination shows. IPv6 has none."""
    with closing(datagram_socket(v6=False)) as sock:
        seen = [await reflexive(sock, [reflector]) for reflector in reflectors]
        return tuple(dict.fromkeys(filter(None, seen))), sock.getsockname()[1]


async def probe(server: ServerAddress) -> Nat:
    """As the rendezvous server at ``server`` sees it; its mapping is UNKNOWN where that does not tell.

    Raises ServerUnreachable, and RemoteProtocolError for what is no frame (a stock server's second port
    is a text console to whoever comes from loopback).
    """
    found: Nat = (await converse(NatProbe(server))).value
    return found
