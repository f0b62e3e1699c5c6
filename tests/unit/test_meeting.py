"""Who may come to a hole, and which of them is the path."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest

from rdpeer.crypto.keys import IdentityKey
from rdpeer.errors import ConnectionLost, DeadlineExceeded, IdentityMismatch, NoPath, RdpeerError
from rdpeer.net.transport import FrameStream, memory
from rdpeer.net.transport.memory import MemoryStream
from rdpeer.peer import meeting
from rdpeer.peer.handshaking import Verified
from rdpeer.peer.meeting import MOST_STREAMS, meet
from rdpeer.peer.paths import VerifiedPath
from rdpeer.protocol.handshake import InitiatorHandshake, PathVerified
from rdpeer.values import Endpoint, PeerId

PEER, STRANGER = Endpoint("203.0.113.9", 40000), Endpoint("203.0.113.10", 40000)
KEY = IdentityKey.from_seed(b"k" * 32)


class Hole:
    """Gives the streams that the test puts in. ``dialled``: to whom, as often as it was."""

    endpoint = Endpoint("192.168.1.7", 50000)

    def __init__(self) -> None:
        self.failure = ""
        self.dialled: list[Endpoint] = []
        self.coming: asyncio.Queue[MemoryStream] = asyncio.Queue()
        self.redialled = asyncio.Event()

    async def dial(self, remote: Endpoint) -> None:
        self.dialled.append(remote)
        if len(self.dialled) > 1:
            self.redialled.set()

    async def accept(self) -> MemoryStream:
        return await self.coming.get()

    def comes(self, remote: Endpoint) -> MemoryStream:
        """Somebody from there: the far end."""
        near, far = memory.pair(4096)
        near.remote = remote
        self.coming.put_nowait(near)
        return far


async def verify(stream: FrameStream) -> VerifiedPath:
    """Whoever says anything is the peer; nobody else ever is."""
    try:
        payload = await stream.receive()
    except BaseException:
        stream.abort()
        raise
    if payload is None:
        raise ConnectionLost("closed")
    error = {b"another key": IdentityMismatch, b"silent": DeadlineExceeded}.get(payload)
    if error:
        raise error(payload.decode())
    proof = Verified(PathVerified(KEY.public, ()), 0.0)
    return VerifiedPath("direct", stream, InitiatorHandshake(PeerId("612345678"), KEY, ()), proof)


def meeting_at(
    hole: Hole, reports: list[str] | None = None, dial: Endpoint | None = PEER
) -> asyncio.Task[VerifiedPath]:
    report: Callable[[str], None] = ([] if reports is None else reports).append
    return asyncio.create_task(meet(hole, verify, report, dial=dial))  # type: ignore[arg-type]


async def test_the_first_that_proves_to_be_the_peer_is_the_path() -> None:
    hole = Hole()
    met = meeting_at(hole)
    silent, peer = hole.comes(STRANGER), hole.comes(PEER)
    peer.send(b"I am")
    assert (await met).stream.remote == PEER
    assert hole.dialled == [PEER]
    with pytest.raises(ConnectionLost):
        await silent.receive()


async def test_the_peer_may_come_from_another_address() -> None:
    hole = Hole()
    met = meeting_at(hole)
    hole.comes(STRANGER).send(b"I am")
    assert (await met).stream.remote == STRANGER


@pytest.mark.parametrize("words", [b"another key", b"silent"])
async def test_a_stranger_is_reported_and_ends_nothing(words: bytes) -> None:
    hole, reports = Hole(), list[str]()
    met = meeting_at(hole, reports)
    hole.comes(STRANGER).send(words)
    await turns()
    assert reports == [f"direct {STRANGER}: {words.decode()}"]
    hole.comes(PEER).send(b"I am")
    assert (await met).stream.remote == PEER


@pytest.mark.parametrize(
    ("words", "error"), [(b"another key", IdentityMismatch), (b"silent", DeadlineExceeded)]
)
async def test_somebody_else_at_the_peers_address_is_an_error(words: bytes, error: type[RdpeerError]) -> None:
    hole = Hole()
    met = meeting_at(hole)
    hole.comes(PEER).send(words)
    with pytest.raises(error):
        await met


async def test_a_connection_that_is_closed_without_a_word_is_dialled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As stock's attempt of 30 ms."""
    monkeypatch.setattr(meeting, "RETRY_AFTER", 0)
    hole = Hole()
    met = meeting_at(hole)
    await hole.comes(PEER).close()
    await hole.redialled.wait()
    hole.comes(PEER).send(b"I am")
    assert (await met).stream.remote == PEER


async def test_no_more_are_taken_than_eight() -> None:
    hole = Hole()
    met = meeting_at(hole)
    for _ in range(MOST_STREAMS + 1):
        hole.comes(STRANGER)
    await turns()
    assert hole.coming.qsize() == 1
    met.cancel()
    with pytest.raises(asyncio.CancelledError):
        await met


async def test_when_all_of_them_were_strangers_it_is_over() -> None:
    hole = Hole()
    met = meeting_at(hole)
    for _ in range(MOST_STREAMS):
        hole.comes(STRANGER).send(b"another key")
    with pytest.raises(NoPath, match="8 came, and none was the peer"):
        await met


async def test_a_bug_is_not_taken_for_a_peer_that_never_came() -> None:
    async def buggy(stream: FrameStream) -> VerifiedPath:
        raise ZeroDivisionError

    hole = Hole()
    hole.comes(STRANGER)
    with pytest.raises(ExceptionGroup) as caught:
        await meet(hole, buggy, [].append)  # type: ignore[arg-type]
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)


@pytest.mark.parametrize(
    ("dial", "failure", "told"),
    [
        (PEER, "", "203.0.113.9:40000: no answer within 0.01 s"),
        (PEER, "203.0.113.9:40000: refused", "203.0.113.9:40000: refused"),
        (None, "", "nobody came to 192.168.1.7:50000 within 0.01 s"),
    ],
)
async def test_where_nobody_comes_the_reason_is_told(
    monkeypatch: pytest.MonkeyPatch, dial: Endpoint | None, failure: str, told: str
) -> None:
    monkeypatch.setattr(meeting, "MEET_FOR", 0.01)
    hole = Hole()
    hole.failure = failure
    with pytest.raises(NoPath, match=f"^{re.escape(told)}$"):
        await meeting_at(hole, dial=dial)


async def test_cancelled_it_closes_what_came() -> None:
    hole = Hole()
    met = meeting_at(hole, dial=None)
    far = hole.comes(STRANGER)
    await turns()
    met.cancel()
    with pytest.raises(asyncio.CancelledError):
        await met
    with pytest.raises(ConnectionLost):
        await far.receive()
    assert hole.dialled == []


@pytest.mark.parametrize("moment", range(1, 12))
async def test_cancelled_around_the_moment_of_success_it_loses_no_path(moment: int) -> None:
    hole = Hole()
    met = meeting_at(hole)
    far = hole.comes(PEER)
    far.send(b"I am")
    for _ in range(moment):
        await asyncio.sleep(0)
    met.cancel()
    await asyncio.wait([met])
    if met.cancelled():
        with pytest.raises(ConnectionLost):
            await far.receive()
    else:
        assert met.result().stream.remote == PEER


async def turns() -> None:
    """Lets everything that can run do so."""
    for _ in range(20):
        await asyncio.sleep(0)
