"""Coming online and staying so; and saying no to whoever asks, where nobody listens."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdpeer.crypto.possession import Possession
from rdpeer.errors import RdpeerError
from rdpeer.net.driver import converse
from rdpeer.peer.setup import reflectors_of, rendezvous_server, why_relayed, within
from rdpeer.protocol.answer import Answer, Responder
from rdpeer.protocol.line_registration import LineRegistration
from rdpeer.protocol.notifications import Notification
from rdpeer.protocol.question import RendezvousServer
from rdpeer.protocol.registrant import Registrant
from rdpeer.protocol.registration import (
    PATIENCE,
    Contested,
    Ignored,
    KeyConfirmed,
    Offline,
    Online,
    OtherServers,
    Registration,
)
from rdpeer.protocol.relays import Relays
from rdpeer.protocol.tokens import UsedTokens, fresh_token
from rdpeer.settings import Settings
from rdpeer.store.confirmed import Confirmed
from rdpeer.store.files import ready_file
from rdpeer.store.home import Profile
from rdpeer.store.identity import Identity, load_or_create
from rdpeer.store.lock import keep_online
from rdpeer.values import Endpoint, ServerAddress


class Member:
    """A profile's identity at the server that is set. UsageError where none is."""

    def __init__(self, profile: Profile, identity: Identity, settings: Settings) -> None:
        self.identity = identity
        self.server: RendezvousServer = rendezvous_server(settings)
        self.responder = Responder(
            identity.peer_id,
            self.server,
            Relays(self.server.address, *settings.relay_servers),
            UsedTokens(),
            relay_only=why_relayed(self.server) is not None,
        )
        self.reflectors = reflectors_of(self.server, settings.stun)
        self._confirmed = Confirmed(profile.confirmed)

    def registration(self, *, once: bool, patience: float | None) -> Registration | LineRegistration:
        """The conversation that brings this member online."""
        identity = self.identity
        server = self.server.key.public if self.server.key else None
        possession = Possession(identity.key, server) if server else None
        registrant = Registrant(identity.peer_id, identity.uuid, identity.key.public, possession)
        confirmed = self._confirmed.holds(self.server.licence_key, identity.peer_id, identity.key.public)
        if self.responder.relay_only:  # where no direct path can be had, no datagram gets out
            return LineRegistration(
                registrant, self.server, confirmed=confirmed, once=once, patience=patience
            )
        return Registration(
            registrant, self.server.address, confirmed=confirmed, once=once, patience=patience
        )

    def remember(self, record: KeyConfirmed) -> None:
        """Keeps what the server has confirmed."""
        self._confirmed.add(self.server.licence_key, record.peer, self.identity.key.public)


@dataclass(frozen=True, slots=True)
class Declined:
    """Somebody wanted to connect, and was told that nobody listens here."""

    initiator: Endpoint | None

    def __str__(self) -> str:
        return f"refused a connection request from {self.initiator or 'a peer'}: not listening"


@dataclass(frozen=True, slots=True)
class AnswerFailed:
    """Somebody wanted to connect, and could not be answered."""

    initiator: Endpoint | None
    server: ServerAddress
    error: RdpeerError

    def __str__(self) -> str:
        return f"could not answer {self.initiator or 'a peer'}: {self.error}"


News = Online | Offline | Contested | Ignored | OtherServers | Declined | AnswerFailed
Answering = Callable[[Notification], Coroutine[Any, Any, None]]


def is_important(news: News) -> bool:
    """Whether a person wants to hear it without having asked: a change of state, or a clone at its work."""
    return isinstance(news, Online | Offline) or (isinstance(news, Contested) and news.times == 2)


async def stay_online(
    member: Member,
    answer: Answering,
    report: Callable[[News], None],
    *,
    once: bool = False,
    patience: float | None = None,
) -> None:
    """Keeps ``member`` online until cancelled; with ``once``, until it is online.

    Each notification is given to ``answer`` in a task of its own, which does not
    outlive this call; what fails in it is reported as AnswerFailed. Their number is
    bounded by the rate of notifications and by the time that ``answer`` takes: one
    that serves a whole session there sets its own limit. Raises what ends a
    Registration; ``patience`` as there.
    """

    async def answered(notification: Notification) -> None:
        try:
            await answer(notification)
        except RdpeerError as error:
            report(AnswerFailed(notification.endpoint, member.server.address, error))

    def heard(what: News | Notification) -> None:
        if isinstance(what, Notification):
            answers.create_task(answered(what))
            return
        if isinstance(what, Online):
            member.responder.relays.server_ip = what.remote.ip if what.remote else None
        report(what)

    registration = member.registration(once=once, patience=patience)
    try:
        async with asyncio.TaskGroup() as answers:
            await converse(registration, report=heard, record=member.remember)
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None  # the others were cancelled because of it


async def register(
    profile: Profile,
    settings: Settings,
    report: Callable[[News], None],
    *,
    once: bool = False,
    ready: Path | None = None,
) -> None:
    """Registers the profile's identity and stays online until cancelled; with ``once``, until it is online.

    Whoever asks for a connection hears that nobody listens. ``ready`` has the ID in
    it from the first time online to the end. With ``once`` a server that does not
    answer for PATIENCE seconds is ServerUnreachable. Raises UsageError where another
    process keeps this identity online at this server, DeadlineExceeded where
    ``settings.timeout`` is over before the identity is online, and what ends a
    Registration.
    """
    identity = load_or_create(profile)
    member = Member(profile, identity, settings)

    async def decline(notification: Notification) -> None:
        await converse(Answer(member.responder, notification, fresh_token(), refuse="not listening"))
        report(Declined(notification.endpoint))

    with (
        keep_online(profile.state, member.server.address, "rdpeer register"),
        ready_file(ready) as write_ready,
    ):
        async with within(settings.timeout) as limit:

            def tell(news: News) -> None:
                if isinstance(news, Online):
                    limit.reschedule(None)
                    write_ready(str(identity.peer_id))
                report(news)

            await stay_online(member, decline, tell, once=once, patience=PATIENCE if once else None)
