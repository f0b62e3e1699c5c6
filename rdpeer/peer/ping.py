"""The path to a peer and its round trip, measured without being let in.

A path is verified by the peer's proof, and answers PING from then on. We never
send a proof of our own: so it costs no guess, takes no place at a listener for
one peer, and needs no secret. A peer gives such a session 20 s, so a longer run
takes one path after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from rdpeer.errors import IdentityMismatch, NoPath, RdpeerError
from rdpeer.net.clock import monotonic
from rdpeer.peer import handshaking
from rdpeer.peer.connect import Connector
from rdpeer.peer.paths import VerifiedPath
from rdpeer.peer.setup import within
from rdpeer.protocol.handshake import InitiatorHandshake
from rdpeer.values import PublicKey

_MARGIN = 6.0  # seconds that a path must still have: the peer's clock began before ours
_ANSWER_WITHIN = 5.0


@dataclass(frozen=True, slots=True)
class Pong:
    """``number`` counts from 1. ``path`` is as in VerifiedPath, ``key`` what the peer has proven."""

    number: int
    path: str
    seconds: float
    key: PublicKey

    @property
    def is_direct(self) -> bool:
        return not self.path.startswith("relay")


@dataclass(frozen=True, slots=True)
class Lost:
    """No answer to this one, and why."""

    number: int
    error: RdpeerError


@dataclass(frozen=True, slots=True)
class Plan:
    """How often, and every how many seconds; ``until_direct`` ends it with the first direct path.

    ``timeout``: seconds for each path to be found.
    """

    count: int
    interval: float
    until_direct: bool = False
    timeout: float | None = None


async def ping(connector: Connector, plan: Plan, report: Callable[[Pong | Lost], None]) -> None:
    """Each answer, and each that failed to come, is given to ``report``.

    Raises what the first one fails with, as :meth:`Connector.path` does; later
    failures are Lost. A wrong key is raised whenever it shows; NoPath where
    ``until_direct`` is not met.
    """
    pinger = _Pinger(connector, plan)
    answered = False
    try:
        for number in range(1, plan.count + 1):
            if number > 1:
                await asyncio.sleep(plan.interval)
            try:
                pong = await pinger.ping(number)
            except RdpeerError as error:
                if not answered or isinstance(error, IdentityMismatch):
                    raise
                report(Lost(number, error))
                continue
            answered = True
            report(pong)
            if plan.until_direct and pong.is_direct:
                return
    finally:
        pinger.close()
    if plan.until_direct:
        raise NoPath(f"no direct path to {connector.peer} in {plan.count} tries", hint="-v tells why")


class _Pinger:
    def __init__(self, connector: Connector, plan: Plan) -> None:
        self._connector = connector
        self._plan = plan
        self._path: VerifiedPath | None = None

    async def ping(self, number: int) -> Pong:
        """Over the path there is, while it lasts; a relay does not do where a direct path is wanted."""
        path = self._path or await self._new_path()
        self._path = None
        verified = path.verified
        try:
            until = min(verified.deadline, monotonic() + _ANSWER_WITHIN)
            assert isinstance(path.handshake, InitiatorHandshake)  # noqa: S101 - it pings no desktops
            seconds = await handshaking.ping(path.stream, path.handshake, until)
        except BaseException:
            path.stream.abort()
            raise
        pong = Pong(number, path.name, seconds, verified.proof.peer_key)
        lasts = monotonic() + self._plan.interval + _MARGIN < verified.deadline
        if lasts and not (self._plan.until_direct and not pong.is_direct):
            self._path = path
        else:
            path.stream.abort()
        return pong

    def close(self) -> None:
        if self._path is not None:
            self._path.stream.abort()

    async def _new_path(self) -> VerifiedPath:
        async with within(self._plan.timeout):
            path, server_signed = await self._connector.path()
        if not server_signed and not self._connector.trust.key_proven:
            key = path.verified.proof.peer_key.fingerprint
            self._connector.person.note(
                f"warning: nobody vouches for the key of {self._connector.peer}: {key}"
            )
        return path
