"""Handshakes over a stream: how each of them ends, and by when."""

from __future__ import annotations

import asyncio

import pytest

from rdpeer.crypto.keys import IdentityKey
from rdpeer.errors import (
    AuthenticationFailed,
    ConnectionLost,
    DeadlineExceeded,
    IdentityMismatch,
    RdpeerError,
    RemoteProtocolError,
)
from rdpeer.net.clock import monotonic
from rdpeer.net.transport import memory
from rdpeer.net.transport.memory import MemoryStream
from rdpeer.peer import handshaking
from rdpeer.protocol.gate import Gate, Method
from rdpeer.protocol.handshake import (
    Authenticated,
    Denial,
    Denied,
    ExpectedKey,
    InitiatorHandshake,
    InitiatorProven,
    ResponderHandshake,
)
from rdpeer.values import PeerId

PEER, OWN = PeerId("612345678"), PeerId("698765432")
ALICE, BOB = IdentityKey.from_seed(b"a" * 32), IdentityKey.from_seed(b"b" * 32)
CODE = b"7K4M2XQP"


class Meeting:
    """Alice and Bob at the two ends of one connection."""

    def __init__(self, gate: Gate | None = None, key: IdentityKey = BOB) -> None:
        self.near, self.far = memory.pair(4096)
        self.i = InitiatorHandshake(PEER, ALICE, [ExpectedKey("the test", BOB.public)])
        self.r = ResponderHandshake(PEER, key, gate or Gate(open_to_all=True))
        self.proven: list[InitiatorProven] = []

    async def initiate(self, method: Method = Method.OPEN, secret: bytes | None = None) -> Authenticated:
        verified = await handshaking.verify(self.near, self.i)
        assert verified.proof.peer_key == BOB.public
        return await handshaking.authenticate(self.near, self.i, verified.deadline, method, secret, OWN)

    async def admit(self) -> Authenticated | Denied:
        return await handshaking.admit(self.far, self.r, self.proven.append)


def with_code() -> Gate:
    gate = Gate()
    gate.offer_code(CODE, monotonic())
    return gate


@pytest.mark.parametrize(("method", "secret"), [(Method.OPEN, None), (Method.CODE, CODE)])
async def test_both_come_to_their_end(method: Method, secret: bytes | None) -> None:
    meeting = Meeting(with_code() if secret else None)
    ours, theirs = await asyncio.gather(meeting.initiate(method, secret), meeting.admit())
    assert ours == Authenticated(method, BOB.public)
    assert theirs == Authenticated(method, ALICE.public)
    assert meeting.proven == [InitiatorProven(ALICE.public, method, OWN)]
    assert meeting.r.channel.open(meeting.i.channel.seal(b"hello")) == (b"hello", False)


async def test_the_initiator_is_told_of_its_denial() -> None:
    meeting = Meeting(with_code())
    ends = asyncio.gather(meeting.initiate(Method.CODE, b"00000000"), meeting.admit(), return_exceptions=True)
    ours, theirs = await ends
    assert isinstance(ours, AuthenticationFailed)
    assert theirs == Denied(Denial.WRONG_SECRET, ALICE.public, Method.CODE)


async def test_a_stranger_hears_nothing_of_us() -> None:
    meeting = Meeting(key=ALICE)
    admitting = asyncio.create_task(meeting.admit())
    with pytest.raises(IdentityMismatch):
        await meeting.initiate()
    meeting.near.abort()
    with pytest.raises(ConnectionLost):
        await admitting
    assert meeting.proven == []


async def end_of(work: object) -> RdpeerError:
    with pytest.raises(RdpeerError) as caught:
        await work  # type: ignore[misc]
    return caught.value


async def test_nothing_is_heard_within_the_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshaking, "SILENCE", 0.01)
    meeting = Meeting()
    assert type(await end_of(meeting.initiate())) is DeadlineExceeded
    assert not meeting.i.heard


async def test_the_responder_waits_no_longer_than_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshaking, "TIMEOUT", 0.01)
    assert type(await end_of(Meeting().admit())) is DeadlineExceeded


async def test_a_deadline_that_has_passed_lets_nothing_happen() -> None:
    meeting = Meeting()
    admitting = asyncio.create_task(meeting.admit())
    await handshaking.verify(meeting.near, meeting.i)
    end = handshaking.authenticate(meeting.near, meeting.i, monotonic() - 1, Method.OPEN, None, OWN)
    assert type(await end_of(end)) is DeadlineExceeded
    admitting.cancel()
    await asyncio.gather(admitting, return_exceptions=True)


@pytest.mark.parametrize("orderly", [True, False])
async def test_an_end_of_the_stream(orderly: bool) -> None:
    for side in ("initiate", "admit"):
        meeting = Meeting()
        other = meeting.far if side == "initiate" else meeting.near
        if orderly:
            await other.close()
        else:
            other.abort()
        assert type(await end_of(getattr(meeting, side)())) is ConnectionLost


@pytest.mark.parametrize("end", ["close", "abort", "stall"])
async def test_any_end_behind_our_confirmation_is_a_failed_authentication(
    monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(handshaking, "TIMEOUT", 0.2)
    meeting = Meeting(with_code())
    initiating = asyncio.create_task(meeting.initiate(Method.CODE, CODE))
    answer(meeting.far, meeting.r.start())
    for _ in range(3):
        answer(meeting.far, meeting.r.receive(await payload(meeting.far), monotonic()))
    await payload(meeting.far)
    if end == "close":
        await meeting.far.close()
    elif end == "abort":
        meeting.far.abort()
    error = await end_of(initiating)
    assert type(error) is AuthenticationFailed
    assert error.hint is not None


async def payload(stream: MemoryStream) -> bytes:
    received = await stream.receive()
    assert received is not None
    return received


def answer(stream: MemoryStream, events: list[object]) -> None:
    for event in events:
        if isinstance(event, handshaking.Send):
            stream.send(event.payload)


async def test_a_frame_over_the_limit() -> None:
    meeting = Meeting()
    meeting.near.send(bytes(5000))
    assert type(await end_of(meeting.admit())) is RemoteProtocolError


async def test_cancelling_is_no_deadline() -> None:
    for side in ("initiate", "admit"):
        task = asyncio.create_task(getattr(Meeting(), side)())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
