"""Peers that ask for much and take nothing: what they cost is bounded, before they are known and after."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from google.protobuf.message import Message

from rdpeer.crypto import keys
from rdpeer.crypto.channel import SecureChannel
from rdpeer.errors import AuthenticationFailed, ConnectionLost, DeadlineExceeded
from rdpeer.net.clock import monotonic
from rdpeer.net.link import Link, Offer
from rdpeer.net.transport import memory
from rdpeer.net.transport.memory import MemoryStream
from rdpeer.net.transport.tcp import TcpStream
from rdpeer.peer import handshaking
from rdpeer.peer.listener import Listener
from rdpeer.peer.services import Guest
from rdpeer.peer.setup import within
from rdpeer.protocol.gate import Gate, Method
from rdpeer.protocol.handshake import (
    MAX_PAYLOAD,
    ExpectedKey,
    InitiatorHandshake,
    ResponderHandshake,
    Send,
)
from rdpeer.protocol.opening import InitiatorOpening
from rdpeer.protocol.session import MAX_STREAMS
from rdpeer.values import PeerId
from rdpeer.wire import channel_pb2 as pb
from rdpeer.wire.records import RecordType, encode

PEER, ALICE = PeerId("612345678"), PeerId("698765432")
RESPONDER = keys.IdentityKey.from_seed(b"r" * 32)
INITIATOR = keys.IdentityKey.from_seed(b"i" * 32)


async def until(true: Callable[[], object]) -> None:
    """Lets the loop run until ``true``; the test's own timeout bounds it."""
    while not true():  # noqa: ASYNC110 - what is waited for is inside the loop and tells nobody
        await asyncio.sleep(0)


async def stopped(task: asyncio.Task[object]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_stranger_who_never_reads_does_not_make_us_hold_our_answers():
    near, far = memory.pair(MAX_PAYLOAD)
    handshake = ResponderHandshake(PEER, RESPONDER, Gate(open_to_all=True))
    admitting = asyncio.create_task(handshaking.admit(near, handshake, lambda _: None))
    opening = InitiatorOpening(PEER, [ExpectedKey("the test", RESPONDER.public)], (1,))
    answer, channel, _ = opening.answer(await far.receive() or b"")
    far.send(answer)
    for _ in range(80_000):  # each is answered with a PONG of 18 bytes: 1.4 MB in all
        far.send(channel.seal(encode(RecordType.PING)))
    await until(lambda: far._unread > 1024 * 1024)
    for _ in range(3):
        await asyncio.sleep(0)
    assert near._received, "it still answers, with nobody reading"
    await stopped(admitting)


async def test_empty_frames_that_nobody_reads_stop_the_reading():
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    near.setblocking(False)
    far.setblocking(False)
    stream = await TcpStream.over(near, limit=MAX_PAYLOAD)
    with far:
        sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(far, bytes(16 * 1024 * 1024)))
        await until(lambda: sending.done() or not stream._reading)
        assert not sending.done()
        assert len(stream._received) <= 256 * 1024
        await stopped(sending)
    stream.abort()


class Stubborn:
    """A service like a program that takes its time to end, whatever becomes of its stream."""

    def __init__(self) -> None:
        self.running = self.started = 0
        self.may_end = asyncio.Event()

    async def serve(self, offer: Offer, guest: Guest) -> None:
        self.started += 1
        self.running += 1
        await self.may_end.wait()
        self.running -= 1
        raise ConnectionLost("the stream was given up meanwhile")


class Resetter:
    """An initiator that passed, record by record."""

    def __init__(self) -> None:
        self.stream, self.far = memory.pair(1_000_000)
        self.channel = sealed(initiator=True)
        self.send(RecordType.HELLO, pb.Hello(max_streams=8))
        self._next = 1

    def send(self, kind: RecordType, body: Message | bytes = b"", *, final: bool = False) -> None:
        self.stream.send(self.channel.seal(encode(kind, body), final))

    def open_and_reset(self, times: int) -> None:
        for _ in range(times):
            self.send(RecordType.OPEN, pb.OpenStream(stream=self._next))
            self.send(RecordType.RESET, pb.StreamReset(stream=self._next))
            self._next += 2

    def open(self) -> None:
        self.send(RecordType.OPEN, pb.OpenStream(stream=self._next))
        self._next += 2


