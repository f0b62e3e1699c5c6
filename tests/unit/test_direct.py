"""Attempts at a direct path: the first that succeeds, and what becomes of the others."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

import pytest

from rdpeer.crypto.move_key import MoveKey
from rdpeer.errors import ConnectionLost, NoPath
from rdpeer.net import checking, direct
from rdpeer.net.gathering import Gathering, datagram_socket
from rdpeer.net.transport import memory
from rdpeer.protocol.checks import Checks
from rdpeer.protocol.joining import JOIN_BYTES, Joining
from rdpeer.values import Endpoint

FACTS = {"exporter": b"e" * 32, "t2": b"t" * 32, "initiator_nonce": b"i" * 16, "responder_nonce": b"r" * 16}
NEAR, FAR = MoveKey(initiator=True, **FACTS), MoveKey(initiator=False, **FACTS)


class Attempt:
    """One that succeeds when it is told to, with a stream of which we hold the other end."""

    def __init__(self) -> None:
        self.stream, self.other = memory.pair(JOIN_BYTES)
        self.succeed = asyncio.Event()

    async def run(self) -> direct.Joined:
        await self.succeed.wait()
        return b"n" * 16, self.stream


async def failing(text: str) -> direct.Joined:
    raise OSError(text)


async def is_closed(stream: memory.MemoryStream) -> bool:
    try:
        return await stream.receive() is None
    except ConnectionLost:
        return True


async def test_the_first_is_taken_and_one_that_came_at_the_same_time_is_closed():
    one, two = Attempt(), Attempt()
    one.succeed.set()
    two.succeed.set()
    _, stream = await direct.first([one.run(), two.run()], 5.0)
    (lost,) = {one, two} - {one if stream is one.stream else two}
    assert await is_closed(lost.other)
    stream.send(b"alive")


async def test_what_became_of_each_is_told():
    with pytest.raises(NoPath) as caught:
        await direct.first([failing("refused"), failing("no route")], 5.0)
    assert set(str(caught.value).split("; ")) == {"refused", "no route"}


async def test_one_that_does_not_end_is_ended():
    with pytest.raises(NoPath, match=r"^refused; no direct path within 0\.01 s$"):
        await direct.first([failing("refused"), Attempt().run()], 0.01)


async def test_a_bug_is_not_hidden():
    async def bug() -> direct.Joined:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await direct.first([bug()], 5.0)


async def test_cancelled_when_one_has_just_succeeded_it_closes_that():
    slow = asyncio.Event()

    async def slow_to_end() -> direct.Joined:
        try:
            await asyncio.Event().wait()
        finally:
            slow.set()
            await asyncio.sleep(60)
        raise AssertionError

    one = Attempt()
    racing = asyncio.create_task(direct.first([one.run(), slow_to_end()], 30.0))
    await asyncio.sleep(0)
    one.succeed.set()
    await slow.wait()
    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing
    assert await is_closed(one.other)


async def test_a_caller_without_a_valid_check_is_not_heard():
    """Neither one that never checked, nor what is as short as a check."""
    ours, stranger, peer = (datagram_socket(v6=False) for _ in range(3))
    with ours, stranger, peer:
        at = ("127.0.0.1", ours.getsockname()[1])
        waiting = asyncio.create_task(checking.caller(ours, Checks(FAR, [], 0.0)))
        ((_, check),) = Checks(NEAR, [Endpoint("127.0.0.1", 9)], 0.0).due(0.0)
        stranger.sendto(b"x" * 50, at)
        peer.sendto(b"x" * 13, at)
        peer.sendto(b"y" * 50, at)
        peer.sendto(check, at)
        loop = asyncio.get_running_loop()
        assert len((await loop.sock_recvfrom(peer, 100))[0]) == len(check)
        peer.sendto(b"z" * 50, at)
        source, datagram = await waiting
        assert (source.port, datagram) == (peer.getsockname()[1], b"z" * 50)


async def test_a_flood_does_not_keep_the_time_from_passing():
    ours, flood = datagram_socket(v6=False), datagram_socket(v6=False)
    with ours, flood:
        at = ("127.0.0.1", ours.getsockname()[1])

        class Endless(Checks):
            def receive(self, datagram: bytes, source: Endpoint, now: float) -> list[tuple[Endpoint, bytes]]:
                flood.sendto(b"again", at)
                return super().receive(datagram, source, now)

        flood.sendto(b"first", at)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await checking.works(ours, Endless(NEAR, [], 0.0))


async def test_garbage_and_silence_at_a_listener_keep_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(direct, "JOIN_WITHIN", 0.01)
    kept: list[direct.Joined] = []
    with await Gathering.open(["127.0.0.1"], limit=JOIN_BYTES, listen=True) as gathering:
        (listener,) = gathering.listeners
        accepting = asyncio.create_task(direct.accept(listener, FAR, lambda *joined: kept.append(joined)))
        for said in (b"\x04x", b"", b"\xff\xff\xff\xff"):
            reader, writer = await asyncio.open_connection("127.0.0.1", listener.endpoint.port)
            writer.write(said)
            with suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
        name, stream = await direct.dial(listener.endpoint, NEAR)
        stream.abort()
        accepting.cancel()
        await asyncio.wait([accepting])
    ((kept_name, theirs),) = kept
    assert kept_name == name
    theirs.abort()


async def test_a_join_that_is_no_answer_closes_the_stream():
    near, far = memory.pair(JOIN_BYTES)
    far.send(Joining(NEAR).payload)  # ours, sent back
    with pytest.raises(Exception, match="somebody else answers there"):
        await direct._join(near, NEAR)
    assert await is_closed(far)


def test_no_socket_is_opened_for_a_family_without_an_address():
    async def families() -> list[int]:
        with await Gathering.open(["127.0.0.1"], limit=1, listen=False) as gathering:
            return [sock.family for sock in gathering.sockets]

    assert asyncio.run(families()) == [socket.AF_INET]
