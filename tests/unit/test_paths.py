"""Racing paths: who wins, and that whoever loses is closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from rdpeer.crypto.keys import IdentityKey
from rdpeer.errors import (
    AuthenticationFailed,
    ConnectionLost,
    DeadlineExceeded,
    IdentityMismatch,
    NoPath,
    PeerRefused,
    RdpeerError,
)
from rdpeer.net.transport import memory
from rdpeer.net.transport.memory import MemoryStream
from rdpeer.peer import paths
from rdpeer.peer.handshaking import Verified
from rdpeer.peer.paths import Attempt, VerifiedPath, failure, race
from rdpeer.protocol.handshake import InitiatorHandshake, PathVerified
from rdpeer.values import PeerId

NEVER = 3600.0
PEER = PeerId("612345678")
BOB = IdentityKey.from_seed(b"b" * 32)


class Way:
    """An attempt whose end the test decides: ``verify()`` or ``fail(error)``, before it runs or after."""

    def __init__(self, name: str, *, relay: bool = False) -> None:
        self.started = asyncio.Event()
        self.cancelled = False
        self.attempt = Attempt(name, self._run, is_relay=relay)
        self.path, self.far = verified(name)
        self._end: asyncio.Future[VerifiedPath] = asyncio.get_running_loop().create_future()

    def verify(self) -> Way:
        self._end.set_result(self.path)
        return self

    def fail(self, error: RdpeerError) -> Way:
        self._end.set_exception(error)
        return self

    async def _run(self) -> VerifiedPath:
        self.started.set()
        try:
            return await asyncio.shield(self._end)
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    async def closed(self) -> bool:
        """Whether the far end finds its connection broken. Where it is open, this would wait for ever."""
        with pytest.raises(ConnectionLost):
            await self.far.receive()
        return True


def verified(name: str) -> tuple[VerifiedPath, MemoryStream]:
    near, far = memory.pair(4096)
    handshake = InitiatorHandshake(PEER, BOB, ())
    return VerifiedPath(name, near, handshake, Verified(PathVerified(BOB.public, ()), 0.0)), far


@pytest.fixture(autouse=True)
def no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a test that shortens one of these lets time decide."""
    monkeypatch.setattr(paths, "RELAY_DELAY", NEVER)
    monkeypatch.setattr(paths, "HEAD_START", NEVER)


class Clock:
    """The loop's time and ours, which the test puts forward."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self.ahead = 0.0
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + self.ahead)
        monkeypatch.setattr(paths, "monotonic", loop.time)


async def run(*ways: Way, reports: list[str] | None = None) -> VerifiedPath:
    return await race([way.attempt for way in ways], ([] if reports is None else reports).append)


async def turns() -> None:
    """Lets everything that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_only_path_wins() -> None:
    way = Way("direct").verify()
    assert await run(way) is way.path


async def test_a_direct_path_wins_before_the_relay_is_even_asked_for() -> None:
    direct, relay = Way("direct").verify(), Way("relay", relay=True).verify()
    assert await run(direct, relay) is direct.path
    assert not relay.started.is_set()


async def test_the_relay_is_asked_for_when_direct_attempts_take_their_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paths, "RELAY_DELAY", 0)
    direct, relay = Way("direct"), Way("relay", relay=True)
    racing = asyncio.create_task(run(direct, relay))
    await relay.started.wait()
    direct.verify()
    assert await racing is direct.path
    assert relay.cancelled


async def test_a_verified_relay_waits_for_a_direct_path_that_overtakes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(paths, "RELAY_DELAY", 0)
    direct, relay = Way("direct"), Way("relay", relay=True).verify()
    racing = asyncio.create_task(run(direct, relay))
    await relay.started.wait()
    await turns()
    assert not racing.done()
    direct.verify()
    assert await racing is direct.path
    assert await relay.closed()


async def test_a_verified_relay_waits_no_longer_than_the_head_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "RELAY_DELAY", 0)
    monkeypatch.setattr(paths, "HEAD_START", 0.01)
    direct, relay = Way("direct"), Way("relay", relay=True).verify()
    assert await run(direct, relay) is relay.path
    assert direct.cancelled


async def test_failures_meanwhile_do_not_make_the_head_start_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "RELAY_DELAY", 0)
    monkeypatch.setattr(paths, "HEAD_START", 100.0)
    clock = Clock(monkeypatch)
    one, two, relay = Way("direct 1"), Way("direct 2"), Way("relay", relay=True).verify()
    racing = asyncio.create_task(run(one, two, relay))
    await relay.started.wait()
    await turns()
    clock.ahead += 60
    one.fail(NoPath("refused"))
    await turns()
    assert not racing.done()
    clock.ahead += 60
    await turns()
    assert await racing is relay.path


async def test_the_relay_is_asked_for_at_once_when_direct_attempts_have_failed() -> None:
    reports: list[str] = []
    direct, relay = Way("direct 1").fail(NoPath("refused")), Way("relay", relay=True).verify()
    assert await run(direct, relay, reports=reports) is relay.path
    assert reports == ["direct 1: refused"]


