"""What every FrameStream keeps, whatever carries it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from rdpeer.errors import ConnectionLost, RemoteProtocolError
from rdpeer.net.transport import FrameStream

MIB = 1024 * 1024


async def everything(stream: FrameStream) -> list[bytes]:
    payloads = []
    while (payload := await stream.receive()) is not None:
        payloads.append(payload)
    return payloads


async def send_all(stream: FrameStream, payloads: list[bytes]) -> None:
    for payload in payloads:
        stream.send(payload)
        await stream.drain()


def into(taken: list[bytes]) -> Callable[[bytes], bool]:
    """A taker that keeps everything and never has enough."""
    return lambda payload: taken.append(payload) is not None


async def test_order_and_sizes(joined):
    payloads = [
        bytes([n % 256]) * size for n, size in enumerate([0, 1, 63, 64, 16383, 16384, 65536, 131072, 3])
    ]
    async with joined() as (left, right):
        receiving = asyncio.create_task(everything(right))
        await send_all(left, payloads)
        await left.close()
        assert await receiving == payloads


async def test_pouring_gives_each_payload_in_order_and_ends_with_the_stream(joined):
    payloads = [bytes([n]) * size for n, size in enumerate([0, 1, 65536, 131072, 3])]
    async with joined() as (left, right):
        taken: list[bytes] = []
        left.send(b"before")
        pouring = asyncio.create_task(right.pour(into(taken)))
        await send_all(left, payloads)
        closing = asyncio.create_task(left.close())
        assert not await pouring
        assert taken == [b"before", *payloads]
        await right.close()
        await closing


async def test_a_taker_that_has_enough_leaves_the_rest_to_be_received(joined):
    async with joined() as (left, right):
        taken: list[bytes] = []

        def take(payload: bytes) -> bool:
            taken.append(payload)
            return payload == b"enough"

        for payload in (b"one", b"enough", b"three", b"four", b"enough", b"six"):
            left.send(payload)
        assert await right.pour(take)
        assert await right.receive() == b"three"
        assert await right.pour(take)
        closing = asyncio.create_task(left.close())
        assert await everything(right) == [b"six"]
        assert taken == [b"one", b"enough", b"four", b"enough"]
        await right.close()
        await closing


async def test_what_the_taker_raises_ends_the_pouring(joined):
    async with joined() as (left, right):
        taken: list[bytes] = []

        def take(payload: bytes) -> bool:
            taken.append(payload)
            if payload == b"bad":
                raise RemoteProtocolError("no more of this")
            return False

        pouring = asyncio.create_task(right.pour(take))
        left.send(b"good")
        left.send(b"bad")
        left.send(b"never looked at")
        with pytest.raises(RemoteProtocolError, match="no more of this"):
            await pouring
        assert taken == [b"good", b"bad"]


async def test_pouring_tells_an_abort_and_a_frame_over_the_limit(joined):
    async with joined() as (left, right):
        right.limit = 5
        taken: list[bytes] = []
        left.send(b"short")
        left.send(b"too long")
        with pytest.raises(RemoteProtocolError, match="limit of 5"):
            await right.pour(into(taken))
        assert taken == [b"short"]
        left.abort()
        with pytest.raises(ConnectionLost):
            await left.pour(into(taken))


async def test_what_was_sent_before_a_close_arrives(joined):
    async with joined() as (left, right):
        left.send(b"one")
        left.send(b"two")
        closing = asyncio.create_task(left.close())
        assert await everything(right) == [b"one", b"two"]
        await right.close()
        await closing


async def test_the_other_direction_stays_open_after_an_end(joined):
    async with joined() as (left, right):
        closing = asyncio.create_task(left.close())
        assert await right.receive() is None
        right.send(b"late")  # may be dropped, must not fail
        await right.drain()
        await right.close()
        await closing


async def test_closing_twice_and_sending_after_it_are_harmless(joined):
    async with joined() as (left, right):
        await asyncio.gather(left.close(), right.close())
        await left.close()
        left.send(b"nobody")
        await left.drain()
        left.abort()


async def test_an_abort_is_not_an_orderly_end_here(joined):
    async with joined() as (left, _):
        left.abort()
        with pytest.raises(ConnectionLost):
            await left.receive()


async def test_a_frame_over_the_limit(joined):
    async with joined() as (left, right):
        right.limit = 100
        left.send(b"x" * 100)
        left.send(b"x" * 101)
        assert await right.receive() == b"x" * 100
        with pytest.raises(RemoteProtocolError, match="over the limit of 100"):
            await everything(right)


async def test_both_directions_in_bulk(joined):
    payloads = [bytes([n % 256]) * 60_000 for n in range(100)]
    async with joined() as (left, right):

        async def work(stream: FrameStream) -> list[bytes]:
            sending = asyncio.create_task(send_all(stream, payloads))
            received = [await stream.receive() for _ in payloads]
            await sending
            return received

        assert await asyncio.gather(work(left), work(right)) == [payloads, payloads]


async def test_a_reader_that_stands_still_stops_the_sender(joined):
    async with joined() as (left, right):
        sent = 0
        for _ in range(1000):  # 64 MB, more than any path may hold
            left.send(bytes(64 * 1024))
            draining = asyncio.ensure_future(left.drain())
            await asyncio.wait([draining], timeout=0.2)
            if not draining.done():
                break
            sent += 64 * 1024
        else:
            pytest.fail("nothing held the sender back")
        for _ in range(sent // (64 * 1024)):
            assert await right.receive() == bytes(64 * 1024)
        await draining


async def test_drain_returns_when_the_stream_breaks(joined):
    async with joined() as (left, right):
        for _ in range(300):
            left.send(bytes(64 * 1024))
        draining = asyncio.create_task(left.drain())
        await asyncio.sleep(0)
        assert not draining.done()
        right.abort()
        await draining


async def test_a_cancelled_receive_loses_nothing(joined):
    async with joined() as (left, right):
        waiting = asyncio.create_task(right.receive())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        left.send(b"still there")
        assert await right.receive() == b"still there"
