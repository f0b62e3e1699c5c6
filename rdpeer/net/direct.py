"""Ways to a direct path for a session that runs already, each up to JOIN (docs/CHANNEL.md 6.1)."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from rdpeer.crypto.move_key import MoveKey
from rdpeer.errors import ConnectionLost, NoPath, RdpeerError
from rdpeer.net import checking
from rdpeer.net.gathering import Gathering
from rdpeer.net.transport import FrameStream, udp_stream
from rdpeer.net.transport.tcp import TcpListener, connect
from rdpeer.protocol import joining
from rdpeer.protocol.checks import Checks
from rdpeer.protocol.joining import JOIN_BYTES, Joining
from rdpeer.values import Endpoint, ServerAddress

CONNECT_WITHIN = 5.0
JOIN_WITHIN = 5.0

MOST_CALLERS = 8
"""Connections taken by a listener."""

Joined = tuple[bytes, FrameStream]
"""A transport that both ends have joined, and its name."""

Keep = Callable[[bytes, FrameStream], None]
"""Takes a Joined, and owns its stream from then on."""


# The initiator's


async def dial(endpoint: Endpoint, key: MoveKey) -> Joined:
    """By TCP. Raises OSError or RdpeerError, as :func:`call`."""
    address = ServerAddress(endpoint.ip, endpoint.port)
    return await _join(await connect(address, limit=JOIN_BYTES, timeout=CONNECT_WITHIN), key)


async def call(gathering: Gathering, sock: socket.socket, checks: Checks, key: MoveKey) -> Joined:
    """By UDP, from ``sock`` of ``gathering``, as soon as the checks find where to."""
    remote = await checking.works(sock, checks)
    gathering.take(sock)
    stream = await udp_stream.connect(sock, remote, limit=JOIN_BYTES, timeout=CONNECT_WITHIN)
    return await _join(stream, key)


async def first(attempts: Sequence[Coroutine[Any, Any, Joined]], timeout: float) -> Joined:
    """The first one that succeeds within ``timeout`` seconds; the others are ended, and closed.

    NoPath says what became of each.
    """
    reasons: list[str] = []
    running = {asyncio.create_task(attempt) for attempt in attempts}
    with contextlib.ExitStack() as unless_taken:
        try:
            async with asyncio.timeout(timeout):
                joined = await _first(running, reasons)
                unless_taken.callback(joined[1].abort)
        except TimeoutError:
            raise NoPath("; ".join([*reasons, f"no direct path within {timeout:g} s"])) from None
        finally:
            await _end(running)
        unless_taken.pop_all()
    return joined


async def _first(running: set[asyncio.Task[Joined]], reasons: list[str]) -> Joined:
    """Takes what is done out of ``running``; NoPath when nothing is left there."""
    while running:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        attempt = done.pop()
        running.discard(attempt)
        try:
            return attempt.result()
        except (OSError, RdpeerError) as error:
            reasons.append(str(error))
    raise NoPath("; ".join(reasons))


async def _join(stream: FrameStream, key: MoveKey) -> Joined:
    ours = Joining(key)
    try:
        stream.send(ours.payload)
        return ours.receive(await _first_frame(stream)), stream
    except BaseException:
        stream.abort()
        raise


# The responder's


async def accept(listener: TcpListener, key: MoveKey, keep: Keep) -> None:
    """By TCP: everybody who joins."""
    async with asyncio.TaskGroup() as joins:
        for _ in range(MOST_CALLERS):
            joins.create_task(_joined(await listener.accept(), key, keep))


async def answer(gathering: Gathering, sock: socket.socket, checks: Checks, key: MoveKey, keep: Keep) -> None:
    """By UDP: the first one that calls at ``sock`` of ``gathering`` after a valid check."""
    with contextlib.suppress(OSError):  # of the socket, or nobody was there after all
        remote, datagram = await checking.caller(sock, checks)
        gathering.take(sock)
        stream = await udp_stream.accept(
            sock, remote, limit=JOIN_BYTES, timeout=CONNECT_WITHIN, first=datagram
        )
        await _joined(stream, key, keep)


async def _joined(stream: FrameStream, key: MoveKey, keep: Keep) -> None:
    """Keeps ``stream`` if the initiator of this session is at its other end; whoever else is, is no news."""
    try:
        payload, name = joining.answer(key, await _first_frame(stream))
        stream.send(payload)
        keep(name, stream)
    except (OSError, RdpeerError):
        stream.abort()
    except BaseException:
        stream.abort()
        raise


# Both


async def _first_frame(stream: FrameStream) -> bytes:
    """Raises ConnectionLost where none comes in time, and what ``receive`` raises."""
    try:
        async with asyncio.timeout(JOIN_WITHIN):
            payload = await stream.receive()
    except TimeoutError:
        raise ConnectionLost(f"{stream.remote} said nothing for {JOIN_WITHIN:g} s") from None
    if payload is None:
        raise ConnectionLost(f"{stream.remote} closed at once")
    return payload


async def _end(attempts: set[asyncio.Task[Joined]]) -> None:
    """Ends them; what succeeded in the last moment is closed. A bug in one of them is raised."""
    for attempt in attempts:
        attempt.cancel()
    for result in await asyncio.gather(*attempts, return_exceptions=True):
        if isinstance(result, tuple):
            result[1].abort()
        elif not isinstance(result, OSError | RdpeerError | asyncio.CancelledError):
            raise result
