"""Registrations on their way to the disk."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable

import pytest

from rdpeer.server.database import Database
from rdpeer.server.disk import Disk
from rdpeer.server.limits import Limits
from rdpeer.server.registration import Registrations, Save
from rdpeer.server.registry import Registration, Registry
from rdpeer.server.writer import Writer

OK = bytes.fromhex("820100")
SERVER_ERROR = bytes.fromhex("8201020807")
SAVES = [
    Save(Registration(f"peer{n:03}", b"u", bytes(32), "192.0.2.1"), ("192.0.2.1", n), 0) for n in range(5)
]


class FakeDatabase(Database):
    """Remembers each commit, or fails the first so many times."""

    def __init__(self, *, fails: int = 0) -> None:
        self.commits: list[list[Registration]] = []
        self._failures = fails

    def save(self, registrations: Iterable[Registration]) -> None:
        if self._failures:
            self._failures -= 1
            raise sqlite3.OperationalError("database or disk is full")
        self.commits.append(list(registrations))


async def written(database: FakeDatabase) -> tuple[Registry, list[tuple[Save, bytes]]]:
    """What the registry holds and what was answered once five registrations went through."""
    registry, replies = Registry(), list[tuple[Save, bytes]]()
    writer = Writer(
        Disk(database), Registrations(registry, Limits()), lambda save, answer: replies.append((save, answer))
    )
    for save in SAVES:
        writer.add(save)
    writer.stop()
    await asyncio.wait_for(writer.run(), 10)
    return registry, replies


async def test_what_came_in_together_is_one_commit() -> None:
    database = FakeDatabase()
    registry, replies = await written(database)
    assert database.commits == [[save.registration for save in SAVES]]
    assert replies == [(save, OK) for save in SAVES]
    assert len(registry) == 5


async def test_a_disk_that_fails_is_told_and_nothing_counts(caplog: pytest.LogCaptureFixture) -> None:
    registry, replies = await written(FakeDatabase(fails=1))
    assert replies == [(save, SERVER_ERROR) for save in SAVES]
    assert not registry.all()
    assert "5 registrations could not be saved: database or disk is full" in caplog.text


async def test_a_disk_that_goes_on_failing_is_told_once_and_once_when_it_does_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    database = FakeDatabase(fails=3)
    answered: asyncio.Queue[bytes] = asyncio.Queue()
    writer = Writer(
        Disk(database), Registrations(Registry(), Limits()), lambda _, answer: answered.put_nowait(answer)
    )
    writing = asyncio.create_task(writer.run())
    for save in SAVES:
        writer.add(save)
        await answered.get()
    writer.stop()
    await writing
    assert [record.getMessage() for record in caplog.records] == [
        "1 registrations could not be saved: database or disk is full; told once until it works again",
        "registrations are saved again; 3 could not be",
    ]
