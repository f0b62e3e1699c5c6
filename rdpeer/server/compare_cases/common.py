"""What the cases share."""

from __future__ import annotations

import asyncio

from rdpeer.net.askers import TcpAsker
from rdpeer.server.compare import Side
from rdpeer.values import Endpoint
from rdpeer.wire import rendezvous_pb2 as wire

QUERY, RELAY = -1, 1
WEB_RELAY = 3
"""Ports, from the base on."""

APART = 0.1
LONG = 40.0
"""Seconds; a little more than hbbs and hbbr wait for anything."""

Message = wire.RendezvousMessage

HOME = Endpoint("192.168.77.7", 7777)


async def arrive(side: Side, leg: TcpAsker, request: Message) -> None:
    """One leg, some time before the next: hbbr misses two that come at the same instant (13)."""
    side.say(leg, request)
    await asyncio.sleep(APART)
