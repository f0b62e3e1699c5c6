"""Meeting the peer at a hole: the first stream there whose far end proves to be the peer.

Our connect and the peer's may both come through, and behind a shared address strangers may come, too.
So each stream is verified beside the others, and the number of those taken is bounded.

A stock responder opens its NAT by a connect that it gives up after 30 ms, and then listens on the same
port (docs/PROTOCOL.md 2.6). We listen already, so that connect may come through, only to be closed
without a word: then it is dialled again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from rdpeer.errors import ConnectionLost, NoPath, RdpeerError
from rdpeer.net.transport import FrameStream
from rdpeer.net.transport.hole import RETRY_AFTER, TcpHole
from rdpeer.peer.paths import VerifiedPath
from rdpeer.values import Endpoint

MOST_STREAMS = 8
"""Connections taken at a hole until one of them is the path (docs/CHANNEL.md 6)."""

MEET_FOR = 10.0
"""Seconds until the peer must have been met: three repetitions of a lost SYN (1, 3 and 7 s)."""

Verify = Callable[[FrameStream], Awaitable[VerifiedPath]]


async def meet(
    hole: TcpHole, verify: Verify, report: Callable[[str], None], *, dial: Endpoint | None = None
) -> VerifiedPath:
    """The path that comes about at ``hole``, which is left open; what else comes there is closed.

    ``dial``: the peer's endpoint, connected to from there; who is not the peer at that address is raised,
    what fails on any other stream goes to ``report``. Raises NoPath where nobody came.
    """
    met: asyncio.Future[VerifiedPath] = asyncio.get_running_loop().create_future()
    taken: list[FrameStream] = []

    async def check(stream: FrameStream) -> None:
        try:
            path = await verify(stream)
        except ConnectionLost as error:
            report(f"direct {stream.remote}: {error}")
            if stream.remote == dial:
                await asyncio.sleep(RETRY_AFTER)
                await hole.dial(dial)
        except RdpeerError as error:
            if stream.remote == dial and not met.done():
                met.set_exception(error)
            else:
                report(f"direct {stream.remote}: {error}")
        else:
            if not met.done():
                met.set_result(path)

    async def take() -> None:
        async with asyncio.TaskGroup() as checks:
            if dial:
                await hole.dial(dial)
            for _ in range(MOST_STREAMS):
                taken.append(await hole.accept())
                checks.create_task(check(taken[-1]))

    def over(taking: asyncio.Task[None]) -> None:
        """Nobody more is taken, or there is a bug: neither is to look like a peer that never came."""
        if not met.done() and not taking.cancelled():
            met.set_exception(taking.exception() or NoPath(f"{MOST_STREAMS} came, and none was the peer"))

    taking = asyncio.create_task(take())
    taking.add_done_callback(over)
    try:
        async with _ended(taking):
            path = await _in_time(met, hole, dial)
        taken.remove(path.stream)
        return path
    finally:
        for stream in taken:  # also those whose check has not begun
            stream.abort()


async def _in_time(met: asyncio.Future[VerifiedPath], hole: TcpHole, dial: Endpoint | None) -> VerifiedPath:
    try:
        async with asyncio.timeout(MEET_FOR):
            return await met
    except TimeoutError:
        nobody = f"{dial}: no answer" if dial else f"nobody came to {hole.endpoint}"
        raise NoPath(hole.failure or f"{nobody} within {MEET_FOR:g} s") from None


@asynccontextmanager
async def _ended(task: asyncio.Task[None]) -> AsyncIterator[None]:
    """Ends ``task`` with the block, however that ends."""
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
