"""The bundled server: rendezvous and relay in one process."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable, Coroutine, Iterable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Self

from rdpeer.errors import UsageError
from rdpeer.net import control
from rdpeer.net.connections import Listener
from rdpeer.net.page import serve_page
from rdpeer.net.ports import (
    ServerPorts,
    bind_ports,
    listen_locally,
    local_address,
)
from rdpeer.net.pump import make_pump
from rdpeer.net.tls import load_certificate
from rdpeer.net.transport.dial import answers
from rdpeer.server import metrics
from rdpeer.server.admin import SOCKET, Admin
from rdpeer.server.admission import Admission
from rdpeer.server.blocks import Blocks
from rdpeer.server.broker import Broker
from rdpeer.server.database import Database
from rdpeer.server.disk import Disk
from rdpeer.server.enrolment import Enrolment
from rdpeer.server.forwarded import TrustedProxies
from rdpeer.server.journal import Journal
from rdpeer.server.keys import Keys
from rdpeer.server.operator import Operator
from rdpeer.server.options import EVERYWHERE, ServerOptions
from rdpeer.server.pairing import Pairing
from rdpeer.server.presence import Presence
from rdpeer.server.proofs import Proofs
from rdpeer.server.questions import Questions
from rdpeer.server.reception import Reception
from rdpeer.server.registration import Registrations
from rdpeer.server.registry import Registry
from rdpeer.server.relay import Pair, Relay
from rdpeer.server.relays import Relays
from rdpeer.server.rendezvous import Rendezvous
from rdpeer.server.startup import affordable, import_peers, load_keys
from rdpeer.server.web import Door, Web
from rdpeer.store.files import make_folder
from rdpeer.values import (
    RELAY_PATH,
    RENDEZVOUS_PATH,
    Endpoint,
    PublicKey,
    ServerAddress,
    ServerKey,
    ServerLink,
)

log = logging.getLogger(__name__)

_SWEEP = 1.0
_CHECK_RELAYS = 10.0
_RELAY_ANSWERS_WITHIN = 3.0


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
    imported: int | None = None
    """How many peers of hbbs were taken over at this start, if there were any to be."""

    operator: Operator
    """What its operator can see and change."""

    def __init__(self, options: ServerOptions, reload: Callable[[], ServerOptions] | None = None) -> None:
        self._options = options
        self._read_options = reload or (lambda: options)
        self._resources = ExitStack()
        self._rendezvous: Rendezvous | None = None
        self._control: control.Listener | None = None
        self._metrics: Listener | None = None

    async def __aenter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._resources.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        services, *writing = self._running
        services.cancel()
        try:
            await asyncio.wait([services])
            if self._rendezvous:
                self._rendezvous.writer.stop()
            await asyncio.gather(*writing)
        finally:
            self._resources.close()
        if not services.cancelled():
            services.result()  # raises the bug that ended it

    @property
    def connections(self) -> int:
        """How many TCP connections are open, waiting and parked ones included."""
        return sum(len(reception.open) for reception in self._receptions)

    @property
    def parked(self) -> int:
        """How many legs of the relay wait for their other one."""
        return self._relay.parked

    @property
    def pairs(self) -> list[Pair]:
        """What the relay carries now."""
        return list(self._relay.pairs.values())

    @property
    def relay_address(self) -> ServerAddress:
        """Where our relay is, for the rendezvous server that is to name it."""
        return self.link.server.offset(1)

    async def serve(self) -> None:
        """Until it is cancelled; ends by itself only by a bug, which leaving then raises."""
        await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)

    async def drain(self, seconds: float) -> None:
        """Joins no more legs at the relay, and returns when the last pair has ended, or after ``seconds``."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._relay.drain()

    def reload(self) -> None:
        """Reads the configuration again, and does as it says. UsageError, and no change, where it is bad."""
        new = self._read_options()
        new.tls()  # for its error, before anything changes
        self.operator.apply(new)
        if self._tls and new.tls_cert and new.tls_key:
            load_certificate(self._tls, new.tls_cert, new.tls_key)
        self._proxies.set(new.trust_proxy)
        if self._rendezvous:
            self._rendezvous.broker.always_relay = new.always_use_relay

    def sweep(self, now: float) -> None:
        """Ends what has waited for too long. Called every second with the loop's time."""
        for reception in self._receptions:
            reception.sweep(now)
        self._relay.sweep(now)
        self._journal.sweep()
        if self._rendezvous:
            self._rendezvous.sweep(now)

    def _start(self) -> None:
        options = self._options
        make_folder(options.data_dir)
        database = self._resources.enter_context(closing(Database(options.data_dir)))
        self._keys = load_keys(options)
        self.key = self._keys.public
        self._tls = options.tls()
        self._proxies = TrustedProxies(options.trust_proxy)
        ports = self._bind()
        self._make_parts(database)
        self._open_admin(options.data_dir / SOCKET)
        if options.metrics is not None:
            self._metrics = self._resources.enter_context(listen_locally(Endpoint.parse(options.metrics)))
        self._running = [asyncio.create_task(self._run(ports))]
        if self._rendezvous:
            self._running.append(asyncio.create_task(self._rendezvous.writer.run()))

    def _bind(self) -> ServerPorts:
        options = self._options
        ports = bind_ports(options.bind, options.port, options.only)
        self._resources.callback(ports.close)
        for address in ports.left_out:  # a machine without IPv6 is nothing special
            level = logging.INFO if options.bind == EVERYWHERE else logging.WARNING
            log.log(level, "left out %s", address)
        self.base, self._addresses = ports.base, ports.addresses
        host = options.address or local_address(ports.addresses)
        self.link = ServerLink(ServerAddress(host, ports.base), ServerKey(self.key.text))
        return ports

    def _make_parts(self, database: Database) -> None:
        """Everything that does no I/O until it runs."""
        options, self._journal = self._options, Journal()
        blocked = database.blocks()
        self._blocks = Blocks([*options.read_blocklist(), *blocked])
        self._relays = Relays(options.relays)
        self._limits = affordable(options.limits)
        self._receptions = [self._reception(), self._reception()]
        self._relay = self._make_relay(self._receptions[1])
        enrolment = Enrolment(options.enrol, options.read_allowed_keys(), self._limits.waiting)
        registry: Presence = Registry()
        disk = Disk(database)
        if isinstance(self._keys, Keys) and options.is_rendezvous:
            self.imported = import_peers(options, database)
            registry = Registry(database.load())
            self._rendezvous = self._make_rendezvous(self._keys, registry, enrolment, disk)
        self.operator = Operator(
            options=options,
            base=self.base,
            addresses=self._addresses,
            limits=self._limits,
            keys=self._keys,
            registry=registry,
            enrolment=enrolment,
            blocks=self._blocks,
            disk=disk,
            relays=self._relays,
            relay=self._relay,
            receptions=self._receptions,
            journal=self._journal,
            blocked=set(blocked),
        )

    def _reception(self) -> Reception:
        limits = self._limits
        admission = Admission(limits.connections, limits.connections_per_address, limits.frame_timeout)
        reception = Reception(admission, self._blocks, self._journal)
        self._resources.callback(reception.close)
        return reception

    def _make_relay(self, reception: Reception) -> Relay:
        pump = self._resources.enter_context(closing(make_pump(self._options.pump)))
        pairing = Pairing(self._keys.accepts, self._limits)
        return Relay(pairing, pump, reception, self._options.bandwidth(), self._journal)

    def _make_rendezvous(
        self, keys: Keys, registry: Presence, enrolment: Enrolment, disk: Disk
    ) -> Rendezvous:
        limits, draw = self._limits, lambda: secrets.randbits(32)
        broker = Broker(
            registry,
            Questions(limits, draw),
            keys,
            self._relays,
            limits,
            draw,
            always_relay=self._options.always_use_relay,
            journal=self._journal,
        )
        registrations = Registrations(
            registry, limits, self._blocks, enrolment, self._journal, Proofs(keys, limits.sources)
        )
        reception = self._receptions[0]
        return Rendezvous(registry, registrations, broker, disk, reception, keys, limits.keep_alive)

    def _open_admin(self, path: Path) -> None:
        """Without it the server runs as well: not every file system has sockets."""
        try:
            self._control = control.listen(path)
        except UsageError as error:
            log.warning("%s: the server cannot be administered while it runs", error)
            return
        self._resources.callback(self._control.close)
        self._resources.callback(path.unlink, missing_ok=True)

    async def _run(self, ports: ServerPorts) -> None:
        async with asyncio.TaskGroup() as services:
            for service in self._all_services(ports):
                services.create_task(service)

    def _all_services(self, ports: ServerPorts) -> Iterable[Coroutine[None, None, None]]:
        if self._rendezvous:
            yield from self._rendezvous.services(ports)
        yield from self._relay.services(ports)
        yield from self._web(ports).services()
        if self._metrics:
            yield serve_page(self._metrics, metrics.PATH, lambda: metrics.render(self.operator.status()))
        if self._control:
            yield control.serve(self._control, Admin(self.operator, self.reload).answer)
        yield _every(_SWEEP, self._sweep_now)
        yield _every(_CHECK_RELAYS, self._check_relays)

    def _web(self, ports: ServerPorts) -> Web:
        rendezvous, relay = self._receptions
        doors = {RELAY_PATH: Door(ports.web_relay, relay, self._relay.serve)}
        if self._rendezvous:
            doors[RENDEZVOUS_PATH] = Door(ports.web_rendezvous, rendezvous, self._rendezvous.serve)
        return Web(doors, self._proxies, self._tls, self._limits, self._journal)

    async def _sweep_now(self) -> None:
        self.sweep(asyncio.get_running_loop().time())

    async def _check_relays(self) -> None:
        async with asyncio.TaskGroup() as checks:
            for address in self._relays.addresses:
                checks.create_task(self._check_relay(address))

    async def _check_relay(self, address: ServerAddress) -> None:
        self._relays.checked(address, answers=await answers(address, _RELAY_ANSWERS_WITHIN))


async def _every(period: float, work: Callable[[], Coroutine[None, None, None]]) -> None:
    while True:
        await asyncio.sleep(period)
        await work()
