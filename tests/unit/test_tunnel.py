"""Raw bytes to and from a stock peer: who ends what, and what is lost by it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from rdpeer.errors import ConnectionLost
from rdpeer.net.tunnel import carry

PIECES = [b"one", b"two", b"three"]


class Source:
    """Ends behind ``pieces``, with ``error``, or never."""

    ends_with_peer = False

    def __init__(
        self, pieces: Sequence[bytes] = (), *, error: OSError | None = None, endless: bool = False
    ) -> None:
        self._pieces = list(pieces)
        self._error = error
        self._endless = endless
        self.reads = 0
        self.closed = False

    async def read(self, limit: int) -> bytes:
        self.reads += 1
        if self._pieces:
            return self._pieces.pop(0)
        if self._endless:
            await asyncio.Event().wait()
        if self._error is not None:
            raise self._error
        return b""

    def close(self) -> None:
        self.closed = True


class Sink:
    """Takes nothing before ``gate`` is open."""

    def __init__(self, error: OSError | None = None) -> None:
        self.data: list[bytes] = []
        self.error = error
        self.gate = asyncio.Event()
        self.gate.set()
        self.writing = asyncio.Event()
        self.end = ""

    async def write(self, chunks: Sequence[memoryview]) -> None:
        self.writing.set()
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        self.data += map(bytes, chunks)

    async def finish(self) -> None:
        self.end = "finished"

    def abort(self) -> None:
        self.end = self.end or "aborted"


class Raw(Source):
    """A RawStream: a source of its own, and a sink."""

    def __init__(self, pieces: Sequence[bytes] = (), *, write_error: Any = None, **how: Any) -> None:
        super().__init__(pieces, **how)
        self.sink = Sink(write_error)

    async def write(self, chunks: Sequence[memoryview]) -> None:
        await self.sink.write(chunks)

    async def finish(self) -> None:
        await self.sink.finish()

    def abort(self) -> None:
        self.sink.abort()


async def carried(raw: Any, source: Any, sink: Any, **how: Any) -> None:
    await carry(raw, source, sink, **{"linger": 60.0, **how})


async def test_both_ways_until_the_other_end_closes() -> None:
    raw, source, sink = Raw(PIECES), Source([b"a"], endless=True), Sink()
    await carried(raw, source, sink)
    assert sink.data == PIECES
    assert (sink.end, raw.sink.end, source.closed) == ("finished", "finished", True)


async def test_what_was_said_before_our_end_is_sent() -> None:
    raw, sink = Raw(endless=True), Sink()
    await carried(raw, Source(PIECES), sink, linger=0.0)
    assert raw.sink.data == PIECES
    assert (sink.end, raw.sink.end) == ("finished", "finished")


async def test_after_our_end_it_reads_what_there_is() -> None:
    raw, sink = Raw(PIECES, endless=True), Sink()
    await carried(raw, Source(), sink, linger=0.0)
    assert sink.data == PIECES


async def test_a_slow_consumer_is_no_silence_of_the_other_end() -> None:
    raw, source, sink = Raw(PIECES, endless=True), Source(), Sink()
    sink.gate.clear()
    carrying = asyncio.create_task(carried(raw, source, sink, linger=0.0))
    await sink.writing.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not carrying.done()
    sink.gate.set()
    await carrying
    assert sink.data == PIECES


async def test_a_slow_other_end_is_waited_for_before_its_silence_counts() -> None:
    raw = Raw(endless=True)
    raw.sink.gate.clear()
    carrying = asyncio.create_task(carried(raw, Source(PIECES), Sink(), linger=0.0))
    await raw.sink.writing.wait()
    for _ in range(20):
        await asyncio.sleep(0)
    assert not carrying.done()
    raw.sink.gate.set()
    await carrying
    assert raw.sink.data == PIECES


async def test_only_receiving_reads_no_input_and_waits_for_the_other_end() -> None:
    raw, source, sink = Raw(PIECES), Source([b"unread"]), Sink()
    await carried(raw, source, sink, linger=0.0, recv_only=True)
    assert sink.data == PIECES
    assert (source.reads, raw.sink.data) == (0, [])


async def test_only_sending_drops_what_comes() -> None:
    raw, sink = Raw([b"x"] * 10, endless=True), Sink()
    await carried(raw, Source(PIECES), sink, linger=0.0, send_only=True)
    assert raw.sink.data == PIECES
    assert (sink.data, sink.end) == ([], "aborted")


@pytest.mark.parametrize("failing", ["source", "sink"])
async def test_a_failure_on_our_side_is_raised_and_ends_both(failing: str) -> None:
    error = OSError(5, "Input/output error")
    raw = Raw(endless=True) if failing == "source" else Raw(PIECES, endless=True)
    source = Source(error=error) if failing == "source" else Source(endless=True)
    sink = Sink(error if failing == "sink" else None)
    with pytest.raises(OSError, match="Input/output error"):
        await carried(raw, source, sink)
    assert (sink.end, raw.sink.end, source.closed) == ("aborted", "aborted", True)


async def test_a_connection_that_breaks_is_lost() -> None:
    broken: Any = ConnectionLost("it broke")
    raw, sink = Raw(PIECES, error=broken), Sink()
    with pytest.raises(ConnectionLost):
        await carried(raw, Source(endless=True), sink)
    assert sink.data == PIECES
    assert sink.end == "aborted"


async def test_what_cannot_be_sent_any_more_is_the_reading_sides_to_tell() -> None:
    """The other end closed, in order, before it took all of our input."""
    broken: Any = ConnectionLost("it broke")
    raw, sink = Raw(PIECES, write_error=broken), Sink()
    await carried(raw, Source([b"late"], endless=True), sink)
    assert sink.data == PIECES


async def test_cancelled_it_leaves_nothing_open() -> None:
    raw, source, sink = Raw(endless=True), Source(endless=True), Sink()
    carrying = asyncio.create_task(carried(raw, source, sink))
    await asyncio.sleep(0)
    carrying.cancel()
    with pytest.raises(asyncio.CancelledError):
        await carrying
    assert (sink.end, raw.sink.end, source.closed) == ("aborted", "aborted", True)
