"""Registrations to the disk, without holding up anybody.

A commit waits for the disk, so it runs in a thread; what comes in meanwhile is
the next commit. Each registration is answered when its commit is done.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable

from rdpeer.server.disk import Disk
from rdpeer.server.registration import Registrations, Save

log = logging.getLogger(__name__)

Reply = Callable[[Save, bytes], None]


class Writer:
    """``reply`` sends an answer to whom a Save came from."""

    def __init__(self, disk: Disk, registrations: Registrations, reply: Reply) -> None:
        self._disk = disk
        self._registrations = registrations
        self._reply = reply
        self._waiting: list[Save] = []
        self._wake = asyncio.Event()
        self._stopping = False
        self._failed = 0
        """How many could not be saved since it worked last."""

    def add(self, save: Save) -> None:
        self._waiting.append(save)
        self._wake.set()

    def stop(self) -> None:
        """``run`` ends when everything that was added is written."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Until ``stop``. Not to be cancelled: a commit under way cannot be."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self._waiting:
                batch, self._waiting = self._waiting, []
                await self._write(batch)
            elif self._stopping:
                return
            if self._stopping:
                self._wake.set()

    async def _write(self, batch: list[Save]) -> None:
        try:
            await self._disk.do(lambda database: database.save([save.registration for save in batch]))
        except sqlite3.Error as error:
            self._failing(len(batch), error)
            for save in batch:
                self._reply(save, self._registrations.save_failed(save))
            return
        self._working()
        now = asyncio.get_running_loop().time()
        for save in batch:
            self._reply(save, self._registrations.saved(save, now))

    def _failing(self, count: int, error: sqlite3.Error) -> None:
        """Told once: strangers decide how often there is something to save."""
        if not self._failed:
            log.error("%d registrations could not be saved: %s; told once until it works again", count, error)
        self._failed += count

    def _working(self) -> None:
        if self._failed:
            log.warning("registrations are saved again; %d could not be", self._failed)
        self._failed = 0
