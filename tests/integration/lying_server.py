"""A rendezvous server that answers what the test says, and a responder that does the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from doubles import Double, Leg
from parties import Peer, Peers

from rdpeer.crypto.identities import sign_id_pk
from rdpeer.crypto.keys import IdentityKey
from rdpeer.protocol.gate import Gate
from rdpeer.protocol.handshake import Authenticated, ResponderHandshake, Send
from rdpeer.values import Endpoint, PeerId, ServerKey
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.endpoints import mangle
from rdpeer.wire.records import RecordType, encode

BOB = IdentityKey.from_seed(b"b" * 32)
MALLORY = IdentityKey.from_seed(b"m" * 32)
PEER = PeerId("612345678")

Answer = Callable[[Leg, wire.RendezvousMessage], Awaitable[None]]


def message(**member: Any) -> wire.RendezvousMessage:
    return wire.RendezvousMessage(**member)


class LyingServer(Double):
    """``answer`` is given each connection with its first message; ``asked`` has those."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.key = IdentityKey.from_seed(b"s" * 32)
        self.asked: list[wire.RendezvousMessage] = []
        self._answer = answer

    async def serve(self, leg: Leg) -> None:
        question = await leg.asked()
        self.asked.append(question)
        await self._answer(leg, question)

    def blob(self, key: IdentityKey = BOB, peer: PeerId = PEER) -> bytes:
        """What an honest server says about ``peer``."""
        return sign_id_pk(self.key, peer, key.public.raw)

    def customer(self, peers: Peers, **settings: Any) -> Peer:
        key = ServerKey(self.key.public.text)
        return peers("alice", **{"server": self.address, "key": key, **settings})


class Script(Double):
    """A responder at an endpoint of its own: each connection is ``act``'s, with Bob's honest handshake."""

    def __init__(self, act: Callable[[Actor], Awaitable[None]], gate: Gate | None = None) -> None:
        super().__init__()
        self._act = act
        self._gate = gate or Gate(open_to_all=True)
        self.actors: list[Actor] = []

    async def serve(self, leg: Leg) -> None:
        actor = Actor(leg, ResponderHandshake(PEER, BOB, self._gate))
        self.actors.append(actor)
        await self._act(actor)

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint(self.address.host, self.address.port)

    def offer(self, blob: bytes, relay: str = "", *, is_local: bool = True) -> wire.RendezvousMessage:
        """The answer that sends an initiator here: as to a neighbour, or to a hole that was punched."""
        answer = wire.PunchHoleResponse(
            socket_addr=mangle(self.endpoint, 1), pk=blob, is_local=is_local, relay_server=relay
        )
        return message(punch_hole_response=answer)


class Actor:
    """One connection of an initiator to a responder that is honest as long as the test wants."""

    def __init__(self, leg: Leg, handshake: ResponderHandshake) -> None:
        self.leg = leg
        self.handshake = handshake
        self.heard: list[bytes] = []

    def open(self) -> None:
        """SignedId."""
        self._send(self.handshake.start())

    async def step(self) -> list[object]:
        """One message of the initiator, and the honest answer to it."""
        payload = await self.hear()
        assert payload is not None
        return self._answer(payload)

    async def until_let_in(self) -> None:
        """The whole handshake, or as much of it as the initiator wants."""
        self.open()
        while (payload := await self.hear()) is not None:
            if any(isinstance(event, Authenticated) for event in self._answer(payload)):
                return

    async def hear(self) -> bytes | None:
        """The next payload, kept in ``heard``; None when the initiator has gone."""
        payload = await self.leg.receive()
        self.heard += [payload] if payload is not None else []
        return payload

    async def gone(self) -> None:
        """Waits until the initiator has closed."""
        while await self.hear() is not None:
            pass

    def seal(self, kind: RecordType, body: Any = b"", *, final: bool = False) -> None:
        """One record, in its place or out of it."""
        channel = self.handshake._channel
        assert channel is not None
        self.leg.send(channel.seal(encode(kind, body), final))

    def _answer(self, payload: bytes) -> list[object]:
        return self._send(self.handshake.receive(payload, 0.0))

    def _send(self, events: list[Any]) -> list[object]:
        for event in events:
            if isinstance(event, Send):
                self.leg.send(event.payload)
        return events


async def for_ever() -> None:
    await asyncio.Event().wait()
