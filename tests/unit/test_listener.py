"""What a listener does without anybody coming: codes, busy answers, its own end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rdpeer.errors import ServerRefused
from rdpeer.peer import listener as module
from rdpeer.peer.listener import Listener
from rdpeer.peer.register import Member
from rdpeer.protocol import gate as gates
from rdpeer.protocol.gate import Gate
from rdpeer.protocol.notifications import PunchHole
from rdpeer.settings import Settings
from rdpeer.store.home import Home
from rdpeer.store.identity import load_or_create
from rdpeer.values import ServerAddress


class Told(list[str]):
    """Lines; each wakes whoever waits for one more."""

    def __init__(self) -> None:
        super().__init__()
        self._more = asyncio.Event()

    def __call__(self, line: str) -> None:
        self.append(line)
        self._more.set()

    async def until(self, count: int) -> None:
        while len(self) < count:
            self._more.clear()
            await self._more.wait()


@pytest.fixture
def member(tmp_path: Path) -> Member:
    profile = Home.locate({"RDPEER_HOME": str(tmp_path)}).profile()
    return Member(profile, load_or_create(profile), Settings(server=ServerAddress("127.0.0.1", 9)))


def listener(member: Member, **options: Any) -> tuple[Listener, Told]:
    told = Told()
    service: Any = None
    return Listener(member, Gate(), service, told, told, lambda key: "", **options), told


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_what_ends_the_registration_ends_it(member: Member) -> None:
    async def refused() -> None:
        raise ServerRefused("no")

    ours, _ = listener(member)
    with pytest.raises(ServerRefused):
        await ours.run(refused())


async def test_cancelled_it_ends_all_that_it_has_begun(member: Member) -> None:
    ours, told = listener(member)
    running = asyncio.create_task(ours.run(for_ever()))
    ours.offer_codes(told)
    await asyncio.sleep(0)  # it runs
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not ours._tasks


async def test_an_expired_code_gives_way_to_a_new_one(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "CODE_LIFE", 0.001)
    ours, told = listener(member, one_peer=True)
    running = asyncio.create_task(ours.run(for_ever()))
    ours.offer_codes(told)
    await told.until(3)
    assert len(set(told[:3])) == 3
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_no_further_code_is_told_once_somebody_has_passed(
    member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "CODE_LIFE", 3600.0)
    ours, told = listener(member, one_peer=True)
    ours.offer_codes(told)
    (renewing,) = ours._tasks
    ours._passed.set()
    await renewing
    assert len(told) == 1


async def test_a_server_that_cannot_be_reached_is_told_and_ends_nothing(member: Member) -> None:
    ours, told = listener(member)
    running = asyncio.create_task(ours.run(for_ever()))
    await ours.answer(PunchHole(b"", ""))
    await told.until(1)
    assert told[0].startswith("somebody asked for us, and the answer failed: cannot reach 127.0.0.1:9")
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_bug_is_told_and_ends_nothing(member: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(conversation: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("rdpeer.peer.arrivals.converse", broken)
    ours, told = listener(member)
    await ours.answer(PunchHole(b"", ""))
    await told.until(1)
    assert told == ["internal error: ZeroDivisionError: ours"]


async def test_it_is_busy_from_a_thousand_on(member: Member) -> None:
    ours, _ = listener(member)
    assert ours._busy is None
    ours._sessions = module.MOST_SESSIONS
    assert ours._busy == "too many peers are connected"
