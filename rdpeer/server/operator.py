"""What the operator can see and change while the server runs.

Each method is one command of the admin socket. What it changes is durable when
it returns; UsageError says why it cannot be done.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rdpeer.errors import UsageError
from rdpeer.net.clock import monotonic, wall
from rdpeer.server import keypair
from rdpeer.server.blocks import Blocks, meant, normal
from rdpeer.server.database import FILE_NAME, Database
from rdpeer.server.disk import Disk
from rdpeer.server.enrolment import Enrolment
from rdpeer.server.journal import Journal
from rdpeer.server.keys import Keys, NamedKeys
from rdpeer.server.limits import Limits
from rdpeer.server.options import ServerOptions
from rdpeer.server.presence import Known, Presence
from rdpeer.server.reception import Reception
from rdpeer.server.relay import Relay
from rdpeer.server.relays import Relays
from rdpeer.store.files import write_whole
from rdpeer.values import PublicKey

Row = dict[str, Any]
"""What an answer is made of: names to JSON values."""

log = logging.getLogger(__name__)

_NEED_RESTART = (
    *("port", "bind", "address", "only", "limits"),
    *("access_log", "log_format", "log_level", "metrics"),
)


@dataclass
class Operator:
    """The parts of a running server."""

    options: ServerOptions
    base: int
    addresses: list[str]
    """Where it listens: all of ``options.bind`` that this machine has."""
    limits: Limits
    """Those of ``options``, as far as the system has files for them."""
    keys: Keys | NamedKeys
    registry: Presence
    enrolment: Enrolment
    blocks: Blocks
    disk: Disk
    relays: Relays
    relay: Relay
    receptions: list[Reception]
    journal: Journal
    blocked: set[str] = field(default_factory=set)
    """What was blocked at run time, beside the list in the file."""
    started: float = field(default_factory=wall)
    _began: float = field(default_factory=monotonic)

    def apply(self, options: ServerOptions) -> None:
        """What was read anew counts from now on, except what would take a restart. UsageError for a bad file,
        and nothing has changed."""
        keys, bandwidth, listed = options.read_allowed_keys(), options.bandwidth(), options.read_blocklist()
        waiting = self._waiting(options)
        for name in waiting:
            log.warning("%s has changed: it counts after a restart", name.replace("_", "-"))
        self.options = dataclasses.replace(options, **{name: getattr(self.options, name) for name in waiting})
        if isinstance(self.keys, NamedKeys):
            self.keys.keys = self.options.demanded_keys
        self.relays.set(options.relays)
        self.enrolment.set(options.enrol, keys)
        self.relay.limit(bandwidth)
        self._apply_blocks(listed)

    def _waiting(self, options: ServerOptions) -> list[str]:
        """What has changed in ``options`` and takes a restart: not another certificate, nor other keys where
        none of them is the server's own."""
        names = [name for name in _NEED_RESTART if getattr(options, name) != getattr(self.options, name)]
        if (options.tls_cert is None) != (self.options.tls_cert is None):
            names += ["tls_cert", "tls_key"]
        are_named = isinstance(self.keys, NamedKeys) and options.demanded_keys
        if not are_named and options.demanded_keys != self.options.demanded_keys:
            names.append("key")
        return names

    def status(self) -> Row:
        """The server in a few numbers."""
        now = asyncio.get_running_loop().time()
        peers = self.registry.all()
        pairs = self.relay.pairs.values()
        previous = self.keys.previous if isinstance(self.keys, Keys) else None
        return {
            "bind": self.addresses,
            "port": self.base,
            "tls": self.options.tls_cert is not None,
            "key": self.keys.public.text,
            "previous_key_until": previous.until if previous else None,
            "services": [self.options.only] if self.options.only else ["rendezvous", "relay"],
            "started": self.started,
            "uptime": monotonic() - self._began,
            "peers": len(peers),
            "online": sum(peer.is_online(now) for peer in peers),
            "waiting": len(self.enrolment.waiting),
            "blocked": len(self.blocks.entries),
            "enrol": str(self.enrolment.mode),
            "connections": sum(len(reception.open) for reception in self.receptions),
            "limits": dataclasses.asdict(self.limits),
            "pairs": len(pairs),
            "parked": self.relay.parked,
            "relayed_bytes": self.relay.carried + sum(pair.meter.carried for pair in pairs),
            "relayed_bytes_per_second": sum(pair.rate for pair in pairs),
            "single_bandwidth": self.options.single_bandwidth,
            "total_bandwidth": self.options.total_bandwidth,
            "limit_speed": self.options.limit_speed if self.relay.bandwidth.slow.any else None,
            "relay_servers": {str(relay): self.relays.is_up(relay) for relay in self.relays.addresses},
            "keep_alives": self.journal.keep_alives,
            "keep_alives_per_second": self.journal.keep_alive_rate,
            "requests_per_second": self.journal.rate,
            "requests": {f"{what} {decision}": n for (what, decision), n in self.journal.counts.items()},
        }

    def peers(self) -> Iterator[Row]:
        """Each known peer, and each that waits for approval."""
        now = asyncio.get_running_loop().time()
        for peer in self.registry.all():
            yield self._peer(peer, now)
        for waiting in self.enrolment.waiting:
            yield {
                "id": waiting.id,
                "state": "waiting",
                "address": waiting.ip,
                "key": PublicKey(waiting.pk).text,
                "proven": waiting.proven,
            }

    def pairs(self) -> Iterator[Row]:
        """Each pair that is relayed now."""
        now = asyncio.get_running_loop().time()
        for pair in list(self.relay.pairs.values()):
            yield {
                "first": str(pair.first.remote),
                "second": str(pair.second.remote),
                "bytes": pair.meter.carried,
                "bytes_per_second": pair.rate,
                "limit": pair.budget.limit,
                "seconds": round(now - pair.since, 3),
                "idle": round(now - pair.last, 3),
            }

    def listed(self) -> Iterator[Row]:
        """Who is blocked, and by whom."""
        for entry in sorted(self.blocks.entries):
            yield {"entry": entry, "by": "operator" if entry in self.blocked else "file"}

    async def block(self, entry: str) -> None:
        """An address, a network or an ID is not served from now on."""
        entry = _checked(entry, meant)
        self.options.read_blocklist()  # for its error
        await self._write(lambda database: database.block(entry))
        self.blocked.add(entry)
        self._apply_blocks(self.options.read_blocklist())

    async def unblock(self, entry: str) -> None:
        entry, listed = _checked(entry, normal), self.options.read_blocklist()
        if entry not in self.blocked:
            raise UsageError(f"{entry} is {'blocked by the file' if entry in listed else 'not blocked'}")
        await self._write(lambda database: database.unblock(entry))
        self.blocked.discard(entry)
        self._apply_blocks(self.options.read_blocklist())

    def _apply_blocks(self, listed: list[str]) -> None:
        """Who is blocked now is offline, and his connections end."""
        self.blocks.set([*listed, *self.blocked])
        for peer in self.registry.all():
            if self.blocks.has_id(peer.registration.id) or (
                peer.source and self.blocks.has_ip(peer.source[0])
            ):
                peer.forget()
        for reception in self.receptions:
            reception.hang_up_blocked()

    async def approve(self, peer_id: str) -> None:
        """A newcomer that waits is registered."""
        registration = self.enrolment.take(peer_id)
        if registration is None:
            raise UsageError(f"{peer_id} does not wait for approval")
        await self._write(lambda database: database.save([registration]))
        self.registry.save(registration)

    async def remove(self, peer_id: str) -> None:
        """Forgets a peer: its ID is free again."""
        if self.registry.get(peer_id) is None:
            if self.enrolment.take(peer_id) is not None:
                return
            raise UsageError(f"{peer_id} is not known")
        await self._write(lambda database: database.remove(peer_id))
        self.registry.remove(peer_id)

    def rotate(self, days: float) -> Row:
        """A new key pair; the old one counts for so many days more."""
        if isinstance(self.keys, NamedKeys) or self.options.demanded_keys:
            raise UsageError("the key that is demanded was named by --key")
        keypair.rotate(self.options.data_dir, self.keys, days)
        return {"key": self.keys.public.text}

    async def backup(self, folder: Path) -> None:
        """Copies keys and database into the new ``folder``, which then is a data folder."""
        await self.disk.do(lambda database: back_up(database, self.options.data_dir, folder))

    async def _write(self, work: Callable[[Database], None]) -> None:
        try:
            await self.disk.do(work)
        except sqlite3.Error as error:
            raise UsageError(f"it could not be written: {error}") from None

    def _peer(self, peer: Known, now: float) -> Row:
        registration = peer.registration
        return {
            "id": registration.id,
            "state": "online" if peer.is_online(now) else "offline",
            "address": registration.ip,
            "port": peer.source[1] if peer.source else None,
            "seen": round(now - peer.seen, 1) if peer.source else None,
            "key": PublicKey(registration.pk).text,
            "proven": registration.proven,
        }


def back_up(database: Database, data_dir: Path, folder: Path) -> None:
    """Copies keys and database to the new ``folder``. UsageError if it is there, or cannot be written."""
    try:
        folder.mkdir(mode=0o700)
        for name in (keypair.SECRET_FILE, keypair.PUBLIC_FILE, keypair.PREVIOUS_FILE):
            if (path := data_dir / name).exists():
                write_whole(folder / name, path.read_text())
        database.backup(folder / FILE_NAME)
    except (OSError, sqlite3.Error) as error:
        raise UsageError(f"cannot write {folder}: {getattr(error, 'strerror', None) or error}") from None


def _checked(entry: str, form: Callable[[str], str]) -> str:
    try:
        return form(entry)
    except ValueError as error:
        raise UsageError(f"neither an address, a network nor an ID: {error}") from None
