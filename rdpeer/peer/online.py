"""Which peers are online."""

from __future__ import annotations

from collections.abc import Sequence

from rdpeer.net.driver import converse
from rdpeer.peer.setup import rendezvous_server, within
from rdpeer.protocol.online import OnlineQuery
from rdpeer.settings import Settings
from rdpeer.values import PeerAddress, PeerId, ServerAddress


async def online(settings: Settings, peers: Sequence[PeerAddress]) -> list[tuple[PeerId, bool]]:
    """Each of ``peers``, in their order, and whether its server has heard of it in the last 30 s.

    A server is asked once for all of its peers. Raises UsageError where none is
    set, what OnlineQuery fails with, and DeadlineExceeded.
    """
    asked: dict[ServerAddress, list[PeerId]] = {}
    for peer in peers:
        asked.setdefault(_server_of(settings, peer), []).append(peer.peer)
    states: dict[tuple[ServerAddress, PeerId], bool] = {}
    async with within(settings.timeout):
        for server, ids in asked.items():
            answer: list[bool] = (await converse(OnlineQuery(server, ids))).value
            states.update(zip([(server, peer) for peer in ids], answer, strict=True))
    return [(peer.peer, states[_server_of(settings, peer), peer.peer]) for peer in peers]


def _server_of(settings: Settings, peer: PeerAddress) -> ServerAddress:
    return rendezvous_server(settings.at(peer)).address