class Passed:
    """A handshake that is over."""

    def __init__(self) -> None:
        self.channel = sealed(initiator=False)


def sealed(*, initiator: bool) -> SecureChannel:
    return SecureChannel.derive(
        initiator=initiator, shared=bytes(32), session_key=bytes(32), t0=bytes(32), version=2
    )


def listening(service: Stubborn) -> Listener:
    told: list[str] = []
    gate = Gate(open_to_all=True)
    nobody: Any = SimpleNamespace(responder=None)
    return Listener(nobody, gate, service, told.append, told.append, lambda _: "")


async def test_streams_that_are_reset_at_once_start_no_more_programs_than_streams_may_be_open():
    peer, service = Resetter(), Stubborn()
    guest = Guest(ALICE, INITIATOR.public, "direct")
    session = asyncio.create_task(listening(service)._session(peer.far, Passed(), guest, service))  # type: ignore[arg-type]
    for _ in range(10 * MAX_STREAMS):
        peer.open()
        await until(lambda: not peer.far._received)
        for _ in range(5):
            await asyncio.sleep(0)
        peer.send(RecordType.RESET, pb.StreamReset(stream=peer._next - 2))
    await until(lambda: not peer.far._received)
    assert service.started == service.running == MAX_STREAMS
    service.may_end.set()
    await until(lambda: not service.running)
    peer.open()
    await until(lambda: service.started == MAX_STREAMS + 1)
    peer.stream.abort()
    with pytest.raises(ConnectionLost):
        await session


async def test_a_stream_that_was_given_up_is_not_offered():
    peer = Resetter()
    async with Link(peer.far, sealed(initiator=False), initiator=False) as link:
        peer.open_and_reset(5000)
        peer.send(RecordType.OPEN, pb.OpenStream(stream=peer._next, target="a:1"))
        await until(lambda: not peer.far._received)
        assert len(link._offers) == 1
        offer = await link.next_offer()
        assert offer
        assert offer.target == "a:1"


class Guesser:
    """Answers in the peer's place up to the initiator's confirmation; then calls ``then``, and is silent."""

    def __init__(self, stream: MemoryStream, then: Callable[[], object]) -> None:
        self._stream = stream
        self._then = then
        gate = Gate(password=b"a guess")
        self._handshake = ResponderHandshake(PEER, RESPONDER, gate)

    async def run(self) -> None:
        self._answer(self._handshake.start())
        for _ in range(3):  # its PublicKey, proof and share
            self._answer(self._handshake.receive(await self._stream.receive() or b"", 0.0))
        assert await self._stream.receive(), "the confirmation"
        self._then()

    def _answer(self, events: list[object]) -> None:
        for event in events:
            if isinstance(event, Send):
                self._stream.send(event.payload)


async def connect(near: MemoryStream, far: MemoryStream) -> None:
    """To a Guesser; our time is over when it has what it wants."""
    handshake = InitiatorHandshake(PEER, INITIATOR, ())
    deadline = monotonic() + 3600
    async with within(3600.0) as limit:
        guessing = asyncio.create_task(Guesser(far, lambda: limit.reschedule(0.0)).run())
        await handshaking.verify(near, handshake)
        await handshaking.authenticate(near, handshake, deadline, Method.PASSWORD, b"secret", ALICE)
    await guessing


async def test_a_timeout_after_our_confirmation_is_a_failed_authentication():
    """A script that tries again after exit 8 would give away a guess each time."""
    with pytest.raises(AuthenticationFailed, match="did not confirm"):
        await connect(*memory.pair(MAX_PAYLOAD))


async def test_a_timeout_before_is_a_timeout():
    near, _ = memory.pair(MAX_PAYLOAD)
    with pytest.raises(DeadlineExceeded):
        async with within(0.0):
            await handshaking.verify(near, InitiatorHandshake(PEER, INITIATOR, ()))
