"""Discovery: which peers are on the local network, and being found there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

from rdpeer.net.lan import Discoverable, ask_everybody, own_card
from rdpeer.protocol.discovery import Census, Found
from rdpeer.values import PeerId


async def discover(port: int, seconds: float) -> list[Found]:
    """Who answers within ``seconds`` on the networks that this machine is attached to."""
    census = Census()
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await ask_everybody(port, census.hear)
    return census.found


@asynccontextmanager
async def discoverable(peer: PeerId, port: int | None, detail: Callable[[str], None]) -> AsyncIterator[None]:
    """Answers for ``peer`` while the block runs, unless ``port`` is None.

    Where the port is taken, by a desktop say, ``detail`` is told, and the block runs all the same.
    """
    if port is None:
        yield
        return
    try:
        answerer = Discoverable(own_card(peer), port)
    except OSError as error:
        detail(f"not to be discovered on the local network: UDP port {port}: {error.strerror}")
        yield
        return
    serving = asyncio.create_task(answerer.serve())
    try:
        yield
    finally:
        serving.cancel()
        await asyncio.wait((serving,))
        answerer.close()
