"""Two servers, asked the same and compared message by message.

Each case of ``rdpeer.server.compare_cases`` is a conversation of bare clients
with one server, and leaves a transcript: who sent what, and what was heard, or
that there was silence, or that the connection was closed. What has to differ
between two servers, ports and keys, is written as whose it is.
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from google.protobuf.message import Message

from rdpeer.crypto.identities import open_id_pk
from rdpeer.errors import IdentityMismatch, RemoteProtocolError, ServerUnreachable, UsageError
from rdpeer.net.askers import Closed, Silent, TcpAsker, UdpAsker, WebAsker
from rdpeer.net.resolve import resolve
from rdpeer.values import Endpoint, PublicKey, ServerLink
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.endpoints import unmangle
from rdpeer.wire.messages import parse

WITHIN = 1.0
"""Seconds after which an answer is taken for missing."""

_PATIENCE = 10.0

Case = Callable[["Side"], Coroutine[Any, Any, None]]

Asker = TcpAsker | UdpAsker | WebAsker
AnyAsker = TypeVar("AnyAsker", TcpAsker, UdpAsker, WebAsker)

_ENDPOINTS = ("socket_addr", "local_addr", "socket_addr_v6")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one case had from either server: the transcripts, line by line."""

    name: str
    what: str
    first: list[str]
    second: list[str]

    @property
    def same(self) -> bool:
        return self.first == self.second


async def compare(
    links: tuple[ServerLink, ServerLink], addresses: tuple[str, str], cases: Sequence[Case]
) -> AsyncIterator[Outcome]:
    """Runs ``cases`` one after the other, each with both servers at once.

    ``addresses`` are two of this machine's, or twice one: the initiator's and the responder's. UsageError for
    a link without an Ed25519 key, and for an address that is not this machine's; ServerUnreachable, before
    any case is run; OSError where a server is gone later.
    """
    for link in links:
        for address in sorted(set(addresses)):
            await _reach(await Side.of(link, addresses, ""), link, address)
    run = secrets.randbelow(10**6)
    for number, case in enumerate(cases):
        sides = [await Side.of(link, addresses, f"8{run:06}{number:02}") for link in links]
        first, second = await asyncio.gather(*(side.transcript_of(case) for side in sides))
        what = " ".join((case.__doc__ or "").split())
        yield Outcome(name_of(case), what, first, second)


async def _reach(side: Side, link: ServerLink, address: str) -> None:
    try:
        async with asyncio.timeout(_PATIENCE):
            asker = await TcpAsker.connect(side.server, address)
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise UsageError(f"{address} is not an address of this machine") from None
        why = os.strerror(error.errno) if error.errno else "it does not answer"
        raise ServerUnreachable(f"cannot reach {link.server}: {why}") from None
    await asker.close()


def name_of(case: Case) -> str:
    """As reports and docs/DIFFERENCES.md have it."""
    return case.__name__.replace("_", "-")


