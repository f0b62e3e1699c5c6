"""What the NAT in front of us does with our ports."""

from __future__ import annotations

from enum import StrEnum

from rdpeer.net.driver import converse
from rdpeer.peer.setup import rendezvous_server, within
from rdpeer.protocol.nat import Mapping, Nat, NatProbe
from rdpeer.settings import Settings
from rdpeer.values import ServerAddress


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


async def nat(settings: Settings) -> Nat:
    """As the server that is set sees it.

    Raises UsageError where none is set, DeadlineExceeded, and what :func:`probe` raises.
    """
    async with within(settings.timeout):
        return await probe(rendezvous_server(settings).address)


async def probe(server: ServerAddress) -> Nat:
    """As the rendezvous server at ``server`` sees it; its mapping is UNKNOWN where that does not tell.

    Raises ServerUnreachable, and RemoteProtocolError for what is no frame (a stock server's second port
    is a text console to whoever comes from loopback).
    """
    found: Nat = (await converse(NatProbe(server))).value
    return found
