"""Who is examined, and what is known so far: each check leaves here what later ones need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Self, TypeVar

from rdpeer.net.driver import Outcome, converse
from rdpeer.peer.register import Member, News, stay_online
from rdpeer.peer.setup import why_relayed
from rdpeer.protocol.answer import Answer
from rdpeer.protocol.nat import Nat
from rdpeer.protocol.notifications import Notification
from rdpeer.protocol.question import RendezvousServer
from rdpeer.protocol.registration import PATIENCE, Contested, Online
from rdpeer.protocol.relays import Relays
from rdpeer.protocol.rendezvous import Offer
from rdpeer.protocol.tokens import fresh_token
from rdpeer.settings import Settings
from rdpeer.store.home import Profile
from rdpeer.store.identity import Identity
from rdpeer.values import Endpoint, ServerAddress

T = TypeVar("T")

_MOST_NOTED = 16


class Undiagnosed(Exception):
    """A check needs what an earlier one could not find; that one has said why."""


@dataclass
class Patient:
    """A profile. ``load`` reads its settings. ``quick``: nothing is watched for longer than it takes to ask.

    What is opened for the rest of the examination is entered in ``until_end``.
    """

    profile: Profile
    load: Callable[[], Settings]
    quick: bool
    until_end: AsyncExitStack
    known_settings: Settings | None = None
    known_server: RendezvousServer | None = None
    known_identity: Identity | None = None
    endpoints: Sequence[Endpoint] = ()
    """Those of the server that there is a route to."""
    is_reached: bool = False
    """The rendezvous port answers by TCP."""
    is_served: bool = False
    """The server takes the configured key."""
    nat: Nat | None = None
    offer: Offer | None = None
    """The answer to the question for our own ID, while another process keeps it online."""
    pairs_without_token: bool = False
    """The relay joins whoever comes, as that of the smallest server does."""
    membership: Membership | None = None

    @property
    def settings(self) -> Settings:
        return _known(self.known_settings)

    @property
    def server(self) -> RendezvousServer:
        return _known(self.known_server)

    @property
    def identity(self) -> Identity:
        return _known(self.known_identity)

    @property
    def reached_server(self) -> RendezvousServer:
        """The server, for what is of no use where it cannot be reached."""
        if not self.is_reached:
            raise Undiagnosed
        return self.server

    @property
    def relays(self) -> list[ServerAddress]:
        """Where we would connect for the relays that we may offer: the configured ones, or what the server
        has named to us or to who answered for us."""
        relays = Relays(self.server.address, *self.settings.relay_servers)
        told = [n.relay_server for n in self.membership.notifications] if self.membership else []
        named = next(filter(None, told), str(self.offer.relay) if self.offer else "")
        return [relays.reach(relay) for relay in relays.configured or [relays.ours(named)]]

    @property
    def detour(self) -> str | None:
        """Why the server is not reached at its own TCP and UDP ports, if it is not: by WebSocket or proxy."""
        return why_relayed(self.server)


@dataclass
class Membership:
    """The identity, online once this is entered. Whoever asks for it is answered, and then left alone."""

    member: Member
    contested: int = 0
    """How often another machine has taken its address meanwhile."""
    notifications: list[Notification] = field(default_factory=list)
    _online: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _task: asyncio.Task[None] | None = field(default=None, init=False)

    async def __aenter__(self) -> Self:
        """Raises what ends a registration."""
        work = stay_online(self.member, self._answer, self._report, patience=PATIENCE)
        self._task = asyncio.create_task(work)
        online = asyncio.create_task(self._online.wait())
        try:
            await asyncio.wait((self._task, online), return_when=asyncio.FIRST_COMPLETED)
        except BaseException:
            await self.__aexit__()
            raise
        finally:
            online.cancel()
        if self._task.done():
            self._task.result()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def watch(self, seconds: float) -> None:
        """Lets time pass. Raises what ends the registration meanwhile."""
        task = _known(self._task)
        await asyncio.wait((task,), timeout=seconds)
        if task.done():
            task.result()

    async def _answer(self, notification: Notification) -> None:
        if len(self.notifications) < _MOST_NOTED:
            self.notifications.append(notification)
        close(await converse(Answer(self.member.responder, notification, fresh_token())))

    def _report(self, news: News) -> None:
        if isinstance(news, Online):
            self._online.set()
        elif isinstance(news, Contested):
            self.contested += 1


def close(outcome: Outcome) -> None:
    """Closes what a conversation has kept."""
    for stream in outcome.streams.values():
        stream.abort()
    for listener in outcome.listeners.values():
        listener.close()


def _known(fact: T | None) -> T:
    if fact is None:
        raise Undiagnosed
    return fact
