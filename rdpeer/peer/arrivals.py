"""How initiators arrive at a listener: the server's notification becomes an answer, the answer a stream.

An answer promises ways to come: a port that listens and dials, a relay, datagrams. Each way that comes
about is a stream, and given to ``admit``, whichever of them the initiator will commit to. Ways that
nobody takes are given up after a while, and their number is bounded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from rdpeer.errors import RdpeerError
from rdpeer.net.clock import monotonic
from rdpeer.net.driver import Outcome, converse
from rdpeer.net.transport import FrameStream
from rdpeer.net.transport.hole import TcpHole, dial_until_heard
from rdpeer.net.transport.udp_hole import UdpHole
from rdpeer.peer.by_udp import hole_v6
from rdpeer.protocol.answer import Answer, Dropped, Listening, Refused, Responder
from rdpeer.protocol.handshake import MAX_PAYLOAD
from rdpeer.protocol.notifications import Notification
from rdpeer.protocol.relay_leg import RELAY, Joined
from rdpeer.protocol.tokens import fresh_token
from rdpeer.protocol.traversal import LISTENER
from rdpeer.protocol.udp_answer import UdpAnswer, udp_answer, v6_target
from rdpeer.values import Endpoint

ACCEPT_FOR = 18.0
"""Seconds that an initiator has to come to the endpoint that it was told."""

MOST_DIALLERS = 8
"""Connections taken there until one of them commits (docs/CHANNEL.md 6)."""

MOST_ANSWERS = 256
"""Initiators that are answered or waited for at the same time; more are met at the relay alone."""

MOST_HOLES = 32
"""Initiators that are awaited by UDP at the same time. Empty datagrams go to each, five a second, and that
somebody is there who wants them is the word of whoever asked."""

Work = Coroutine[Any, Any, None]


class Admit(Protocol):
    def __call__(
        self,
        stream: FrameStream,
        path: str,
        committed: Callable[[], object],
        *,
        seen: Endpoint | None = None,
    ) -> Work:
        """Sees ``stream``, of a ``path`` for people, through to its end.

        ``committed`` is called when the initiator has chosen it. ``seen``: where the server sees who
        comes, where that is not the stream's other end.
        """


@dataclass
class Arrivals:
    """``refusal``: why nobody is let in now, if so; told before any way is made. ``start`` runs what goes on
    by itself. ``report`` is told what was decided, ``detail`` what else happens. ``tcp_only``: nobody is met
    by UDP, since a stock session can turn raw on TCP alone."""

    responder: Responder
    refusal: Callable[[], str | None]
    admit: Admit
    start: Callable[[Work], object]
    report: Callable[[str], None]
    detail: Callable[[str], None]
    tcp_only: bool = False
    _answers: int = field(default=0, init=False)
    _holes: set[UdpHole] = field(default_factory=set, init=False)

    async def answer(self, notification: Notification) -> None:
        """Somebody wants to connect. Returns when whoever came by this answer's relay has gone."""
        if (outcome := await self._answered(notification)) is None:
            return
        match outcome.value:
            case Joined(relay):
                leg = outcome.streams[RELAY]
                await self.admit(leg, f"relay {relay}", lambda: None, seen=notification.endpoint)
            case Refused(reason) | Dropped(reason):
                self.report(f"somebody asked for us: refused, {reason}")

    async def _answered(self, notification: Notification) -> Outcome | None:
        """What came of the answer, once nobody can come directly any more; None where it failed, or where it
        is to be met by UDP."""
        refusal, relay_only = self.refusal(), self._answers >= MOST_ANSWERS
        v6 = None
        if not refusal and not relay_only and not self.tcp_only and len(self._holes) < MOST_HOLES:
            v6 = self._await_v6(notification)
            if self._await_udp(notification, v6):
                return None
        answer = Answer(
            self.responder,
            notification,
            fresh_token(),
            refuse=refusal,
            relay_only=relay_only,
            v6=v6,
        )
        with self._answering():
            if answer.dials:
                self.start(self._dial(answer.dials))
            try:
                outcome = await converse(answer)
            except RdpeerError as error:
                self.report(f"somebody asked for us, and the answer failed: {error}")
                return None
            if isinstance(outcome.value, Listening):
                await self._accept(outcome.listeners[LISTENER])
        return outcome

    @contextmanager
    def _answering(self) -> Iterator[None]:
        self._answers += 1
        try:
            yield
        finally:
            self._answers -= 1

    @contextmanager
    def _holding(self, hole: UdpHole) -> Iterator[None]:
        """Until its stream has taken ``hole`` over, or nobody came."""
        try:
            yield
        finally:
            hole.close()
            self._holes.discard(hole)

    async def _accept(self, hole: TcpHole) -> None:
        """Takes connections at ``hole`` until one commits: behind one address may be several who dial.

        Committing cancels this task, which waits in ``accept`` and loses no stream by it.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine that runs has one
        with closing(hole):
            try:
                async with asyncio.timeout(ACCEPT_FOR):
                    for _ in range(MOST_DIALLERS):
                        stream = await hole.accept()
                        self.start(self.admit(stream, f"direct {stream.remote}", task.cancel))
            except TimeoutError:
                self.detail(f"nobody took the direct path to {hole.endpoint} within {ACCEPT_FOR:g} s")

    def _await_v6(self, notification: Notification) -> Endpoint | None:
        """Where the initiator is awaited by IPv6 from now on, if it is."""
        target = v6_target(self.responder, notification)
        hole = hole_v6() if target else None
        if target is None or hole is None:
            return None
        self._holes.add(hole)
        self.start(self._meet_by_udp(hole, target))
        return hole.endpoint

    def _await_udp(self, asked: Notification, v6: Endpoint | None) -> bool:
        """Whether the initiator is awaited by UDP from now on, and the server is told."""
        answer = udp_answer(self.responder, asked, v6, monotonic())
        if answer is None:
            return False
        try:
            hole = UdpHole.open()
        except OSError as error:
            self.detail(f"no UDP for {answer.target}: {error.strerror or error}")
            return False
        self._holes.add(hole)
        self.start(self._announce(hole, answer))
        return True

    async def _announce(self, hole: UdpHole, answer: UdpAnswer) -> None:
        with self._holding(hole):
            await hole.announce(answer.payload, answer.server)
            await self._meet_by_udp(hole, answer.target)

    async def _meet_by_udp(self, hole: UdpHole, initiator: Endpoint) -> None:
        """Takes the initiator's call at ``hole``."""
        with self._holding(hole), self._answering():
            try:
                stream = await hole.accept(initiator, limit=MAX_PAYLOAD, timeout=ACCEPT_FOR)
            except OSError as error:
                self.detail(f"direct by UDP: {error}")
                return
        await self.admit(stream, f"direct {initiator} by UDP", lambda: None)

    async def _dial(self, initiator: Endpoint) -> None:
        """Goes to an initiator that cannot come to us."""
        with self._answering():
            try:
                async with asyncio.timeout(ACCEPT_FOR):
                    stream = await dial_until_heard(initiator, limit=MAX_PAYLOAD)
            except OSError as error:
                self.detail(f"direct {initiator}: {error or f'no answer within {ACCEPT_FOR:g} s'}")
                return
        await self.admit(stream, f"direct {initiator}", lambda: None)
