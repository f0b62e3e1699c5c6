"""The services by WebSocket (docs/PROTOCOL.md 6).

Both are to be had at each port, under ``/ws/id`` and ``/ws/relay``, so that one port is enough behind a
reverse proxy; with any other path a port serves what it is there for, as stock's do.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Coroutine, Iterable, Mapping
from typing import NamedTuple

from rdpeer.net.connections import Connection, Listener, accept
from rdpeer.net.stream_connections import StreamConnection
from rdpeer.net.tls import reason_of
from rdpeer.net.web import greet
from rdpeer.server.admission import Admission
from rdpeer.server.forwarded import TrustedProxies
from rdpeer.server.journal import Journal
from rdpeer.server.limits import MAX_FRAME, Limits
from rdpeer.server.reception import Reception, Serve
from rdpeer.values import RELAY_PATH, RENDEZVOUS_PATH

log = logging.getLogger(__name__)


class Door(NamedTuple):
    """A service, and the listeners of its own WebSocket port."""

    listeners: Iterable[Listener]
    reception: Reception
    serve: Serve


class Web:
    """Takes connections, hears what they want, and hands them on. ``doors`` has the services by path."""

    def __init__(
        self,
        doors: Mapping[str, Door],
        proxies: TrustedProxies,
        tls: ssl.SSLContext | None,
        limits: Limits,
        journal: Journal,
    ) -> None:
        self._journal = journal
        self._doors = doors
        self._proxies = proxies
        self._tls = tls
        self._patience = limits.frame_timeout
        per_address = min(limits.connections_per_address, max(1, limits.undecided // 4))
        self._hall = Admission(limits.undecided, per_address, limits.frame_timeout)

    def services(self) -> Iterable[Coroutine[None, None, None]]:
        """What is to run, each until it is cancelled."""
        for door in self._doors.values():
            for listener in door.listeners:
                yield self._run(listener, door)

    async def _run(self, listener: Listener, own: Door) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as visits:
            async for connection in accept(listener):
                number = self._hall.admit(connection.remote, loop.time())
                if number is None:
                    self._journal.note("connection", "refused", connection.remote, why="no room", path="ws")
                    connection.close()
                    continue
                visits.create_task(self._visit(number, connection, own))

    async def _visit(self, number: int, connection: Connection, own: Door) -> None:
        try:
            guest = await self._greet(connection, own)
        except Exception:  # a bug: the one visitor suffers, the server goes on
            log.exception("web: %s", connection.remote)
            return
        finally:
            connection.close()
            self._hall.leave(number)
        if guest is not None:
            door, let_in = guest
            await door.reception.receive(let_in, door.serve)

    async def _greet(self, connection: Connection, own: Door) -> tuple[Door, StreamConnection] | None:
        """The visitor, and where he wants to; None for one that was turned away, and has gone."""
        try:
            async with asyncio.timeout(self._patience):
                visitor = await greet(connection, self._tls, MAX_FRAME)
        except OSError as error:  # TimeoutError is one
            why = "silent" if isinstance(error, TimeoutError) else reason_of(error)
            self._journal.note("connection", "refused", connection.remote, why=why, path="ws")
            return None
        remote = self._proxies.client(visitor.stream.remote, visitor.forwarded_for)
        let_in = visitor.let_in(remote)
        if let_in is None:
            self._journal.note("connection", "refused", remote, why="it asked for no WebSocket", path="ws")
            await visitor.stream.close()
            return None
        return self._door(visitor.path, own), let_in

    def _door(self, path: str, own: Door) -> Door:
        for known in (RENDEZVOUS_PATH, RELAY_PATH):
            if path.rstrip("/").endswith(known):
                return self._doors.get(known, own)
        return own
