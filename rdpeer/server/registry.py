"""Who is known, and who of them is online.

What a peer registered (ID, uuid, key, IP) is on the disk before it counts;
where it is now, and since when, is in memory only: after a restart every peer
comes back within one keep-alive.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from rdpeer.server.limits import OFFLINE_AFTER
from rdpeer.values import PeerId

MAX_UUID = 128
PK_BYTES = 32


class Line(NamedTuple):
    """A connection of a peer that is registered over it: from where it comes, its number, what carries it."""

    ip: str
    port: int
    connection: int
    path: str = "tcp"


Sender = tuple[str, int] | tuple[str, int, int, int]
"""Of a datagram, as the socket functions return it."""

Source = Sender | Line
"""Where a peer is: where its datagrams come from, or its line. It is what an answer is sent to, and cheap
to compare."""


class Registration(NamedTuple):
    """What a peer registered. ``ip`` is its source's, as text. ``uuid`` is all that protects the ID
    (docs/PROTOCOL.md 9.1), unless it is ``proven``: then the key does (docs/CHANNEL.md 8)."""

    id: str
    uuid: bytes
    pk: bytes
    ip: str
    proven: bool = False


def fault(registration: Registration) -> str | None:
    """Why nobody may be registered like this, for people; None if he may.

    ``uuid`` has 1 to 128 bytes, ``pk`` 32, and the ID is a PeerId's.
    """
    try:
        PeerId(registration.id)
    except ValueError as error:
        return str(error)
    if not 0 < len(registration.uuid) <= MAX_UUID:
        return f"a uuid of {len(registration.uuid)} bytes"
    if len(registration.pk) != PK_BYTES:
        return f"a key of {len(registration.pk)} bytes"
    return None


def neighbourhood(ip: str) -> str:
    """The /24 around an IPv4 address, as the socket functions have it; the /56 around an IPv6 one."""
    if ":" not in ip:
        return ip.rpartition(".")[0]
    return f"{int(ipaddress.IPv6Address(ip.partition('%')[0])) >> 72:x}::/56"


class Peer:
    """A known peer. ``source`` is where it was last heard from, None before that; ``via`` is the number
    of our socket that heard it, the only one that its NAT lets through."""

    __slots__ = ("registration", "seen", "source", "via")

    def __init__(self, registration: Registration) -> None:
        self.registration = registration
        self.source: Source | None = None
        self.via = 0
        self.seen = 0.0

    def heard(self, source: Source, via: int, now: float) -> None:
        self.source = source
        self.via = via
        self.seen = now

    def forget(self) -> None:
        """It is offline until it is heard again."""
        self.source = None

    def is_online(self, now: float) -> bool:
        return self.source is not None and now - self.seen < OFFLINE_AFTER


class Registry:
    """The known peers by ID, and how many of them each neighbourhood has: ``rdpeer.server.presence.Presence``
    in memory."""

    get: Callable[[str], Peer | None]
    """The dictionary's own: this is asked for each datagram."""

    def __init__(self, registrations: Iterable[Registration] = ()) -> None:
        self._peers = {registration.id: Peer(registration) for registration in registrations}
        self._neighbourhoods = Counter(neighbourhood(peer.registration.ip) for peer in self._peers.values())
        self.get = self._peers.get

    def __len__(self) -> int:
        return len(self._peers)

    def all(self) -> list[Peer]:
        return list(self._peers.values())

    def online(self, peer_id: str, now: float) -> Peer | None:
        peer = self._peers.get(peer_id)
        return peer if peer is not None and peer.is_online(now) else None

    def is_inhabited(self, neighbourhood: str) -> bool:
        return neighbourhood in self._neighbourhoods

    def save(self, registration: Registration) -> Peer:
        """A new peer, or new facts about a known one."""
        peer = self._peers.get(registration.id)
        if peer is None:
            peer = self._peers[registration.id] = Peer(registration)
        else:
            self._move_out(peer)
            peer.registration = registration
        self._neighbourhoods[neighbourhood(registration.ip)] += 1
        return peer

    def remove(self, peer_id: str) -> bool:
        """Forgets a peer; False if it is not known."""
        peer = self._peers.pop(peer_id, None)
        if peer is not None:
            self._move_out(peer)
        return peer is not None

    def _move_out(self, peer: Peer) -> None:
        place = neighbourhood(peer.registration.ip)
        self._neighbourhoods[place] -= 1
        if not self._neighbourhoods[place]:
            del self._neighbourhoods[place]
