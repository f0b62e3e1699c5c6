"""Accepts connections for one service, and sees to it that each is closed: when it was served, when it was
silent for too long, and at the end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from rdpeer.errors import RemoteProtocolError
from rdpeer.net.connections import Connection, Listener, accept
from rdpeer.server.admission import Admission
from rdpeer.server.blocks import Blocks
from rdpeer.server.journal import Journal

log = logging.getLogger(__name__)

Serve = Callable[[int, Connection], Awaitable[None]]


class Reception:
    """The open connections by number; whom ``blocks`` has is closed at once."""

    def __init__(self, admission: Admission, blocks: Blocks, journal: Journal) -> None:
        self.admission = admission
        self._blocks = blocks
        self._journal = journal
        self.open: dict[int, Connection] = {}

    async def run(self, listener: Listener, serve: Serve) -> None:
        """Calls ``serve`` with every connection and its number, until it is cancelled."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as visits:
            async for connection in accept(listener):
                number = self._admit(connection, loop.time())
                if number is None:
                    connection.close()
                    continue
                self.open[number] = connection
                visits.create_task(self._visit(number, connection, serve))

    async def receive(self, connection: Connection, serve: Serve) -> None:
        """Calls ``serve`` with a connection that somebody else has accepted, to its end, if there is room."""
        number = self._admit(connection, asyncio.get_running_loop().time())
        if number is None:
            connection.close()
            return
        self.open[number] = connection
        await self._visit(number, connection, serve)

    def _admit(self, connection: Connection, now: float) -> int | None:
        if self._blocks.any and self._blocks.has_ip(connection.remote.ip):
            self._refuse(connection, "blocked")
            return None
        number = self.admission.admit(connection.remote, now)
        if number is None:
            self._refuse(connection, "no room")
        return number

    def _refuse(self, connection: Connection, why: str) -> None:
        self._journal.note("connection", "refused", connection.remote, why=why, path=connection.kind)

    def sweep(self, now: float) -> None:
        """Ends the connections that were silent for too long."""
        for number in self.admission.overdue(now):
            self.open[number].hang_up()

    def hang_up_blocked(self) -> None:
        """Ends the connections of those who are blocked by now."""
        for connection in self.open.values():
            if self._blocks.has_ip(connection.remote.ip):
                connection.hang_up()

    def close(self) -> None:
        """Closes what is left when nothing runs any more: a visit that was cancelled before it began."""
        for connection in self.open.values():
            connection.close()
        self.open.clear()

    async def _visit(self, number: int, connection: Connection, serve: Serve) -> None:
        try:
            await serve(number, connection)
        except RemoteProtocolError as error:
            self._journal.note("message", "refused", connection.remote, why=error, path=connection.kind)
        except Exception:  # a bug: the one visitor suffers, the server goes on
            log.exception("%s", connection.remote)
        finally:
            connection.close()
            del self.open[number]
            self.admission.leave(number)
