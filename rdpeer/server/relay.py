"""The relay: pairs legs by their tokens, then moves raw bytes between them (docs/PROTOCOL.md 9.5).

Nothing is answered to a leg: the first bytes that it gets are the other leg's.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from typing import NamedTuple

from rdpeer.net.connections import Connection
from rdpeer.net.ports import ServerPorts
from rdpeer.net.pump import Pump, join
from rdpeer.server.limits import MAX_FRAME
from rdpeer.server.pairing import Pairing
from rdpeer.server.reception import Reception

log = logging.getLogger(__name__)


class _Parked(NamedTuple):
    connection: Connection
    over: asyncio.Future[None]
    """Done when its pair has ended, or when nobody came for it."""


class Relay:
    """Drives the pairing and the pump."""

    def __init__(self, pairing: Pairing, pump: Pump, reception: Reception) -> None:
        self._pairing = pairing
        self._pump = pump
        self._reception = reception
        self._parked: dict[int, _Parked] = {}

    def services(self, ports: ServerPorts) -> Iterable[Coroutine[None, None, None]]:
        """What is to run, each until it is cancelled."""
        for listener in ports.relay:
            yield self._reception.run(listener, self._serve)

    @property
    def parked(self) -> int:
        """How many legs wait for their other one."""
        return len(self._parked)

    def sweep(self, now: float) -> None:
        """Ends the parked legs that nobody came for."""
        for leg in self._pairing.overdue(now):
            parked = self._parked.pop(leg)
            log.info("relay: %s: the other leg did not come", parked.connection.remote)
            parked.over.set_result(None)

    async def _serve(self, leg: int, connection: Connection) -> None:
        payload = await connection.receive(MAX_FRAME)
        if payload is None:
            return
        loop = asyncio.get_running_loop()
        other = self._pairing.arrive(leg, payload, loop.time())
        self._reception.admission.settle(leg)
        if other is None:
            over = loop.create_future()
            self._parked[leg] = _Parked(connection, over)
            await over
        else:
            await self._join(self._parked.pop(other), connection)

    async def _join(self, first: _Parked, second: Connection) -> None:
        log.info("relay: %s and %s: joined", first.connection.remote, second.remote)
        try:
            carried = await join(self._pump, first.connection, second)
            log.info("relay: %s and %s: ended, %d bytes", first.connection.remote, second.remote, carried)
        finally:
            if not first.over.done():
                first.over.set_result(None)
