"""What a link keeps while it moves to another transport: every byte, once, in order, and its end."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from ends import Collector, Digest, Text, channel, finish, one_stream

from rdpeer.errors import ConnectionLost, RemoteProtocolError
from rdpeer.net.link import Link
from rdpeer.net.transport import FrameStream, memory
from rdpeer.net.transports import MOST_JOINED
from rdpeer.protocol.candidates import Candidates

NAME, OTHER = b"b" * 16, b"x" * 16
MIB = 1024 * 1024
LIMIT = 128 * 1024


class Move:
    """Two links over one path, with another one beside it that both have joined."""

    def __init__(
        self, near: Link, far: Link, old: tuple[FrameStream, ...], new: tuple[FrameStream, ...]
    ) -> None:
        self.near, self.far = near, far
        self.old, self.new = old, new

    async def prepare(self) -> None:
        """Candidates are exchanged, and the far end holds its end of the new path."""
        for end in (self.near, self.far):
            assert await end.may_move()
            end.offer_candidates(Candidates(bytes(16), ()))
        for end in (self.near, self.far):
            await end.candidates()
        self.far.keep(NAME, self.new[1])

    async def __call__(self) -> None:
        assert self.near.move(NAME, self.new[0])
        assert await self.near.moved() is self.new[0]
        assert await self.far.moved() is self.new[1]


@asynccontextmanager
async def inside() -> AsyncIterator[tuple[FrameStream, FrameStream]]:
    """A path of memory alone."""
    yield memory.pair(LIMIT)


@asynccontextmanager
async def moving(joined=inside) -> AsyncIterator[Move]:
    async with (
        joined() as old,
        joined() as new,
        Link(old[0], channel(initiator=True), initiator=True, movable=True) as near,
        Link(old[1], channel(initiator=False), initiator=False, movable=True) as far,
    ):
        move = Move(near, far, old, new)
        await move.prepare()
        yield move


class Pausing(Text):
    """A source that says when ``after`` bytes of it were taken, and goes on when it is let."""

    def __init__(self, data: bytes, after: int) -> None:
        super().__init__(data)
        self.before = len(data) - after
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()

    async def read(self, limit: int) -> bytes:
        if len(self.data) <= self.before and not self.go_on.is_set():
            self.reached.set()
            await self.go_on.wait()
        return await super().read(limit)


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - what is waited for is inside the loop and tells nobody
        await asyncio.sleep(0)


async def test_while_much_flows_both_ways(joined, request):
    blob = random.Random(2).randbytes(MIB) * (56 if request.node.callspec.id in ("memory", "tcp") else 6)
    async with moving(joined) as move:
        ours, theirs = await one_stream(move.near, move.far)
        here, there = Digest(), Digest()
        carrying = asyncio.gather(ours.carry(Text(blob), here), theirs.carry(Text(blob), there))
        await asyncio.sleep(0)
        await move()
        assert not carrying.done()
        await carrying
        await finish(move.near, move.far)
    assert here.sha256.digest() == there.sha256.digest() == hashlib.sha256(blob).digest()


async def test_what_the_old_path_still_holds_comes_before_what_is_on_the_new_one():
    """The far end reads nothing from the old path, which is a slow relay, until the new one is full."""
    blob = random.Random(3).randbytes(MIB) * 6
    async with moving() as move:
        old = move.old[1]
        receive, open_gate = old.receive, asyncio.Event()

        async def held() -> bytes | None:
            payload = await receive()
            await open_gate.wait()
            return payload

        open_gate.set()
        old.receive = held  # type: ignore[method-assign]
        ours, theirs = await one_stream(move.near, move.far)
        there = Collector()
        source = Pausing(blob, MIB // 2)
        carrying = asyncio.gather(ours.carry(source, Collector()), theirs.carry(Text(), there))
        await source.reached.wait()
        open_gate.clear()
        source.go_on.set()
        assert move.near.move(NAME, move.new[0])
        await until(lambda: move.new[1]._unread > MIB // 2)  # type: ignore[attr-defined]
        assert len(there.data) < MIB
        open_gate.set()
        await carrying
        await finish(move.near, move.far)
        assert there.data == blob


@pytest.mark.parametrize("first", ["near", "far"])
async def test_while_one_direction_has_ended(joined, first):
    async with moving(joined) as move:
        ours, theirs = await one_stream(move.near, move.far)
        here, there = Collector(), Collector()
        pausing = Pausing(b"before, and after", 8)
        ended = Text(b"all I have")
        sources = (ended, pausing) if first == "near" else (pausing, ended)
        carrying = asyncio.gather(ours.carry(sources[0], here), theirs.carry(sources[1], there))
        sink = there if first == "near" else here
        await until(lambda: sink.finished)
        await move()
        pausing.go_on.set()
        await carrying
        await finish(move.near, move.far)
        assert {bytes(here.data), bytes(there.data)} == {b"all I have", b"before, and after"}


async def test_while_nothing_is_said(joined):
    async with moving(joined) as move:
        await move()
        await until(lambda: move.near._transports._left is move.far._transports._left is None)
        ours, theirs = await one_stream(move.near, move.far)
        here, there = Collector(), Collector()
        await asyncio.gather(ours.carry(Text(b"question"), here), theirs.carry(Text(b"answer"), there))
        await finish(move.near, move.far)
        assert (here.data, there.data) == (b"answer", b"question")


async def test_streams_that_are_opened_and_end_while_it_moves(joined):
    async with moving(joined) as move:

        async def one(text: bytes) -> bytes:
            stream = await move.near.open()
            sink = Collector()
            await stream.carry(Text(text), sink)
            return bytes(sink.data)

        async def serve() -> None:
            while (offer := await move.far.next_offer()) is not None:
                serving.append(asyncio.create_task(offer.accept().carry(Text(b"heard"), Collector())))

        serving: list[asyncio.Task[object]] = []
        offers = asyncio.create_task(serve())
        asking = [asyncio.create_task(one(b"x" * n)) for n in (1, 100_000, 500_000)]
        await asyncio.sleep(0)
        await move()
        asking += [asyncio.create_task(one(b"x" * n)) for n in (1, 100_000)]
        assert await asyncio.gather(*asking) == [b"heard"] * 5
        await asyncio.gather(*serving)
        await finish(move.near, move.far)
        await offers


async def test_an_end_that_comes_while_it_moves(joined):
    """The initiator's SWITCH and everybody's last words are under way at once."""
    async with moving(joined) as move:
        ours, theirs = await one_stream(move.near, move.far)
        assert move.near.move(NAME, move.new[0])
        here, there = Collector(), Collector()
        await asyncio.gather(
            ours.carry(Text(b"1" * 100_000), here), theirs.carry(Text(b"2" * 100_000), there)
        )
        await finish(move.near, move.far)
        assert (len(here.data), len(there.data)) == (100_000, 100_000)


async def test_a_responder_that_has_finished_does_not_move(joined):
    async with moving(joined) as move:
        finishing = asyncio.create_task(move.far.finish())
        assert move.near.move(NAME, move.new[0])  # its FINAL and our SWITCH cross
        await move.near.finish()
        await finishing


async def test_too_late_to_begin(joined):
    async with moving(joined) as move:
        finishing = asyncio.create_task(move.far.finish())
        assert await move.near.next_offer() is None
        assert not move.near.move(NAME, move.new[0])
        await move.near.finish()
        await finishing


# What goes wrong


async def both_lose(move: Move) -> None:
    """Neither end takes it for an orderly end."""
    results = await asyncio.gather(*(end.open() for end in (move.near, move.far)), return_exceptions=True)
    assert all(isinstance(result, ConnectionLost) for result in results), results


async def test_the_new_path_is_lost_before_the_move(joined):
    """Nobody notices."""
    async with moving(joined) as move:
        move.new[0].abort()
        ours, theirs = await one_stream(move.near, move.far)
        await asyncio.gather(ours.carry(Text(b"x"), Collector()), theirs.carry(Text(b"y"), Collector()))
        await finish(move.near, move.far)


async def test_the_new_path_is_lost_when_the_move_begins(joined):
    async with moving(joined) as move:
        assert move.near.move(NAME, move.new[0])
        move.new[0].abort()
        await both_lose(move)


async def test_the_new_path_is_lost_at_the_far_end_when_the_move_begins(joined):
    async with moving(joined) as move:
        move.new[1].abort()
        assert move.near.move(NAME, move.new[0])
        await both_lose(move)


async def test_the_new_path_is_lost_after_the_move(joined):
    async with moving(joined) as move:
        await move()
        move.new[0].abort()
        await both_lose(move)


async def test_the_old_path_is_lost_before_its_last_record():
    async with moving() as move:
        assert move.near.move(NAME, move.new[0])
        move.old[0].abort()
        await both_lose(move)


@pytest.mark.parametrize("meddle", ["swap", "repeat", "carry over"])
async def test_a_relay_that_meddles_with_the_last_record(meddle):
    """The relay holds SWITCH and the record before it, and passes them on in its own way."""
    async with moving() as move:
        wire = move.old[1]._received  # type: ignore[attr-defined]
        held: list[bytes] = []
        move.old[0].send = held.append  # type: ignore[method-assign]
        opening = asyncio.create_task(move.near.open())
        await until(lambda: len(held) == 1)
        assert move.near.move(NAME, move.new[0])
        one, switch = held
        if meddle == "swap":
            wire.extend([switch, one])
        elif meddle == "repeat":
            wire.extend([one, one, switch])
        else:
            wire.extend([one, switch])
            move.new[1]._received.append(switch)  # type: ignore[attr-defined]
        move.old[1]._changed.set()  # type: ignore[attr-defined]
        with pytest.raises(RemoteProtocolError, match="does not open"):
            await move.far.finish()
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)


async def test_a_name_that_the_responder_does_not_know(joined):
    async with moving(joined) as move:
        assert move.near.move(OTHER, move.new[0])
        with pytest.raises(ConnectionLost, match="the direct path was lost while the session moved"):
            await move.far.moved()


async def test_the_others_that_were_joined_are_closed(joined):
    async with moving(joined) as move, joined() as (left, right):
        move.far.keep(OTHER, right)
        await move()
        with pytest.raises(ConnectionLost):
            await right.receive()
        late, there = memory.pair(LIMIT)
        move.far.keep(OTHER, there)
        with pytest.raises(ConnectionLost):
            await late.receive()
        assert left is not right


async def test_no_more_are_held_than_a_few():
    async with moving() as move:
        pairs = [memory.pair(LIMIT) for _ in range(MOST_JOINED)]
        for number, (_, right) in enumerate(pairs):
            move.far.keep(bytes([number]) * 16, right)
        with pytest.raises(ConnectionLost):  # one was there before
            await pairs[-1][0].receive()
        await move()


async def test_what_comes_on_the_path_that_was_left_means_nothing():
    """From the relay, that is: the other end has said there what it had to say."""
    async with moving() as move:
        close = move.old[0].close

        async def meddle() -> None:
            move.old[0].send(b"from the relay")
            move.old[0].send(bytes(LIMIT * 2))
            await close()

        move.old[0].close = meddle  # type: ignore[method-assign]
        await move()
        ours, theirs = await one_stream(move.near, move.far)
        await asyncio.gather(ours.carry(Text(b"x"), Collector()), theirs.carry(Text(b"y"), Collector()))
        await finish(move.near, move.far)


async def test_cancelled_while_it_moves_all_of_it_is_closed():
    async with moving() as move:
        assert move.near.move(NAME, move.new[0])
    for stream in (*move.old, *move.new):
        with pytest.raises(ConnectionLost):
            await stream.receive()
