"""Finding peers on the local network (docs/PROTOCOL.md 8): a ping to everybody, a pong from each.

Nothing of it is proven: a pong says what its sender likes. So what is heard is
a hint where to look, never a reason to trust, and how much is kept of it is
bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

from rdpeer.errors import RemoteProtocolError
from rdpeer.protocol.bucket import Bucket
from rdpeer.values import BASE_PORT, Endpoint, PeerId, printable
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.messages import parse

PORT = BASE_PORT + 3
"""UDP, at each peer."""

MOST_FOUND = 1024
"""Answers kept; a flood fills them, and no more than them."""

_BURST, _RATE = 20, 5.0
_LONGEST_TEXT = 64  # a pong is one datagram, and a field is for people


@dataclass(frozen=True, slots=True)
class Card:
    """What a peer says of itself to whoever asks on its network. ``misc`` is free text, unused by stock."""

    peer: PeerId
    hostname: str
    username: str
    platform: str
    misc: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A peer that answered from ``ip``. ``mac`` is that of the interface towards us, empty where unknown."""

    card: Card
    ip: str
    mac: str


def ping() -> bytes:
    """The question."""
    return pb.RendezvousMessage(peer_discovery=pb.PeerDiscovery(cmd="ping")).SerializeToString()


class Answerer:
    """Answers pings with ``card``, at a rate that no crowd of people reaches."""

    def __init__(self, card: Card) -> None:
        self._card = card
        self._rate = Bucket(_BURST, _RATE)

    def is_asked(self, datagram: bytes, now: float) -> bool:
        """True for a ping that is to be answered: not our own, which may carry our ID."""
        question = _read(datagram, "ping")
        return question is not None and question.id != str(self._card.peer) and self._rate.take(now)

    def pong(self, mac: str) -> bytes:
        """The answer; ``mac`` as in Found."""
        card = self._card
        pong = pb.PeerDiscovery(
            cmd="pong",
            mac=mac,
            id=str(card.peer),
            username=card.username[:_LONGEST_TEXT],
            hostname=card.hostname[:_LONGEST_TEXT],
            platform=card.platform[:_LONGEST_TEXT],
            misc=card.misc[:_LONGEST_TEXT],
        )
        return pb.RendezvousMessage(peer_discovery=pong).SerializeToString()


class Census:
    """Who has answered so far, each ID once for each address."""

    def __init__(self) -> None:
        self._found: dict[tuple[PeerId, str], Found] = {}

    def hear(self, datagram: bytes, ip: str) -> None:
        """One datagram that came to the asker; what is no pong of a peer is passed over."""
        found = _found(datagram, ip)
        if found is not None and len(self._found) < MOST_FOUND:
            self._found.setdefault((found.card.peer, ip), found)

    @property
    def found(self) -> list[Found]:
        """In the order of their addresses. A peer of this machine may also have answered over loopback."""
        elsewhere = {found.card.peer for found in self._found.values() if not _is_loopback(found)}
        kept = (f for f in self._found.values() if not _is_loopback(f) or f.card.peer not in elsewhere)
        return sorted(kept, key=lambda found: (Endpoint(found.ip, 0).address.packed, str(found.card.peer)))


def _found(datagram: bytes, ip: str) -> Found | None:
    pong = _read(datagram, "pong")
    if pong is None:
        return None
    try:
        peer = PeerId(pong.id)
    except ValueError:
        return None
    hostname, username, platform, misc, mac = (
        printable(text, _LONGEST_TEXT)
        for text in (pong.hostname, pong.username, pong.platform, pong.misc, pong.mac)
    )
    return Found(Card(peer, hostname, username, platform, misc), ip, mac)


def _read(datagram: bytes, cmd: str) -> pb.PeerDiscovery | None:
    try:
        message = parse(pb.RendezvousMessage, datagram)
    except RemoteProtocolError:
        return None
    return message.peer_discovery if message.peer_discovery.cmd == cmd else None


def _is_loopback(found: Found) -> bool:
    return Endpoint(found.ip, 0).address.is_loopback
