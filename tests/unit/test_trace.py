"""rdpeer.net.trace: what is told of conversations, openings and servers; and nothing is wrapped unasked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest

from rdpeer.crypto.keys import IdentityKey
from rdpeer.net import trace
from rdpeer.net.link import Link
from rdpeer.net.transport import memory
from rdpeer.peer import handshaking
from rdpeer.protocol.conversation import (
    Command,
    DatagramReceived,
    Event,
    FrameReceived,
    ListenerOpened,
    OpenStream,
    SendDatagram,
    SendFrame,
    SocketBound,
    Started,
    StreamClosed,
    StreamFailed,
    StreamOpened,
)
from rdpeer.protocol.gate import Gate, Method
from rdpeer.protocol.handshake import Authenticated, ExpectedKey, InitiatorHandshake, ResponderHandshake
from rdpeer.values import Endpoint, PeerId, ServerAddress
from rdpeer.wire import rendezvous_pb2 as pb

HERE, SERVER = Endpoint("10.0.0.1", 5000), Endpoint("203.0.113.5", 21116)
PEER = PeerId("612345678")
KEY = IdentityKey.from_seed(b"a" * 32)


class Script:
    """A conversation that says what it is given to say, one thing an event."""

    deadline = 7.0

    def __init__(self, *commands: list[Command]) -> None:
        self._commands = iter(commands)

    def handle(self, event: Event, now: float) -> list[Command]:
        return next(self._commands, [])


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.fixture
def tracing(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG, "rdpeer.net.trace"):
        yield caplog


def message(**member: object) -> bytes:
    return pb.RendezvousMessage(**member).SerializeToString()  # type: ignore[arg-type]


def test_nothing_is_wrapped_where_nobody_traces(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rdpeer.net.trace")
    conversation, (near, _) = Script(), memory.pair(99)
    handshake = ResponderHandshake(PEER, KEY, Gate())
    begin = handshake.on_channel

    def answer(datagram: bytes, source: object, now: float) -> None: ...

    assert trace.conversation(conversation) is conversation
    assert trace.opening(near, handshake) is near
    assert handshake.on_channel is begin
    assert trace.answering(answer) is answer


def test_a_conversation(tracing: pytest.LogCaptureFixture) -> None:
    asked, answered = message(register_peer={"id": "612345678"}), message(register_peer_response={})
    conversation = trace.conversation(
        Script(
            [OpenStream("s", ServerAddress("vps.example"))],
            [SendFrame("s", asked)],
            [OpenStream("r", ServerAddress("relay.example", 1))],
            [],
            [SendDatagram(asked)],
        )
    )
    events: list[Event] = [
        Started(),
        StreamOpened("s", HERE, SERVER),
        FrameReceived("s", answered),
        StreamFailed("r", "no\x1b[31m answer"),
        SocketBound(SERVER),
        DatagramReceived(b"\xff\xff"),
        FrameReceived("s", b""),
        ListenerOpened("l", HERE),
        StreamClosed("s"),
    ]
    for event in events:
        conversation.handle(event, 0.0)
    assert conversation.deadline == 7.0
    assert lines(tracing) == [
        "-- tcp 203.0.113.5:21116: connected",
        "-> tcp 203.0.113.5:21116, 13 bytes: RegisterPeer id=612345678",
        "<- tcp 203.0.113.5:21116, 2 bytes: RegisterPeerResponse",
        "-- tcp relay.example:1: failed: no?[31m answer",
        "-> udp 203.0.113.5:21116, 13 bytes: RegisterPeer id=612345678",
        "<- udp 203.0.113.5:21116, 2 bytes: no message that is known",
        "<- tcp 203.0.113.5:21116, 0 bytes: empty",
        "-- tcp 10.0.0.1:5000: listening",
        "-- tcp 203.0.113.5:21116: closed by the other end",
    ]


def test_a_conversation_by_websocket_behind_a_proxy(tracing: pytest.LogCaptureFixture) -> None:
    conversation = trace.conversation(Script([OpenStream("s", ServerAddress.parse("wss://vps.example"))]))
    for event in (Started(), StreamOpened("s", HERE, None), FrameReceived("s", b"")):
        conversation.handle(event, 0.0)
    assert lines(tracing) == [
        "-- wss vps.example/ws/id: connected",
        "<- wss vps.example/ws/id, 0 bytes: empty",
    ]


async def test_an_opening_and_the_session_behind_it(tracing: pytest.LogCaptureFixture) -> None:
    near, far = memory.pair(4096)
    initiator = InitiatorHandshake(PEER, KEY, [ExpectedKey("the test", KEY.public)])
    responder = ResponderHandshake(PEER, KEY, Gate(open_to_all=True))

    async def initiate() -> None:
        verified = await handshaking.verify(near, initiator)
        await handshaking.authenticate(near, initiator, verified.deadline, Method.OPEN, None, PEER)
        async with Link(near, initiator.channel, initiator=True) as link:
            await link.finish()

    async def admit() -> None:
        end = await handshaking.admit(far, responder, lambda _: None)
        assert isinstance(end, Authenticated)
        async with Link(far, responder.channel, initiator=False) as link:
            assert await link.next_offer() is None
            await link.finish()

    await asyncio.gather(initiate(), admit())
    place = f"memory {near.remote}"
    seen = [line for line in lines(tracing) if place in line]
    assert [(line[:2], line.partition(" bytes: ")[2].partition("=")[0]) for line in seen[:5]] == [
        ("<-", "SignedId id"),
        ("->", "PublicKey asymmetric_value"),
        ("<-", "sealed RESPONDER_PROOF"),
        ("->", "sealed INITIATOR_PROOF"),
        ("<-", "sealed ACCEPTED"),
    ]
    assert {line.partition("sealed ")[2] for line in seen[5:]} == {"HELLO", "FINAL"}
    assert len(lines(tracing)) == 2 * len(seen)


def test_a_server_s_datagrams(tracing: pytest.LogCaptureFixture) -> None:
    asked, answered = message(register_peer={"id": "612345678"}), message(register_peer_response={})
    answer = trace.answering(lambda datagram, source, now: answered if datagram == asked else None)
    assert answer(asked, ("10.0.0.1", 5000), 0.0) == answered
    assert answer(b"", ("10.0.0.1", 5000), 0.0) is None
    assert lines(tracing) == [
        "<- udp 10.0.0.1:5000, 13 bytes: RegisterPeer id=612345678",
        "-> udp 10.0.0.1:5000, 2 bytes: RegisterPeerResponse",
        "<- udp 10.0.0.1:5000, 0 bytes: empty",
    ]
