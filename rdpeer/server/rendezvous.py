"""The rendezvous server: sockets on one side, the rules of registration and brokering on the other."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Coroutine, Iterable

from rdpeer.net.connections import Connection
from rdpeer.net.datagrams import DatagramSocket
from rdpeer.net.ports import ServerPorts
from rdpeer.server.broker import Broker
from rdpeer.server.commands import Caller, Command, Notify, Send
from rdpeer.server.disk import Disk
from rdpeer.server.limits import MAX_FRAME
from rdpeer.server.queries import answer_query
from rdpeer.server.reception import Reception
from rdpeer.server.registration import Registrations, Save
from rdpeer.server.registry import Registry, Source
from rdpeer.server.writer import Writer
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.messages import parse


class Rendezvous:
    """Drives the machines. It answers only where it was asked: each datagram through its own socket."""

    def __init__(
        self,
        registry: Registry,
        registrations: Registrations,
        broker: Broker,
        disk: Disk,
        reception: Reception,
    ) -> None:
        self._registry = registry
        self._registrations = registrations
        self.broker = broker
        self._reception = reception
        self._sockets: list[DatagramSocket] = []
        self.writer = Writer(disk, registrations, self._reply)

    def services(self, ports: ServerPorts) -> Iterable[Coroutine[None, None, None]]:
        """What is to run, each until it is cancelled."""
        for via, sock in enumerate(ports.datagrams):
            self._sockets.append(DatagramSocket(sock))
            yield self._sockets[via].serve(functools.partial(self._answer, via))
        for listener in ports.rendezvous:
            yield self._reception.run(listener, self.serve)
        for listener in ports.query:
            yield self._reception.run(listener, self._query)

    def _answer(self, via: int, datagram: bytes, source: Source, now: float) -> bytes | None:
        answer = self._registrations.receive(datagram, source, via, now)
        if isinstance(answer, Save):
            self.writer.add(answer)
            return None
        if isinstance(answer, wire.PunchHoleSent):
            self._obey(self.broker.punched_by_udp(source, answer, now))
            return None
        return answer

    def _reply(self, save: Save, answer: bytes) -> None:
        self._sockets[save.via].send(answer, save.source)

    async def serve(self, number: int, connection: Connection) -> None:
        """Everything that is said on one connection to the rendezvous port."""
        caller = Caller(number, connection.remote)
        loop = asyncio.get_running_loop()
        try:
            while (payload := await connection.receive(MAX_FRAME)) is not None:
                self._reception.admission.heard(number, loop.time())
                if self._obey(self.broker.receive(caller, payload, loop.time())):
                    await connection.finish()
                    return
                await asyncio.sleep(0)
        finally:
            self.broker.closed(number)

    def _obey(self, commands: list[Command]) -> bool:
        """True if the connection is to be closed."""
        close = False
        for command in commands:
            match command:
                case Send(number, payload):
                    if connection := self._reception.open.get(number):
                        connection.send(payload)
                case Notify(source, via, payload):
                    self._sockets[via].send(payload, source)
                case _:
                    close = True
        return close

    async def _query(self, number: int, connection: Connection) -> None:
        """One question and its answer on the port below."""
        payload = await connection.receive(MAX_FRAME)
        if payload is None:
            return
        message = parse(wire.RendezvousMessage, payload)
        now = asyncio.get_running_loop().time()
        answer = answer_query(message, connection.remote, self._registry, now)
        if answer is not None:
            connection.send(answer)
            await connection.finish()
