"""A listener: lets in whom the gate lets in, of those who arrive (rdpeer.peer.arrivals), and serves.

Each has a task of its own, so any number of peers may come at the same time.
Those that have not passed yet are few (rdpeer.protocol.gate.Admission): they
cost us keys and time, and them nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from rdpeer.crypto.stock import StockChannel
from rdpeer.errors import ConnectionLost, PeerRefused, RdpeerError
from rdpeer.net.clock import monotonic
from rdpeer.net.link import Link, Offer
from rdpeer.net.transport import FrameStream
from rdpeer.peer import handshaking
from rdpeer.peer.arrivals import Arrivals
from rdpeer.peer.moving import moving
from rdpeer.peer.register import Member
from rdpeer.peer.relayed import Relayed
from rdpeer.peer.services import Busy, Guest, Service
from rdpeer.peer.surroundings import look_around
from rdpeer.peer.visits import Reception
from rdpeer.protocol.gate import Admission, Gate, make_code, normalize_code
from rdpeer.protocol.handshake import (
    MAX_PAYLOAD,
    Denial,
    Denied,
    InitiatorProven,
    ResponderHandshake,
    StockInitiator,
)
from rdpeer.protocol.notifications import Notification
from rdpeer.protocol.session import MAX_STREAMS
from rdpeer.protocol.visit import Door, Visit
from rdpeer.values import Endpoint, PublicKey

MOST_SESSIONS = 1000
"""Peers at the same time; the next one hears that we are busy."""

MOST_SEARCHES = 32
"""Relayed sessions that search a direct path at the same time, with sockets of their own; others wait."""

Report = Callable[[str], None]

_DENIALS = {
    Denial.KEY_NOT_AUTHORIZED: "its key is not authorized",
    Denial.WRONG_SECRET: "the code or password is wrong",
    Denial.BUSY: "too many wrong codes or passwords came in",
}


@dataclass
class Listener:
    """``report`` is told each attempt in a line, ``detail`` what else happens.

    ``comment`` says what is known of a key here: nothing, or what stands beside it.
    ``one_peer``: the first that passes is the only one, and the listener ends with it;
    ``settled`` is called when it has passed. ``door``: what stock desktops must pass; without
    one, none is spoken to.
    """

    member: Member
    gate: Gate
    service: Service
    report: Report
    detail: Report
    comment: Callable[[PublicKey], str]
    one_peer: bool = False
    settled: Callable[[], None] = lambda: None
    door: Door | None = None
    _admission: Admission[asyncio.Task[None]] = field(default_factory=Admission, init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set, init=False)
    _arrivals: Arrivals = field(init=False)
    _sessions: int = field(default=0, init=False)
    _search: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MOST_SEARCHES), init=False)
    _looking: asyncio.Task[None] | None = field(default=None, init=False)
    _only: asyncio.Task[None] | None = field(default=None, init=False)
    _passed: asyncio.Event = field(default_factory=asyncio.Event, init=False)

    def __post_init__(self) -> None:
        responder = self.member.responder
        self._arrivals = Arrivals(
            responder,
            lambda: self._busy,
            self._admit,
            self._start,
            self.report,
            self.detail,
            tcp_only=self.door is not None,
        )

    async def run(self, registration: Coroutine[Any, Any, None]) -> None:
        """Serves while ``registration`` runs, which hands its notifications to :meth:`answer`.

        Raises what ends the registration. With ``one_peer`` it ends with that peer,
        in order or with its error; once it is there, the registration may fail.
        """
        online = asyncio.create_task(registration)
        passed = asyncio.create_task(self._passed.wait())
        try:
            await asyncio.wait((online, passed), return_when=asyncio.FIRST_COMPLETED)
            await (self._only or online)
        finally:
            await _ended(online, passed, *self._tasks)

    async def answer(self, notification: Notification) -> None:
        """Somebody wants to connect: answered and served in a task that outlives the registration."""
        self._start(self._arrivals.answer(notification))

    def offer_codes(self, invite: Callable[[str], None]) -> None:
        """Lets in who knows the code that ``invite`` is told; a new one when the hour of the last is over."""
        self._start(self._renew_code(self._offer_code(invite), invite))

    def look_around(self) -> None:
        """Finds out, beside all else, which relay is near and whether peers can come to us. Each time that
        we have come online: it may be another network."""
        if self._looking:
            self._looking.cancel()
        self._looking = self._start(look_around(self.member.responder, self.detail))

    @property
    def _busy(self) -> str | None:
        """Why nobody else is let in now; told before any path is made."""
        if self._only:
            return "another peer is connected"
        return "too many peers are connected" if self._sessions >= MOST_SESSIONS else None

    def _offer_code(self, invite: Callable[[str], None]) -> float:
        """Tells a new code; when its time is over."""
        code = make_code()
        expires = self.gate.offer_code(normalize_code(code), monotonic())
        invite(code)
        return expires

    async def _renew_code(self, expires: float, invite: Callable[[str], None]) -> None:
        """As long as somebody may still come."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(expires - monotonic()):
                    await self._passed.wait()
                return
            expires = self._offer_code(invite)

    # From a stream to a peer that passed

    async def _admit(
        self,
        stream: FrameStream,
        path: str,
        committed: Callable[[], object],
        *,
        seen: Endpoint | None = None,
    ) -> None:
        """One connection, from its handshake to its end; ``committed`` is called when it is the one.

        ``seen``: where the server sees who comes, where that is not the stream's other end.
        """
        peer, key, door = self.member.responder.peer, self.member.identity.key, self.door
        handshake = ResponderHandshake(peer, key, self.gate, stock=door is not None)
        proven: list[InitiatorProven] = []

        def commit(initiator: InitiatorProven) -> None:
            proven.append(initiator)
            committed()

        stream.limit = MAX_PAYLOAD
        try:
            with self._waiting():
                end = await handshaking.admit(stream, handshake, commit)
        except RdpeerError as error:
            stream.abort()
            if proven:
                self.report(f"{self._who(proven[0], path)}: {error}")
            else:
                self.detail(f"somebody, {path}: {error}")
            return
        except BaseException:
            stream.abort()
            raise
        if isinstance(end, StockInitiator):
            await self._receive(stream, end.channel, path, (seen or stream.remote).ip, committed)
            return
        if isinstance(end, Denied):
            self.report(f"{self._who(proven[0], path)}: denied, {_DENIALS[end.reason]}")
            await stream.close()
            return
        self.report(f"{self._who(proven[0], path)}: accepted by {end.method.name.lower()}")
        await self._pass(stream, handshake, Guest(proven[0].peer, end.peer_key, path, seen))

    async def _receive(
        self,
        stream: FrameStream,
        channel: StockChannel,
        path: str,
        source: str,
        committed: Callable[[], object],
    ) -> None:
        """A stock desktop, from its login to the end of its tunnel; ``source``: the address that it has."""
        assert self.door is not None  # noqa: S101 - without one nobody comes so far
        visit = Visit(self.door, channel, source, monotonic())
        reception = Reception(stream, visit, path, self.report)
        try:
            with self._waiting():
                passed = await reception.login()
            if not passed:
                await stream.close()
                return
            committed()
            with self._counted():
                await reception.tunnel()
        except (RdpeerError, OSError) as error:
            self._tell_end(reception, error)
        finally:
            stream.abort()

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self._sessions += 1
        try:
            yield
        finally:
            self._sessions -= 1

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        """While a session has not authenticated, it may be dropped for another one."""
        task = _this_task()
        dropped = self._admission.enter(task)
        if dropped is not None:
            dropped.cancel()
        try:
            yield
        finally:
            self._admission.leave(task)

    def _who(self, initiator: InitiatorProven, path: str) -> str:
        comment = self.comment(initiator.key)
        name = f"{initiator.peer or 'somebody'} {initiator.key.fingerprint}"
        return f"{name} ({comment}), {path}" if comment else f"{name}, {path}"

    # A peer that passed

    async def _pass(self, stream: FrameStream, handshake: ResponderHandshake, guest: Guest) -> None:
        if self.one_peer and self._only is None:
            self._only = self._start(self._session(stream, handshake, guest, self.service))
            self._passed.set()
            self.settled()
            return
        service = Busy() if self.one_peer else self.service
        with self._counted():
            try:
                await self._session(stream, handshake, guest, service)
            except (RdpeerError, OSError) as error:
                self._tell_end(guest, error)

    async def _session(
        self, stream: FrameStream, handshake: ResponderHandshake, guest: Guest, service: Service
    ) -> None:
        """Serves what the guest asks for until it asks no more, and acknowledges delivery.

        Where a stream failed and the guest closed because of it, the stream's error is raised.
        """
        relayed = self._relayed(stream, handshake, guest)
        async with (
            Link(stream, handshake.channel, initiator=False, movable=relayed is not None) as link,
            moving(link, relayed, lambda line: self.detail(f"{guest}: {line}")),
        ):
            try:
                async with asyncio.TaskGroup() as streams:
                    lost = await self._take_offers(link, streams, guest, service)
            except BaseExceptionGroup as errors:
                raise errors.exceptions[0] from None  # the first one says it all: the rest are its echoes
            if lost is not None:
                raise lost
            await link.finish()

    def _relayed(self, stream: FrameStream, handshake: ResponderHandshake, guest: Guest) -> Relayed | None:
        """What it takes to leave the relay, if the guest came over one."""
        if not guest.is_relayed or self.member.responder.relay_only:
            return None
        return Relayed.of(guest.path, stream, handshake, guest.seen, self.member.reflectors, self._search)

    async def _take_offers(
        self, link: Link, streams: asyncio.TaskGroup, guest: Guest, service: Service
    ) -> RdpeerError | None:
        """Serves each stream in a task until the guest asks for no more, or until the link is lost: by what.

        Not raised, since that would cancel the streams; they learn of it by themselves, and end with
        their own errors.

        A stream keeps its place until we are done with it: one that was opened and reset at once may
        have left us with a program that is still to end, and any number of them could be.
        """
        places = asyncio.Semaphore(MAX_STREAMS)
        try:
            while await places.acquire() and (offer := await link.next_offer()) is not None:
                serving = streams.create_task(self._serve(offer, guest, service))
                serving.add_done_callback(lambda _: places.release())
        except RdpeerError as error:
            return error
        return None

    async def _serve(self, offer: Offer, guest: Guest, service: Service) -> None:
        """One stream. That of the only peer ends the session with it when it fails; others do not."""
        try:
            await service.serve(offer, guest)
        except (RdpeerError, OSError) as error:
            if self.one_peer and not isinstance(error, PeerRefused):
                raise
            self._tell_end(guest, error)

    def _tell_end(self, guest: Guest | Reception, error: RdpeerError | OSError) -> None:
        """A guest that just goes is the rule (ssh does not wait for its proxy), and no news.

        An OSError is of what the guest was connected with here: the target, or the program's pipes.
        """
        what = f"our end failed: {error.strerror or error}" if isinstance(error, OSError) else str(error)
        (self.detail if isinstance(error, ConnectionLost) else self.report)(f"{guest}: {what}")

    # Tasks

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        """Expected errors were told by the task; what is left is a bug, which must not end the listener."""
        self._tasks.discard(task)
        if task is not self._only and not task.cancelled() and (error := task.exception()):
            self.report(f"internal error: {type(error).__name__}: {error}")


def _this_task() -> asyncio.Task[Any]:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine that runs has one
    return task


async def _ended(*tasks: asyncio.Task[Any]) -> None:
    """Cancels the tasks and waits for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
