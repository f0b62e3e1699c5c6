"""Listening: stay registered, and let peers in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rdpeer.errors import UsageError
from rdpeer.peer.desktop import this_machine
from rdpeer.peer.discovery import discoverable
from rdpeer.peer.listener import Listener
from rdpeer.peer.register import Member, News, is_important, stay_online
from rdpeer.peer.services import Service
from rdpeer.peer.setup import within
from rdpeer.protocol.gate import Gate
from rdpeer.protocol.registration import PATIENCE, Online
from rdpeer.protocol.visit import Door
from rdpeer.settings import Settings
from rdpeer.store import authorized_peers
from rdpeer.store.files import ready_file
from rdpeer.store.home import Profile
from rdpeer.store.identity import load_or_create
from rdpeer.store.lock import keep_online
from rdpeer.values import PublicKey, ServerAddress

Tell = Callable[[str], None]

_HOW = (
    "put what 'rdpeer id --authorized' prints at the other end into {}, "
    "or give --password-file, --open or --allow-stock; without --to and --exec it makes a code"
)


@dataclass(frozen=True, slots=True)
class StockEntry:
    """How stock desktops may pass, and the only place where they get to."""

    password: str = field(repr=False)
    target: ServerAddress


@dataclass(frozen=True, slots=True)
class Entry:
    """How peers may pass, beside the keys in authorized_peers. ``password`` is normalised.

    ``stock`` is a way in by itself, for desktops alone.
    """

    password: bytes | None = field(default=None, repr=False)
    open_to_all: bool = False
    stock: StockEntry | None = None


@dataclass(frozen=True, slots=True)
class Voice:
    """Who is told. ``invite`` gets the one-time code, or None, once the listener can be reached."""

    invite: Callable[[Member, str | None], None]
    report: Tell
    detail: Tell


async def listen(
    profile: Profile,
    settings: Settings,
    service: Service,
    entry: Entry,
    voice: Voice,
    *,
    one_peer: bool,
    ready: Path | None = None,
    discovery_port: int | None = None,
) -> None:
    """Serves ``service`` until cancelled; with ``one_peer``, to the first peer that passes, and ends with it.

    With ``one_peer`` and no other way in it makes a one-time code. ``ready`` has the
    ID in it from the first time online to the end. Who asks at ``discovery_port`` on
    the local network is answered. Raises UsageError where nobody
    could pass, or another process keeps this identity online; DeadlineExceeded where
    ``settings.timeout`` is over before a peer has passed (before it is online, where
    it stays); what ends a registration; with ``one_peer`` what ended its stream.
    """
    member = Member(profile, load_or_create(profile), settings)
    gate = _gate(profile, entry, one_peer, voice.report)
    with_code = one_peer and not entry.open_to_all and entry.password is None
    lock = keep_online(profile.state, member.server.address, "rdpeer listen")
    with lock, ready_file(ready) as write_ready:
        async with within(settings.timeout) as limit:
            settled = partial(limit.reschedule, None)
            listener = Listener(
                member,
                gate,
                service,
                voice.report,
                voice.detail,
                _comments(profile),
                one_peer,
                settled,
                _door(member, entry.stock),
            )
            reached = False

            def tell(news: News) -> None:
                nonlocal reached
                (voice.report if is_important(news) else voice.detail)(str(news))
                if isinstance(news, Online):
                    listener.look_around()
                if isinstance(news, Online) and not reached:
                    reached = True
                    if with_code:
                        listener.offer_codes(partial(voice.invite, member))
                    else:
                        voice.invite(member, None)
                    write_ready(str(member.identity.peer_id))
                    if not one_peer:
                        settled()

            patience = PATIENCE if one_peer else None
            async with discoverable(member.identity.peer_id, discovery_port, voice.detail):
                await listener.run(stay_online(member, listener.answer, tell, patience=patience))


def _gate(profile: Profile, entry: Entry, one_peer: bool, report: Tell) -> Gate:
    """Keys count beside every other way; read for each connection, so a removed line counts at once."""
    path = profile.authorized_peers
    keys = authorized_peers.read(path)
    if not (keys or one_peer or entry.password or entry.open_to_all or entry.stock):
        raise UsageError("nobody could connect: no way in was chosen", hint=_HOW.format(path))

    def is_authorized(key: PublicKey) -> bool:
        try:
            return key in authorized_peers.read(path)
        except UsageError as error:  # broken while we listen: nobody passes by it, and we say why
            report(str(error))
            return False

    return Gate(
        is_authorized=is_authorized if keys or not one_peer else None,
        password=entry.password,
        open_to_all=entry.open_to_all,
    )


def _door(member: Member, stock: StockEntry | None) -> Door | None:
    if stock is None:
        return None
    return Door(member.identity.peer_id, stock.password, stock.target, this_machine())


def _comments(profile: Profile) -> Callable[[PublicKey], str]:
    def comment(key: PublicKey) -> str:
        try:
            return authorized_peers.read(profile.authorized_peers).get(key, "")
        except UsageError:  # told where it decides something
            return ""

    return comment
