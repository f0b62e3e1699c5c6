"""The relay: pairs legs by their tokens, then moves raw bytes between them (docs/PROTOCOL.md 9.5).

Nothing is answered to a leg: the first bytes that it gets are the other leg's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from rdpeer.errors import RemoteProtocolError
from rdpeer.net.budget import Budget, Meter
from rdpeer.net.connections import Connection
from rdpeer.net.ports import ServerPorts
from rdpeer.net.pump import Pump, join
from rdpeer.net.stream_connections import StreamConnection, framed, join_framed
from rdpeer.server.bandwidth import Bandwidth
from rdpeer.server.journal import Journal
from rdpeer.server.limits import MAX_FRAME
from rdpeer.server.pairing import Pairing, request_in
from rdpeer.server.reception import Reception


class _Parked(NamedTuple):
    connection: Connection
    id: str
    over: asyncio.Future[None]
    """Done when its pair has ended, or when nobody came for it."""


@dataclass(slots=True)
class Pair:
    """Two legs that are joined, since ``since`` in the loop's time."""

    first: Connection
    second: Connection
    id: str
    """Whom they said that they want; a responder need not say it."""

    since: float
    budget: Budget
    """Its own, beside that of all pairs."""
    meter: Meter
    last: float
    """When it was last seen that it had carried something."""
    rate: int = 0
    """Bytes in the last second."""
    seen: int = 0

    def look(self, now: float) -> None:
        """Called each second."""
        self.rate, self.seen = self.meter.carried - self.seen, self.meter.carried
        if self.rate:
            self.last = now

    def limit(self, bandwidth: Bandwidth) -> None:
        """It may carry so much from now on."""
        self.budget.change(bandwidth.of_pair(self.first.remote.ip, self.second.remote.ip))
        self.meter.adjust()

    def hang_up(self) -> None:
        self.first.hang_up()
        self.second.hang_up()


class Relay:
    """Drives the pairing and the pump. ``pairs`` are those that are joined."""

    def __init__(
        self, pairing: Pairing, pump: Pump, reception: Reception, bandwidth: Bandwidth, journal: Journal
    ) -> None:
        self.bandwidth = bandwidth
        """In force; changed by ``limit``."""
        self.pairs: dict[int, Pair] = {}
        self.carried = 0
        """Bytes of the pairs that have ended."""
        self._pairing = pairing
        self._pump = pump
        self._reception = reception
        self._journal = journal
        self._parked: dict[int, _Parked] = {}
        self._drained: asyncio.Event | None = None
        self._total = Budget(bandwidth.total)

    def services(self, ports: ServerPorts) -> Iterable[Coroutine[None, None, None]]:
        """What is to run, each until it is cancelled."""
        for listener in ports.relay:
            yield self._reception.run(listener, self.serve)

    @property
    def parked(self) -> int:
        """How many legs wait for their other one."""
        return len(self._parked)

    def limit(self, bandwidth: Bandwidth) -> None:
        """All pairs may carry so much from now on, those that are joined, too."""
        self.bandwidth = bandwidth
        self._total.change(bandwidth.total)
        for pair in self.pairs.values():
            pair.limit(bandwidth)

    async def drain(self) -> None:
        """Takes no legs from now on; returns when the last pair has ended."""
        self._drained = asyncio.Event()
        for parked in self._parked.values():
            parked.connection.hang_up()
        if self.pairs:
            await self._drained.wait()

    def sweep(self, now: float) -> None:
        """Called each second: ends parked legs that nobody came for, and pairs that are idle for too long."""
        for leg in self._pairing.overdue(now):
            parked = self._parked.pop(leg)
            self._refuse(parked.connection, parked.id, "the other one did not come")
            parked.over.set_result(None)
        idle = self.bandwidth.idle
        for pair in self.pairs.values():
            pair.look(now)
            if idle is not None and now - pair.last >= idle:
                pair.hang_up()

    async def serve(self, leg: int, connection: Connection) -> None:
        """One leg, from its request to its end."""
        payload = await connection.receive(MAX_FRAME)
        if payload is None or self._drained:
            return
        request, loop = request_in(payload), asyncio.get_running_loop()
        try:
            other = self._pairing.arrive(leg, request, loop.time())
        except RemoteProtocolError as error:
            self._refuse(connection, request.id, error)
            return
        self._reception.admission.settle(leg)
        if other is None:
            over = loop.create_future()
            self._parked[leg] = _Parked(connection, request.id, over)
            await self._wait(leg, over)
        else:
            parked = self._parked.pop(other)
            await self._join(other, leg, parked, connection, parked.id or request.id)

    async def _wait(self, leg: int, over: asyncio.Future[None]) -> None:
        """Until ``leg`` may be closed: its pair works with its descriptor to the end, also at a stop."""
        try:
            await asyncio.wait([over])
        except asyncio.CancelledError:
            if leg not in self._parked:
                await asyncio.wait([over])
            raise

    def _refuse(self, connection: Connection, peer_id: str, why: object) -> None:
        self._journal.note("leg", "refused", connection.remote, peer_id, why, path=connection.kind)

    async def _carry(self, pair: Pair, numbers: tuple[int, int]) -> None:
        """Raw bytes between TCP legs; where one is a WebSocket, frames (docs/PROTOCOL.md 6)."""
        if not any(isinstance(leg, StreamConnection) for leg in (pair.first, pair.second)):
            await join(self._pump, pair.first, pair.second, pair.meter)
            return
        try:
            pair.first = first = await framed(pair.first)
            pair.second = second = await framed(pair.second)
            self._reception.open.update(zip(numbers, (first, second), strict=True))
            await join_framed(first, second, pair.meter)
        except OSError:
            return  # one was gone before the other came
        except RemoteProtocolError as error:
            self._journal.note("pair", "broken", pair.first.remote, pair.id, error)
        finally:
            pair.hang_up()

    async def _join(self, other: int, number: int, first: _Parked, second: Connection, peer_id: str) -> None:
        budget = Budget(None)
        meter, now = Meter((self._total, budget)), asyncio.get_running_loop().time()
        pair = Pair(first.connection, second, peer_id, now, budget, meter, now)
        self.pairs[number] = pair
        try:
            pair.limit(self.bandwidth)
            await self._carry(pair, (other, number))
        finally:
            first.over.set_result(None)
            del self.pairs[number]
            self.carried += meter.carried
            self._note(pair)
            if self._drained and not self.pairs:
                self._drained.set()

    def _note(self, pair: Pair) -> None:
        self._journal.note(
            "pair",
            "carried",
            pair.first.remote,
            pair.id,
            f"with {pair.second.remote}",
            path=f"{pair.first.kind}+{pair.second.kind}",
            carried=pair.meter.carried,
            seconds=asyncio.get_running_loop().time() - pair.since,
        )
