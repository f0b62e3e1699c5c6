"""Sources and sinks made of nothing but memory, and two links joined over a path."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from rdpeer.crypto.channel import SecureChannel
from rdpeer.net.link import Link
from rdpeer.net.pipe import ReaderGone
from rdpeer.net.stream import Stream


def channel(*, initiator: bool) -> SecureChannel:
    """One end of a channel, as after the handshake."""
    return SecureChannel.derive(
        initiator=initiator, shared=bytes(32), session_key=bytes(32), t0=bytes(32), version=2
    )


@asynccontextmanager
async def links(ends) -> AsyncIterator[tuple[Link, Link]]:
    """Initiator and responder over ``ends``, a path's context manager."""
    async with (
        ends as (left, right),
        Link(left, channel(initiator=True), initiator=True) as near,
        Link(right, channel(initiator=False), initiator=False) as far,
    ):
        yield near, far


async def one_stream(near: Link, far: Link, target: str = "") -> tuple[Stream, Stream]:
    """The same stream at both its ends."""

    async def accepted() -> Stream:
        offer = await far.next_offer()
        assert offer is not None
        assert offer.target == target
        return offer.accept()

    ours, theirs = await asyncio.gather(near.open(target), accepted())
    return ours, theirs


async def finish(*ends: Link) -> None:
    await asyncio.gather(*(end.finish() for end in ends))


class Text:
    """A source that holds ``data``; then it ends, or stays open for ever if ``endless``."""

    def __init__(
        self, data: bytes = b"", *, endless: bool = False, terminal: bool = False, status=None
    ) -> None:
        self.data = memoryview(data)
        self.endless = endless
        self.ends_with_peer = terminal
        self.exit_status = status
        self.reads = 0
        self.closed = False

    async def read(self, limit: int) -> bytes:
        self.reads += 1
        chunk, self.data = bytes(self.data[:limit]), self.data[limit:]
        if not chunk and self.endless:
            await asyncio.Event().wait()
        return chunk

    async def status(self) -> int | None:
        return self.exit_status

    def close(self) -> None:
        self.closed = True


class Zeros:
    """A source of ``size`` zero bytes that knows how many were taken."""

    ends_with_peer = False

    def __init__(self, size: int) -> None:
        self.left = size
        self.taken = 0

    async def read(self, limit: int) -> bytes:
        size = min(limit, self.left)
        self.left -= size
        self.taken += size
        return bytes(size)

    async def status(self) -> None:
        return None

    def close(self) -> None: ...


class Collector:
    """A sink that keeps everything, and may be made to stand still."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.finished = False
        self.aborted = False
        self.moving = asyncio.Event()
        self.moving.set()

    async def write(self, chunks: Sequence[memoryview]) -> None:
        await self.moving.wait()
        for chunk in chunks:
            self.data += chunk

    def write_now(self, chunk: memoryview) -> memoryview:
        return chunk

    async def finish(self) -> None:
        await self.moving.wait()
        self.finished = True

    def abort(self) -> None:
        self.aborted = not self.finished


class Hasty(Collector):
    """A sink that takes the first half of what it is offered at once."""

    def write_now(self, chunk: memoryview) -> memoryview:
        half = len(chunk) // 2
        self.data += chunk[:half]
        return chunk[half:]


class Digest(Collector):
    """A sink that keeps only the checksum."""

    def __init__(self) -> None:
        super().__init__()
        self.sha256 = hashlib.sha256()

    async def write(self, chunks: Sequence[memoryview]) -> None:
        for chunk in chunks:
            self.sha256.update(chunk)


class Broken(Collector):
    """A sink that fails with ``error`` at its first write."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    async def write(self, chunks: Sequence[memoryview]) -> None:
        raise self.error


def departed() -> Broken:
    return Broken(ReaderGone())
