"""By WebSocket (docs/PROTOCOL.md 6)."""

from __future__ import annotations

import asyncio

from rdpeer.server.compare import Case, Side
from rdpeer.server.compare_cases.common import APART, RELAY, WEB_RELAY, Message, arrive
from rdpeer.wire import rendezvous_pb2 as wire


async def connecting_by_websocket(side: Side) -> None:
    """A punches by WebSocket, perhaps from B's own address."""
    peer, asker = await side.registered(), await side.web("A")
    side.say(asker, side.punch(nat_type=wire.ASYMMETRIC))
    await side.hears(peer)


async def online_query_by_websocket(side: Side) -> None:
    """Who is online, asked by WebSocket."""
    asker = await side.web("A")
    side.say(asker, Message(online_request=wire.OnlineRequest(id="x", peers=["nobody-there"])))
    await side.hears(asker)


async def registration_by_websocket(side: Side) -> None:
    """RegisterPk by WebSocket."""
    asker = await side.web("B")
    side.say(asker, side.register_pk())
    await side.hears(asker)
    await side.hears(asker)


async def nothing_by_websocket(side: Side) -> None:
    """An empty message by WebSocket."""
    asker = await side.web("A")
    side.say(asker, b"", "an empty message")
    await side.hears(asker)


async def relayed_by_websocket(side: Side) -> None:
    """One leg by WebSocket and one by TCP: a message is a frame."""
    one, two = await side.web("one leg", WEB_RELAY), await side.tcp("the other leg", RELAY)
    side.say(one, side.relay())
    await asyncio.sleep(APART)
    await arrive(side, two, side.relay())
    for here, there in ((one, two), (two, one)):
        side.say(here, Message(test_nat_request=wire.TestNatRequest()))
        await side.hears(there)


CASES: tuple[Case, ...] = (
    connecting_by_websocket,
    online_query_by_websocket,
    registration_by_websocket,
    nothing_by_websocket,
    relayed_by_websocket,
)
