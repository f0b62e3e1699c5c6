"""What a server does in time: three minutes of waiting."""

from __future__ import annotations

import asyncio

from rdpeer.server.compare import WITHIN, Case, Side
from rdpeer.server.compare_cases.common import LONG, QUERY, RELAY, Message, arrive
from rdpeer.wire import rendezvous_pb2 as wire


async def peer_that_falls_silent(side: Side) -> None:
    """B says nothing for 31 seconds, and is asked for."""
    await side.registered()
    await asyncio.sleep(31)
    asker, other = await side.tcp("A"), await side.tcp("A again", QUERY)
    side.say(asker, side.punch())
    await side.hears(asker)
    side.say(other, Message(online_request=wire.OnlineRequest(id="x", peers=[side.peer])))
    await side.hears(other)


async def silent_connections(side: Side) -> None:
    """Connections that say nothing, on the rendezvous port after a first request."""
    asked = await side.tcp("who asked")
    silent = [asked, await side.tcp("who did not", QUERY), await side.tcp("a leg", RELAY)]
    side.say(asked, side.punch(id="nobody-there"))
    await side.hears(asked)
    for asker in silent:
        await side.hears(asker, LONG)


async def parked_leg(side: Side) -> None:
    """A leg whose other one does not come."""
    leg = await side.tcp("a leg", RELAY)
    side.say(leg, side.relay())
    await side.hears_raw(leg, 1, LONG)


async def registration_after_a_refusal(side: Side) -> None:
    """The same ID four times without a pause, and then each four seconds."""
    peer = await side.udp("B")
    for pause in (0, 0, 0, 0, 4, 4):
        await asyncio.sleep(pause)
        side.say(peer, side.register_pk())
        await side.hears(peer)


async def idle_pair(side: Side) -> None:
    """Two legs that are joined and say nothing more."""
    one, two = await side.tcp("one leg", RELAY), await side.tcp("the other leg", RELAY)
    for leg in (one, two):
        await arrive(side, leg, side.relay())
    one.send_raw(b"joined")
    await side.hears_raw(two, 6)
    await side.hears_raw(two, 1, LONG)


async def silent_websocket(side: Side) -> None:
    """A WebSocket that says nothing."""
    asker = await side.web("A")
    await side.hears(asker, LONG)


async def registration_of_many(side: Side) -> None:
    """Thirty IDs from one address without a pause, and one more."""
    peer = await side.udp("B")
    for number in range(30):
        peer.send(side.register_pk(id=f"{side.peer}-{number}").SerializeToString())
        await peer.hear(WITHIN)
    side.say(peer, side.register_pk())
    await side.hears(peer)


CASES: tuple[Case, ...] = (
    peer_that_falls_silent,
    silent_connections,
    parked_leg,
    registration_after_a_refusal,
    idle_pair,
    silent_websocket,
    registration_of_many,
)
