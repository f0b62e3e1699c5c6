"""Racing the ways to a peer, and committing to one (docs/CHANNEL.md 6).

Every attempt is a coroutine that ends with a VerifiedPath: a stream whose far
end has proven, over fresh keys, that it is the peer asked for. That far costs
nobody anything: no guess at a secret, no place at a listener that takes one
peer. Only the winner is sent our own proof, which commits it.

A relay always works and is rarely what one wants. So it starts a moment after
the direct attempts (or when they have all failed), and when it is verified
first, direct paths still get HEAD_START seconds to overtake it.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from rdpeer.errors import IdentityMismatch, NoPath, PeerRefused, RdpeerError
from rdpeer.net.clock import monotonic
from rdpeer.net.transport import FrameStream
from rdpeer.peer.handshaking import Initiating, Verified

RELAY_DELAY = 0.25
"""Seconds that direct attempts run before the relay is asked for."""

HEAD_START = 1.0
"""Seconds more that direct attempts get once the relay is verified."""


@dataclass(frozen=True, slots=True)
class VerifiedPath:
    """A stream whose far end is proven; nothing of ours was shown on it yet."""

    name: str
    """For people: ``direct 192.168.1.7:50123`` or ``relay host:21117``."""
    stream: FrameStream
    handshake: Initiating
    verified: Verified

    @property
    def is_relay(self) -> bool:
        return self.name.startswith("relay ")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One way to try. ``run`` raises RdpeerError where it does not work, and closes what it opened.

    ``at_once``: a relay where the peer waits already, so that nothing is saved by asking later.
    ``pending``: what keeps it, for people, as long as it runs.
    """

    name: str
    run: Callable[[], Awaitable[VerifiedPath]]
    is_relay: bool = False
    at_once: bool = False
    pending: Callable[[], str] = lambda: "no answer"


async def race(attempts: Sequence[Attempt], report: Callable[[str], None]) -> VerifiedPath:
    """The path to commit to; all others are closed. What became of each of them is given to ``report``,
    one line.

    Raises what :func:`failure` makes of the reasons when no attempt succeeds.
    """
    contest = _Race(attempts, report)
    with contextlib.ExitStack() as unless_taken:
        try:
            winner = await contest.winner()
            unless_taken.callback(winner.stream.abort)
            contest.tell_losers()
        finally:
            await contest.end()
        unless_taken.pop_all()
    return winner


class _Race:
    def __init__(self, attempts: Sequence[Attempt], report: Callable[[str], None]) -> None:
        self._report = report
        self._directs_failed = asyncio.Event()
        self._failures: list[tuple[Attempt, RdpeerError]] = []
        self._verified: list[VerifiedPath] = []
        self._running = {asyncio.ensure_future(self._run(a)): a for a in attempts}
        self._note_directs()

    async def winner(self) -> VerifiedPath:
        relay: VerifiedPath | None = None
        overtaken_until = math.inf
        while self._running:
            timeout = None if relay is None else max(0.0, overtaken_until - monotonic())
            done, _ = await asyncio.wait(self._running, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not done and relay:
                return self._take(relay)
            for task in done:
                attempt = self._running.pop(task)
                path = self._result(attempt, task)
                if path and not attempt.is_relay:
                    return self._take(path)
                if path and relay is None:
                    relay, overtaken_until = path, monotonic() + HEAD_START
            self._note_directs()
            if relay and self._directs_failed.is_set():
                return self._take(relay)
        raise failure(self._failures)

    def tell_losers(self) -> None:
        """Why the others are not the path."""
        for attempt in self._running.values():
            why = "not needed" if attempt.is_relay else f"not verified in time: {attempt.pending()}"
            self._report(f"{attempt.name}: {why}")
        for path in self._verified:
            self._report(f"{path.name}: not needed")

    async def end(self) -> None:
        """Stops what still runs and closes the paths that were verified and not taken."""
        for path in self._verified:
            path.stream.abort()
        for task in self._running:
            task.add_done_callback(_close)
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(self, attempt: Attempt) -> VerifiedPath:
        if attempt.is_relay and not attempt.at_once:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._directs_failed.wait(), RELAY_DELAY)
        return await attempt.run()

    def _result(self, attempt: Attempt, task: asyncio.Future[VerifiedPath]) -> VerifiedPath | None:
        try:
            path = task.result()
        except RdpeerError as error:
            self._failures.append((attempt, error))
            self._report(f"{attempt.name}: {error}")
            return None
        self._verified.append(path)
        return path

    def _take(self, path: VerifiedPath) -> VerifiedPath:
        self._verified.remove(path)
        return path

    def _note_directs(self) -> None:
        if all(attempt.is_relay for attempt in self._running.values()):
            self._directs_failed.set()


def _close(task: asyncio.Future[VerifiedPath]) -> None:
    """Closes a path that was verified in the last moment, even if nobody waits for it any more."""
    if not task.cancelled() and not task.exception():
        task.result().stream.abort()


def failure(failures: Sequence[tuple[Attempt, RdpeerError]]) -> RdpeerError:
    """One error for several failed attempts.

    A wrong key outweighs everything, then the peer's own no. What ended the only
    attempt is told as it is; several are NoPath, whose text lists each.
    """
    for kind in (IdentityMismatch, PeerRefused):
        for _, error in failures:
            if isinstance(error, kind):
                return error
    if len(failures) == 1:
        return failures[0][1]
    text = "; ".join(f"{attempt.name}: {error}" for attempt, error in failures)
    hint = next((error.hint for _, error in failures if error.hint), None)
    return NoPath(f"no path to the peer: {text or 'none was offered'}", hint=hint)