class Side:
    """One server in one case: makes clients, writes the transcript. ``peer`` is the responder's ID."""

    def __init__(self, server: Endpoint, key: PublicKey, addresses: tuple[str, str], peer: str) -> None:
        self.key = key
        self.peer = peer
        self.uuid = b"uuid of " + peer.encode()
        self.pk = bytes.fromhex("d7") * 32
        self.server = server
        self._addresses = addresses
        self._names: dict[Endpoint, str] = {}
        self._askers: list[Asker] = []
        self._lines: list[str] = []

    @classmethod
    async def of(cls, link: ServerLink, addresses: tuple[str, str], peer: str) -> Side:
        key = link.key.public if link.key else None
        if key is None:
            what = "key in base64" if link.key else "key"
            raise UsageError(f"the link to {link.server} has no {what}", hint="rdpeer://HOST?key=KEY")
        server = (await resolve(link.server))[0]
        return cls(server, key, addresses, peer)

    async def transcript_of(self, case: Case) -> list[str]:
        """Runs ``case`` to its end."""
        try:
            await case(self)
        except Closed:
            self._lines.append("a connection was closed too early")
        except Silent:
            self._lines.append("an answer was missing")
        finally:
            for asker in self._askers:
                await asker.close()
        return self._lines

    # clients

    async def tcp(self, name: str, port: int = 0, *, responder: bool = False) -> TcpAsker:
        """A connection to the base port, or to one ``port`` further."""
        server = Endpoint(self.server.ip, self.server.port + port)
        return self._known(name, await TcpAsker.connect(server, self._addresses[responder]))

    async def web(self, name: str, port: int = 2) -> WebAsker:
        """A WebSocket to the port so much further than the base port; where there is none, that is written
        down, and Closed raised."""
        server = Endpoint(self.server.ip, self.server.port + port)
        try:
            return self._known(name, await WebAsker.connect(server, self._addresses[0], WITHIN))
        except OSError:
            self._lines.append(f"{name} finds no WebSocket")
            raise Closed from None

    async def udp(self, name: str, *, responder: bool = True) -> UdpAsker:
        return self._known(name, await UdpAsker.connect(self.server, self._addresses[responder]))

    async def registered(self, name: str = "B") -> UdpAsker:
        """The responder, online; nothing of it is written down."""
        asker = await self.udp(name)
        for request in (self.register_pk(), self.register_peer()):
            asker.send(request.SerializeToString())
            await asker.hear(WITHIN)
        return asker

    # messages

    def register_pk(self, **fields: Any) -> wire.RendezvousMessage:
        request = wire.RegisterPk(**{"id": self.peer, "uuid": self.uuid, "pk": self.pk, **fields})
        return wire.RendezvousMessage(register_pk=request)

    def register_peer(self, **fields: Any) -> wire.RendezvousMessage:
        return wire.RendezvousMessage(register_peer=wire.RegisterPeer(**{"id": self.peer, **fields}))

    def punch(self, **fields: Any) -> wire.RendezvousMessage:
        fields = {"id": self.peer, "licence_key": self.key.text, **fields}
        return wire.RendezvousMessage(punch_hole_request=wire.PunchHoleRequest(**fields))

    def relay(self, **fields: Any) -> wire.RendezvousMessage:
        fields = {"id": self.peer, "uuid": f"token {self.peer}", "licence_key": self.key.text, **fields}
        return wire.RendezvousMessage(request_relay=wire.RequestRelay(**fields))

    # the transcript

    def say(self, asker: Asker, message: wire.RendezvousMessage | bytes, why: str = "") -> None:
        """Sends it, and writes it down; ``why`` in its place where it is long or no message."""
        payload = message if isinstance(message, bytes) else message.SerializeToString()
        text = self.told(message) if isinstance(message, wire.RendezvousMessage) else payload.hex()
        self._lines.append(f"{self._names[asker.local]} says {why or text}")
        asker.send(payload)

    async def hears(self, asker: Asker, within: float = WITHIN) -> wire.RendezvousMessage | None:
        """The next message, written down; None for silence or an end, which is written down too."""
        name = self._names[asker.local]
        try:
            payload = await asker.hear(within)
            message = parse(wire.RendezvousMessage, payload)
        except Silent:
            self._lines.append(f"{name} hears nothing")
        except Closed:
            self._lines.append(f"{name} is closed")
        except RemoteProtocolError:
            self._lines.append(f"{name} hears what is no message")
        else:
            self._lines.append(f"{name} hears {self.told(message)}")
            return message
        return None

    async def hears_raw(self, asker: TcpAsker, count: int, within: float = WITHIN) -> None:
        """So many bytes of a relayed leg, written down."""
        name = self._names[asker.local]
        try:
            self._lines.append(f"{name} hears {(await asker.hear_raw(count, within))!r}")
        except Silent:
            self._lines.append(f"{name} hears nothing")
        except Closed:
            self._lines.append(f"{name} is closed")

    def told(self, message: wire.RendezvousMessage) -> str:
        """A message with names in the place of what differs from server to server."""
        member = message.WhichOneof("union")
        if member is None:
            return "an empty message"
        inner: Message = getattr(message, member)
        fields = [f"{field.name}={self._value(field.name, value)}" for field, value in inner.ListFields()]
        return f"{inner.DESCRIPTOR.name}({', '.join(fields)})"

    def _value(self, field: str, value: Any) -> str:
        if field in _ENDPOINTS:
            endpoint = unmangle(value)
            return self._names.get(endpoint, "another endpoint") if endpoint else "no endpoint"
        if field == "pk" and value != self.pk:
            return self._signer(value)
        if field == "port":
            return next(
                (name for endpoint, name in self._names.items() if endpoint.port == value), "another port"
            )
        if field == "keys":
            return f"{len(value)} of them"
        if field == "cookie":
            return f"{len(value)} bytes"
        if isinstance(value, bytes):
            return value.hex() if value not in (self.pk, self.uuid) else f"its {field}"
        return str(value).replace(self.peer, "B's").replace(self.key.text, "the key")

    def _signer(self, blob: bytes) -> str:
        try:
            signed = open_id_pk(self.key, blob)
        except (IdentityMismatch, RemoteProtocolError):
            return f"{len(blob)} bytes that the server did not sign"
        name = signed.peer_id.replace(self.peer, "B's")
        return f"signed {name} {'key' if signed.pk == self.pk else 'other key'}"

    def _known(self, name: str, asker: AnyAsker) -> AnyAsker:
        self._askers.append(asker)
        self._names[asker.local] = name
        return asker