async def test_a_relay_where_the_peer_waits_already_is_joined_at_once() -> None:
    direct, relay = Way("direct"), Way("relay", relay=True)
    waiting = replace(relay.attempt, at_once=True)
    racing = asyncio.create_task(race([direct.attempt, waiting], [].append))
    await relay.started.wait()
    direct.verify()
    assert await racing is direct.path


async def test_what_became_of_the_others_is_told() -> None:
    reports: list[str] = []
    relay = Way("relay", relay=True).verify()
    waiting = replace(relay.attempt, at_once=True)
    direct, later = Way("direct 1"), Way("direct 2")
    racing = asyncio.create_task(race([waiting, direct.attempt, later.attempt], reports.append))
    await relay.started.wait()
    await turns()
    direct.verify()
    assert await racing is direct.path
    assert sorted(reports) == ["direct 2: not verified in time: no answer", "relay: not needed"]


async def test_what_keeps_an_attempt_is_told_when_it_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "RELAY_DELAY", 0)
    monkeypatch.setattr(paths, "HEAD_START", 0.01)
    reports: list[str] = []
    direct, relay = Way("direct"), Way("relay", relay=True).verify()
    refused = replace(direct.attempt, pending=lambda: "refused")
    assert await race([refused, relay.attempt], reports.append) is relay.path
    assert reports == ["direct: not verified in time: refused"]


async def test_a_relay_alone_waits_for_nothing() -> None:
    relay = Way("relay", relay=True).verify()
    assert await run(relay) is relay.path


async def test_a_stranger_at_the_local_address_does_not_spoil_the_relay() -> None:
    reports: list[str] = []
    stranger, relay = Way("direct").fail(IdentityMismatch("another key")), Way("relay", relay=True).verify()
    assert await run(stranger, relay, reports=reports) is relay.path
    assert reports == ["direct: another key"]


async def test_of_two_that_are_verified_at_the_same_time_one_is_taken_and_the_other_closed() -> None:
    one, two = Way("direct 1").verify(), Way("direct 2").verify()
    winner = await run(one, two)
    loser = two if winner is one.path else one
    assert winner in (one.path, two.path)
    assert await loser.closed()


async def test_cancelled_it_stops_all_attempts() -> None:
    one, two = Way("direct 1"), Way("direct 2")
    racing = asyncio.create_task(run(one, two))
    await asyncio.gather(one.started.wait(), two.started.wait())
    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing
    assert one.cancelled
    assert two.cancelled


def slow_to_end(started: asyncio.Event) -> Callable[[], Awaitable[VerifiedPath]]:
    """An attempt that takes its time to close what it opened."""

    async def attempt() -> VerifiedPath:
        started.set()
        try:
            return await asyncio.Event().wait()  # type: ignore[return-value]
        finally:
            await turns()

    return attempt


async def test_cancelled_while_the_losers_end_it_closes_the_winner_too() -> None:
    started = asyncio.Event()
    direct, slow = Way("direct"), Attempt("slow", slow_to_end(started))
    racing = asyncio.create_task(race([direct.attempt, slow], [].append))
    await started.wait()
    direct.verify()
    for _ in range(5):  # the winner is known, the loser still closes
        await asyncio.sleep(0)
    racing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await racing
    assert await direct.closed()


async def test_a_bug_in_an_attempt_is_not_taken_for_a_failed_path() -> None:
    async def buggy() -> VerifiedPath:
        raise ZeroDivisionError

    direct = Way("direct")
    with pytest.raises(ZeroDivisionError):
        await race([direct.attempt, Attempt("buggy", buggy)], [].append)
    assert direct.cancelled


def failed(*errors: RdpeerError) -> RdpeerError:
    return failure([(Attempt(f"path {n}", slow_to_end(asyncio.Event())), e) for n, e in enumerate(errors)])


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ([IdentityMismatch("a"), IdentityMismatch("b")], IdentityMismatch("a")),
        ([NoPath("a"), IdentityMismatch("b"), PeerRefused("c")], IdentityMismatch("b")),
        ([DeadlineExceeded("a"), PeerRefused("b")], PeerRefused("b")),
        ([DeadlineExceeded("a")], DeadlineExceeded("a")),
        ([NoPath("a"), DeadlineExceeded("b")], NoPath("no path to the peer: path 0: a; path 1: b")),
        ([NoPath("a"), NoPath("b")], NoPath("no path to the peer: path 0: a; path 1: b")),
    ],
)
def test_what_several_failures_are_called(errors: list[RdpeerError], told: RdpeerError) -> None:
    error = failed(*errors)
    assert (type(error), str(error)) == (type(told), str(told))


def test_the_first_hint_is_kept() -> None:
    assert failed(NoPath("a"), AuthenticationFailed("b", hint="do this")).hint == "do this"


async def test_all_attempts_fail() -> None:
    direct = Way("direct").fail(NoPath("refused"))
    relay = Way("relay", relay=True).fail(DeadlineExceeded("silent"))
    with pytest.raises(NoPath, match="no path to the peer: direct: refused; relay: silent"):
        await run(direct, relay)
