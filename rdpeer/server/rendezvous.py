"""The rendezvous server: sockets on one side, the rules of registration and brokering on the other."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Coroutine, Iterable, Sequence

from rdpeer.errors import RemoteProtocolError
from rdpeer.net.connections import Connection
from rdpeer.net.datagrams import DatagramSocket
from rdpeer.net.ports import ServerPorts
from rdpeer.net.stream_connections import sealed
from rdpeer.server.broker import Broker
from rdpeer.server.commands import Caller, Command, Keep, Notify, Register, Seal, Send
from rdpeer.server.disk import Disk
from rdpeer.server.greeting import GREET_AFTER, Greeting
from rdpeer.server.keys import Keys
from rdpeer.server.limits import MAX_FRAME
from rdpeer.server.lines import Lines
from rdpeer.server.presence import Presence
from rdpeer.server.reception import Reception
from rdpeer.server.registration import Registrations, Save
from rdpeer.server.registry import Line, Sender, Source
from rdpeer.server.writer import Writer
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.messages import parse


class Rendezvous:
    """Drives the machines. It answers only where it was asked: each datagram through its own socket."""

    def __init__(
        self,
        registry: Presence,
        registrations: Registrations,
        broker: Broker,
        disk: Disk,
        reception: Reception,
        keys: Keys,
        keep_alive: float,
    ) -> None:
        self._registry = registry
        self._registrations = registrations
        self.broker = broker
        self._reception = reception
        self._keys = keys
        self._lines = Lines(registry, keep_alive)
        self._greetings: dict[int, Greeting] = {}
        self._sockets: list[DatagramSocket] = []
        self.writer = Writer(disk, registrations, self._reply)

    def services(self, ports: ServerPorts) -> Iterable[Coroutine[None, None, None]]:
        """What is to run, each until it is cancelled."""
        for via, sock in enumerate(ports.datagrams):
            self._sockets.append(DatagramSocket(sock, in_rows=True))
            yield self._sockets[via].serve(functools.partial(self._answer, via))
        for listener in ports.rendezvous:
            yield self._reception.run(listener, self.serve)
        for listener in ports.query:
            yield self._reception.run(listener, self._query)

    def _answer(self, via: int, datagram: bytes, source: Sender, now: float) -> bytes | None:
        answer = self._registrations.receive(datagram, source, via, now)
        if isinstance(answer, bytes):  # most are
            return answer
        if isinstance(answer, Save):
            self.writer.add(answer)
        elif answer is not None:
            self._obey(self.broker.punched_by_udp(source, answer, now))
        return None

    def _reply(self, save: Save, answer: bytes) -> None:
        self._answer_registration(save.source, save.via, save.registration.id, answer)

    def _answer_registration(self, source: Source, via: int, peer_id: str, answer: bytes) -> None:
        self._deliver(source, via, answer)
        if isinstance(source, Line):
            self._lines.registered(source, peer_id, asyncio.get_running_loop().time())
            if source.connection not in self._reception.open:
                self._lines.closed(source)  # it went while the disk was busy

    def _deliver(self, source: Source, via: int, payload: bytes) -> None:
        if not isinstance(source, Line):
            self._sockets[via].send(payload, source)
        elif connection := self._reception.open.get(source.connection):
            connection.send(payload)

    def sweep(self, now: float) -> None:
        """Called each second: sends heartbeats."""
        for number in self._lines.due(now):
            self._reception.open[number].send(b"")

    async def serve(self, number: int, connection: Connection) -> None:
        """Everything that is said on one connection to the rendezvous port."""
        caller = Caller(number, connection.remote, connection.kind)
        loop = asyncio.get_running_loop()
        greeting = loop.call_later(GREET_AFTER, self._greet, number) if connection.kind == "tcp" else None
        try:
            while (payload := await self._reception.open[number].receive(MAX_FRAME)) is not None:
                if greeting:
                    greeting.cancel()
                if self._receive(caller, payload, loop.time()):
                    await self._reception.open[number].finish()
                    return
                await asyncio.sleep(0)
        finally:
            if greeting:
                greeting.cancel()
            self._greetings.pop(number, None)
            self.broker.closed(number)
            self._lines.closed(caller.line)

    def _greet(self, number: int) -> None:
        greeting = self._greetings[number] = Greeting(self._keys.current)
        self._reception.open[number].send(greeting.payload)

    def _receive(self, caller: Caller, payload: bytes, now: float) -> bool:
        """One frame; True if the connection is to be closed. An empty one is a heartbeat, if we send any."""
        self._reception.admission.heard(caller.connection, now)
        is_kept = self._lines.heard(caller.connection, now)
        return self._obey(self.broker.receive(caller, payload, now)) if payload else not is_kept

    def _obey(self, commands: list[Command]) -> bool:
        """True if the connection is to be closed."""
        close = False
        for command in commands:
            match command:
                case Send(number, payload):
                    if connection := self._reception.open.get(number):
                        connection.send(payload)
                case Notify(source, via, payload):
                    self._deliver(source, via, payload)
                case Register(line, message):
                    self._register(line, message)
                case Keep(number):
                    self._lines.keep(number, asyncio.get_running_loop().time())
                case Seal(number, keys):
                    self._seal(number, keys)
                case _:
                    close = True
        return close

    def _register(self, line: Line, message: wire.RendezvousMessage) -> None:
        answer = self._registrations.receive_over(line, message, asyncio.get_running_loop().time())
        peer_id = message.register_pk.id or message.register_peer.id
        if isinstance(answer, Save):
            self.writer.add(answer)
        elif answer is not None:
            self._answer_registration(line, 0, peer_id, answer)

    def _seal(self, number: int, keys: Sequence[bytes]) -> None:
        greeting = self._greetings.pop(number, None)
        if greeting is None:
            raise RemoteProtocolError("a key exchange that we did not begin")
        channel = greeting.answered(keys)
        self._reception.open[number] = sealed(self._reception.open[number], channel)

    async def _query(self, number: int, connection: Connection) -> None:
        """One question and its answer on the port below."""
        payload = await connection.receive(MAX_FRAME)
        if payload is None:
            return
        message = parse(wire.RendezvousMessage, payload)
        now = asyncio.get_running_loop().time()
        answer = self.broker.query(Caller(number, connection.remote, connection.kind), message, now)
        if answer is not None:
            connection.send(answer)
            await connection.finish()
