"""What a link keeps over every path: order, both ends of both directions, backpressure, the end."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import random

import pytest
from ends import Broken, Collector, Digest, Hasty, Text, Zeros, channel, departed, finish, links, one_stream

from rdpeer.errors import ConnectionLost, PeerRefused
from rdpeer.net.link import Link
from rdpeer.protocol.credit import LONE_WINDOW
from rdpeer.protocol.session import MAX_DATA
from rdpeer.wire import channel_pb2 as pb

MIB = 1024 * 1024


async def both(*work):
    """All results, errors among them."""
    return await asyncio.gather(*work, return_exceptions=True)


async def test_both_directions_to_the_end(joined):
    async with links(joined()) as (near, far):
        ours, theirs = await one_stream(near, far, "localhost:22")
        here, there = Collector(), Collector()
        await asyncio.gather(ours.carry(Text(b"question"), here), theirs.carry(Text(b"answer"), there))
        await finish(near, far)
        assert (here.data, there.data) == (b"answer", b"question")
        assert here.finished
        assert there.finished


async def test_a_sink_that_takes_only_a_part_at_once_gets_all_in_order(joined):
    data = random.Random(1).randbytes(3 * MIB + 1)
    async with links(joined()) as (near, far):
        ours, theirs = await one_stream(near, far)
        there = Hasty()
        await asyncio.gather(ours.carry(Text(data), Collector()), theirs.carry(Text(), there))
        await finish(near, far)
        assert there.data == data


async def test_the_initiator_ends_first(joined):
    async with links(joined()) as (near, far):
        ours, theirs = await one_stream(near, far)
        there, here = Collector(), Collector()
        carrying = asyncio.create_task(ours.carry(Text(b"all I have"), here))
        answer = AnswerAfterTheEnd(there)
        await theirs.carry(answer, there)
        await carrying
        assert here.data == b"you said all I have"
        await finish(near, far)


class AnswerAfterTheEnd(Text):
    """Has nothing to say before the other direction has ended."""

    def __init__(self, heard: Collector) -> None:
        super().__init__()
        self.heard = heard
        self.said = False
        heard.finish = self._finish  # type: ignore[method-assign]
        self.ended = asyncio.Event()

    async def _finish(self) -> None:
        self.heard.finished = True
        self.ended.set()

    async def read(self, limit: int) -> bytes:
        await self.ended.wait()
        if self.said:
            return b""
        self.said = True
        return b"you said " + self.heard.data


async def test_the_responder_ends_first(joined):
    async with links(joined()) as (near, far):
        ours, theirs = await one_stream(near, far)
        there, here = Collector(), Collector()
        carrying = asyncio.create_task(theirs.carry(Text(b"all I have"), there))
        await ours.carry(AnswerAfterTheEnd(here), here)
        await carrying
        assert there.data == b"you said all I have"
        await finish(near, far)


async def test_a_large_transfer_both_ways_by_checksum(joined):
    blob = random.Random(1).randbytes(1 * MIB) * 32
    async with links(joined()) as (near, far):
        ours, theirs = await one_stream(near, far)
        here, there = Digest(), Digest()
        await asyncio.gather(ours.carry(Text(blob), here), theirs.carry(Text(blob), there))
        await finish(near, far)
    assert here.sha256.digest() == there.sha256.digest() == hashlib.sha256(blob).digest()


async def test_many_streams_at_once(joined):
    texts = [bytes([n]) * (n * 70_000) for n in range(12)]
    async with links(joined()) as (near, far):
        heard = [Collector() for _ in texts]

        async def ask(text: bytes, sink: Collector) -> None:
            stream = await near.open(f"echo:{len(text)}")
            await stream.carry(Text(text), sink)

        async def serve() -> None:
            for _ in texts:
                offer = await far.next_offer()
                assert offer is not None
                echo = Echo()
                serving.append(asyncio.create_task(offer.accept().carry(echo, echo)))

        serving: list[asyncio.Task[object]] = []
        await asyncio.gather(serve(), *map(ask, texts, heard))
        await asyncio.gather(*serving)
        await finish(near, far)
        assert [sink.data for sink in heard] == texts


class Echo(Collector):
    """Source and sink: gives back what it takes, as it takes it."""

    ends_with_peer = False

    def __init__(self) -> None:
        super().__init__()
        self.changed = asyncio.Event()

    async def read(self, limit: int) -> bytes:
        while not self.data and not self.finished:
            self.changed.clear()
            await self.changed.wait()
        chunk = bytes(self.data[:limit])
        del self.data[:limit]
        return chunk

    async def write(self, chunks) -> None:
        await super().write(chunks)
        self.changed.set()

    async def finish(self) -> None:
        await super().finish()
        self.changed.set()

    async def status(self) -> None:
        return None

    def close(self) -> None: ...


async def test_a_reader_that_stands_still_holds_no_more_than_the_windows(joined):
    async with links(joined()) as (near, far):
        ours, theirs = await one_stream(near, far)
        source, sink = Zeros(64 * MIB), Collector()
        sink.moving.clear()
        carrying = [
            asyncio.create_task(ours.carry(source, Collector())),
            asyncio.create_task(theirs.carry(Text(), sink)),
        ]
        while True:
            before = source.taken
            await asyncio.sleep(0.05)
            if source.taken == before > 0:
                break
        assert source.taken <= LONE_WINDOW + MAX_DATA
        sink.moving.set()
        await asyncio.gather(*carrying)
        await finish(near, far)
        assert len(sink.data) == 64 * MIB


async def test_a_stalled_stream_does_not_stop_another(joined):
    async with links(joined()) as (near, far):
        stuck, stuck_far = await one_stream(near, far)
        moving, moving_far = await one_stream(near, far)
        still = Collector()
        still.moving.clear()
        waiting = [
            asyncio.create_task(stuck.carry(Zeros(8 * MIB), Collector())),
            asyncio.create_task(stuck_far.carry(Text(), still)),
        ]
        heard = Collector()
        await asyncio.gather(moving.carry(Zeros(2 * MIB), Collector()), moving_far.carry(Text(), heard))
        assert len(heard.data) == 2 * MIB
        still.moving.set()
        await asyncio.gather(*waiting)
        await finish(near, far)


async def test_finish_waits_until_the_last_byte_is_with_its_consumer(joined):
    async with links(joined()) as (near, far):
        ours, theirs = await one_stream(near, far)
        slow = Collector()
        slow.moving.clear()
        serving = asyncio.create_task(theirs.carry(Text(), slow))
        await ours.carry(Text(b"x"), Collector())
        finishing = asyncio.create_task(finish(near, far))
        await asyncio.sleep(0.05)
        assert not finishing.done()
        slow.moving.set()
        await asyncio.gather(serving, finishing)
        assert slow.finished


async def test_an_output_that_is_full_is_a_lost_connection_at_the_other_end(joined):
    full = OSError(errno.ENOSPC, "No space left on device")
    async with joined() as (left, right):

        async def listen() -> None:
            async with Link(right, channel(initiator=False), initiator=False) as far:
                offer = await far.next_offer()
                await offer.accept().carry(Text(), Broken(full))
                await far.finish()

        async def connect() -> None:
            async with Link(left, channel(initiator=True), initiator=True) as near:
                stream = await near.open()
                await stream.carry(Text(b"1"), Collector())
                await near.finish()

        ours, theirs = await both(connect(), listen())  # the RESET comes after both ENDs
        assert theirs is full
        assert isinstance(ours, ConnectionLost)
        assert str(ours) == "the peer could not write what was sent to it: No space left on device"


async def test_a_full_output_at_our_end(joined):
    full = OSError(errno.ENOSPC, "No space left on device")
    async with links(joined()) as (near, far):
        ours, theirs = await one_stream(near, far)
        failed, lost = await both(
            ours.carry(Text(endless=True), Broken(full)), theirs.carry(Text(b"1"), Collector())
        )
        assert failed is full
        assert isinstance(lost, ConnectionLost)


async def test_a_source_that_fails_is_a_lost_connection_at_the_other_end(joined):
    class Failing(Text):
        async def read(self, limit: int) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

    async with links(joined()) as (near, far):
        ours, theirs = await one_stream(near, far)
        sink = Collector()
        failed, lost = await both(ours.carry(Failing(), Collector()), theirs.carry(Text(), sink))
        assert isinstance(failed, OSError)
        assert str(lost) == "the peer could not read what it was to send: Input/output error"
        assert sink.aborted


async def test_a_reader_that_has_gone_stops_the_sender_without_an_error(joined):
    async with links(joined()) as (near, far):
        ours, theirs = await one_stream(near, far)
        source = Text(b"unread" * 100_000, endless=True)
        here = Collector()
        await asyncio.gather(ours.carry(source, here), theirs.carry(Text(b"enough"), departed()))
        await finish(near, far)
        assert here.data == b"enough"
        assert source.closed


async def test_a_program_that_ended_without_reading_all(joined):
    async with links(joined()) as (near, far):
        ours, theirs = await one_stream(near, far)
        here = Collector()
        status, _ = await asyncio.gather(
            ours.carry(Text(b"unread" * 1_000_000, endless=True), here),
            theirs.carry(Text(b"result", status=3), NeverRead()),
        )
        await finish(near, far)
        assert (status, here.data) == (3, b"result")


class NeverRead(Collector):
    """The input of a program that ends by itself: its source tells, and nothing is written here."""

    async def write(self, chunks) -> None:
        await asyncio.Event().wait()


async def test_a_terminal_ends_with_the_peer(joined):
    async with links(joined()) as (near, far):
        ours, theirs = await one_stream(near, far)
        terminal = Text(endless=True, terminal=True)
        await asyncio.gather(ours.carry(terminal, Collector()), theirs.carry(Text(b"bye"), Collector()))
        await finish(near, far)


async def test_receiving_only_reads_nothing(joined):
    async with links(joined()) as (near, far):
        ours, theirs = await one_stream(near, far)
        source, here = Text(b"never asked for", endless=True), Collector()
        await asyncio.gather(
            ours.carry(source, here, recv_only=True), theirs.carry(Text(b"news"), Collector())
        )
        await finish(near, far)
        assert (source.reads, here.data) == (0, b"news")


async def test_sending_only_asks_the_other_end_to_stop(joined):
    async with links(joined()) as (near, far):
        ours, theirs = await one_stream(near, far)
        here, there = Collector(), Collector()
        await asyncio.gather(
            ours.carry(Text(b"news"), here, send_only=True), theirs.carry(Text(b"noise", endless=True), there)
        )
        await finish(near, far)
        assert (here.data, there.data) == (b"", b"news")


async def test_a_refused_stream(joined):
    async with links(joined()) as (near, far):
        opening = asyncio.create_task(near.open("10.0.0.1:80"))
        offer = await far.next_offer()
        offer.refuse(pb.StreamRefused.UNREACHABLE, "Connection refused")
        with pytest.raises(PeerRefused, match=r"^the peer cannot reach the target: Connection refused$"):
            await opening
        await finish(near, far)


async def test_no_more_offers_after_the_end(joined):
    async with links(joined()) as (near, far):
        finishing = asyncio.create_task(near.finish())
        assert await far.next_offer() is None
        await far.finish()
        await finishing


async def test_a_connection_that_just_closes_is_lost(joined):
    async with joined() as (left, right):
        async with Link(left, channel(initiator=True), initiator=True) as near:
            opening = asyncio.create_task(near.open())
            closing = asyncio.create_task(right.close())
            with pytest.raises(ConnectionLost, match=r"closed the connection before its end|was lost"):
                await opening
        await closing


async def test_a_link_that_breaks_fails_what_waits_on_it(joined):
    async with joined() as (left, right), Link(left, channel(initiator=True), initiator=True) as near:
        async with Link(right, channel(initiator=False), initiator=False) as far:
            ours, theirs = await one_stream(near, far)
            carrying = asyncio.create_task(ours.carry(Text(endless=True), Collector()))
            offers = asyncio.create_task(near.next_offer())
            assert theirs.number == ours.number
        for waiting in (carrying, offers, near.finish()):
            with pytest.raises(ConnectionLost):
                await waiting


async def test_cancelling_a_carry_resets_its_stream_and_leaves_the_link(joined):
    async with links(joined()) as (near, far):
        ours, theirs = await one_stream(near, far)
        source, sink = Text(endless=True), Collector()
        carrying = asyncio.create_task(ours.carry(source, sink))
        serving = asyncio.create_task(theirs.carry(Text(endless=True), Collector()))
        await asyncio.sleep(0)
        carrying.cancel()
        (result,) = await both(carrying)
        assert isinstance(result, asyncio.CancelledError)
        assert source.closed
        assert sink.aborted
        with pytest.raises(ConnectionLost, match="gave the connection up"):
            await serving
        again, again_far = await one_stream(near, far)
        await asyncio.gather(again.carry(Text(), Collector()), again_far.carry(Text(), Collector()))
        await finish(near, far)


async def test_cancelling_an_opening(joined):
    async with links(joined()) as (near, far):
        opening = asyncio.create_task(near.open())
        offer = await far.next_offer()
        opening.cancel()
        await both(opening)
        finishing = asyncio.create_task(near.finish())
        assert await far.next_offer() is None
        with pytest.raises(ConnectionLost, match="gave the connection up"):
            offer.accept()
        await far.finish()
        await finishing


async def test_a_delivery_that_fails_after_both_ends_spoils_the_finish(joined):
    async with links(joined()) as (near, far):
        ours, theirs = await one_stream(near, far)
        full = Broken(OSError(errno.ENOSPC, "No space left on device"))
        carried, failed = await both(ours.carry(Text(b"1"), Collector()), theirs.carry(Text(), full))
        finished, _ = await both(near.finish(), far.finish())
        assert failed is full.error
        assert isinstance(carried or finished, ConnectionLost)
