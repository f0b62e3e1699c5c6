"""Two connections made into one: raw bytes both ways, each direction ending by itself.

The bytes are moved by a pump: splice where the system has it, else a copy
through this process. Neither holds more than one piece a direction: a reader
that is slow slows its writer, by the windows of TCP.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Literal, Protocol

from rdpeer.net.budget import Meter
from rdpeer.net.connections import Connection

PumpName = Literal["auto", "splice", "copy"]

_PIECE = 256 * 1024
_LOOK_AFTER = 30.0


class Pump(Protocol):
    async def carry(self, source: socket.socket, sink: socket.socket, meter: Meter) -> None:
        """Everything from ``source`` to its end, as fast as ``meter`` allows, and told to it. OSError where
        either side breaks."""

    def close(self) -> None:
        """When nothing is carried any more."""


class CopyPump:
    """Works everywhere."""

    async def carry(self, source: socket.socket, sink: socket.socket, meter: Meter) -> None:
        loop = asyncio.get_running_loop()
        while piece := await loop.sock_recv(source, meter.piece(_PIECE)):
            await meter.spend(len(piece))
            await loop.sock_sendall(sink, piece)
            await asyncio.sleep(0)  # a busy pair leaves the others their turn

    def close(self) -> None:
        """There is nothing to close."""


def make_pump(name: PumpName = "auto") -> Pump:
    """The fastest one that this system has, or the one named, so that tests try each."""
    if name == "copy" or (name == "auto" and not hasattr(os, "splice")):
        return CopyPump()
    from rdpeer.net.splice import SplicePump

    return SplicePump()


async def join(pump: Pump, left: Connection, right: Connection, meter: Meter) -> None:
    """Until both directions have ended, or one side is broken.

    The end of one direction is passed on, and the other goes on. Afterwards both are to be closed.
    """
    ways = [asyncio.create_task(_one_way(pump, *legs, meter)) for legs in ((left, right), (right, left))]
    running = set(ways)
    try:
        while running and not any(leg.is_broken for leg in (left, right)):
            ended, running = await asyncio.wait(
                running, timeout=_LOOK_AFTER, return_when=asyncio.FIRST_COMPLETED
            )
            if any(way.exception() for way in ended):
                break
    finally:
        for way in running:
            way.cancel()
        results = await asyncio.gather(*ways, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, OSError):
            raise result  # not a broken connection: a bug


async def _one_way(pump: Pump, source: Connection, sink: Connection, meter: Meter) -> None:
    await pump.carry(source.socket, sink.socket, meter)
    sink.end()
