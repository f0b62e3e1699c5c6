"""Carrying raw bytes to and from a stock peer (docs/PROTOCOL.md 3.7).

There is no half-close: whoever ends one direction ends both. So an end of our own
input cannot be told, and what is still on its way to us would be lost with it; we
read on instead, until the other end closes or has nothing more to say.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from rdpeer.errors import ConnectionLost
from rdpeer.net.pipe import Sink, Source
from rdpeer.net.raw import RawStream
from rdpeer.net.target import SocketTarget

_PIECE = 256 * 1024


async def carry(
    raw: RawStream,
    source: Source,
    sink: Sink,
    *,
    linger: float,
    recv_only: bool = False,
    send_only: bool = False,
) -> None:
    """Until the other end closes, or until ``source`` has ended and nothing came for ``linger`` seconds.

    ``recv_only``: nothing is read from ``source``, and only the other end's end counts.
    ``send_only``: what comes is dropped. Everything is closed afterwards.

    Raises ConnectionLost where the connection broke, OSError where ``source`` or ``sink`` did.
    """
    sending = None if recv_only else asyncio.create_task(_send(source, raw))
    try:
        while data := await _next(raw, sending, linger):
            if not send_only:
                await sink.write([memoryview(data)])
        if not send_only:
            await sink.finish()
        await raw.finish()
    finally:
        raw.abort()
        if sending is not None:
            sending.cancel()
            await asyncio.wait((sending,))
        source.close()
        sink.abort()


async def join(raw: RawStream, target: SocketTarget, *, idle: float) -> None:
    """Both ways, until either side ends, which ends both; or until nothing was carried for ``idle`` seconds.

    Everything is closed afterwards. Raises ConnectionLost where the connection broke, OSError where the
    target did.
    """
    try:
        await _exchange(raw, target, idle)
        await raw.finish()
        with contextlib.suppress(OSError):  # it may have closed both ways
            await target.finish()
    finally:
        target.abort()
        raw.abort()


async def _exchange(raw: RawStream, target: SocketTarget, idle: float) -> None:
    """Both directions, until the first of them ends."""
    loop = asyncio.get_running_loop()
    ways: list[asyncio.Task[None]] = []
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(idle) as limit:

                def carried() -> None:
                    limit.reschedule(loop.time() + idle)

                ways += [asyncio.create_task(_copy(raw, target, carried))]
                ways += [asyncio.create_task(_copy(target, raw, carried))]
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            if way.done():
                way.result()
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _copy(
    source: RawStream | SocketTarget, sink: RawStream | SocketTarget, carried: Callable[[], None]
) -> None:
    while data := await source.read(_PIECE):
        await sink.write([memoryview(data)])
        carried()


async def _send(source: Source, raw: RawStream) -> None:
    """All of ``source``. A connection that breaks is told by who reads it, together with why."""
    with contextlib.suppress(ConnectionLost):
        while data := await source.read(_PIECE):
            await raw.write([memoryview(data)])


async def _next(raw: RawStream, sending: asyncio.Task[None] | None, linger: float) -> bytes:
    """The next bytes; none at the end."""
    if sending is None:
        return await raw.read(_PIECE)
    reading = asyncio.create_task(raw.read(_PIECE))
    try:
        await asyncio.wait((reading, sending), return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            sending.result()
            await asyncio.wait((reading,), timeout=linger)
        return reading.result() if reading.done() else b""
    finally:
        if not reading.done():
            reading.cancel()
            await asyncio.wait((reading,))
