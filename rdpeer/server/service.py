"""The bundled server: rendezvous and relay in one process."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import secrets
from contextlib import ExitStack
from typing import Self

from rdpeer.net.ports import ServerPorts, allow_descriptors, bind_ports, local_address
from rdpeer.net.pump import make_pump
from rdpeer.server.admission import Admission
from rdpeer.server.broker import Broker
from rdpeer.server.database import Database
from rdpeer.server.keypair import load_or_create
from rdpeer.server.limits import Limits
from rdpeer.server.options import ServerOptions
from rdpeer.server.pairing import Pairing
from rdpeer.server.reception import Reception
from rdpeer.server.registration import Registrations
from rdpeer.server.registry import Registry
from rdpeer.server.relay import Relay
from rdpeer.server.rendezvous import Rendezvous
from rdpeer.store.files import make_folder
from rdpeer.values import PublicKey, ServerAddress, ServerKey, ServerLink

log = logging.getLogger(__name__)

_SWEEP = 1.0
_OWN_DESCRIPTORS = 64
_DESCRIPTORS = 4
"""Needed for one connection of each service: a rendezvous client's socket, a leg's, and the leg's pipe."""


class Server:
    """A running server, in this process:

        async with Server(ServerOptions(folder, port=0, bind=("127.0.0.1",))) as server:
            server.link

    Entering raises UsageError where the folder cannot be used or a port is taken. Leaving closes every
    connection; a registration that has been taken is still saved and answered.
    """

    key: PublicKey
    base: int
    """The rendezvous port: queries are one below, the relay is one above."""
    link: ServerLink
    """What is pasted at the peers."""

    def __init__(self, options: ServerOptions) -> None:
        self._options = options
        self._resources = ExitStack()

    async def __aenter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._resources.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._services.cancel()
        try:
            await asyncio.wait([self._services])
            self._rendezvous.writer.stop()
            await self._writing
        finally:
            self._resources.close()
        if not self._services.cancelled():
            self._services.result()  # raises the bug that ended it

    @property
    def connections(self) -> int:
        """How many TCP connections are open, waiting and parked ones included."""
        return sum(len(reception.open) for reception in self._receptions)

    @property
    def parked(self) -> int:
        """How many legs of the relay wait for their other one."""
        return self._relay.parked

    async def serve(self) -> None:
        """Until it is cancelled; ends by itself only by a bug, which leaving then raises."""
        await asyncio.wait([self._services, self._writing], return_when=asyncio.FIRST_COMPLETED)

    def sweep(self, now: float) -> None:
        """Ends what has waited for too long. Called every second with the loop's time."""
        for reception in self._receptions:
            reception.sweep(now)
        self._relay.sweep(now)

    def _start(self) -> None:
        options = self._options
        make_folder(options.data_dir)
        database = Database(options.data_dir)
        self._resources.callback(database.close)
        key = load_or_create(options.data_dir)
        ports = bind_ports(options.bind, options.port)
        self._resources.callback(ports.close)
        pump = make_pump(options.pump)
        self._resources.callback(pump.close)

        self.key, self.base = key.public, ports.base
        relay = options.relay(ports.base)
        self.link = _link(self.key, ports, relay)
        limits = _affordable(options.limits)
        self._receptions = [
            Reception(
                name, Admission(limits.connections, limits.connections_per_address, limits.frame_timeout)
            )
            for name in ("rendezvous", "relay")
        ]
        for reception in self._receptions:
            self._resources.callback(reception.close)
        registry = Registry(database.load())
        broker = Broker(registry, key, relay.short() if relay else "", limits, lambda: secrets.randbits(32))
        self._rendezvous = Rendezvous(
            registry, Registrations(registry, limits), broker, database, self._receptions[0]
        )
        self._relay = Relay(Pairing(key.public, limits), pump, self._receptions[1])
        self._writing = asyncio.create_task(self._rendezvous.writer.run())
        self._services = asyncio.create_task(self._run(ports))

    async def _run(self, ports: ServerPorts) -> None:
        async with asyncio.TaskGroup() as services:
            for service in (*self._rendezvous.services(ports), *self._relay.services(ports)):
                services.create_task(service)
            services.create_task(self._sweeping())

    async def _sweeping(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP)
            self.sweep(loop.time())


def _affordable(limits: Limits) -> Limits:
    """As many connections as there may be open files."""
    descriptors = allow_descriptors(limits.connections * _DESCRIPTORS + _OWN_DESCRIPTORS)
    connections = min(limits.connections, (descriptors - _OWN_DESCRIPTORS) // _DESCRIPTORS)
    return dataclasses.replace(limits, connections=connections)


def _link(key: PublicKey, ports: ServerPorts, relay: ServerAddress | None) -> ServerLink:
    """The address that the operator named, or the one where others most likely reach us."""
    host = relay.host if relay else local_address(ports.addresses)
    return ServerLink(ServerAddress(host, ports.base), ServerKey(key.text))
