"""The database, beside the loop: one piece of work at a time, in a thread, as a commit waits for the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from rdpeer.server.database import Database

T = TypeVar("T")


class Disk:
    """Takes over ``database``; the caller closes it when nothing is under way any more."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._turn = asyncio.Lock()

    async def do(self, work: Callable[[Database], T]) -> T:
        """What ``work`` returns; raises what it raises."""
        async with self._turn:
            working = asyncio.create_task(asyncio.to_thread(work, self._database))
            try:
                return await asyncio.shield(working)
            except asyncio.CancelledError:
                await asyncio.wait(
                    [working]
                )  # a thread cannot be stopped, and the next one has to wait for it
                raise
