"""Peers in the test's own process: they serve from memory and connect into memory, over real sockets."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rdpeer.cli.exits import exit_code
from rdpeer.errors import RdpeerError
from rdpeer.net.link import Offer
from rdpeer.peer.connect import Connector, Way, pipe
from rdpeer.peer.desktop import Desktop, this_machine
from rdpeer.peer.listen import Entry, Voice, listen
from rdpeer.peer.services import Guest, Service
from rdpeer.peer.setup import rendezvous_server
from rdpeer.peer.trust import Trust
from rdpeer.protocol.gate import Method
from rdpeer.protocol.handshake import ExpectedKey
from rdpeer.protocol.login import Visitor
from rdpeer.server import Server
from rdpeer.settings import Settings
from rdpeer.store.home import Home, Profile
from rdpeer.store.identity import Identity, load_or_create
from rdpeer.store.known_peers import KnownPeers
from rdpeer.values import PeerId, PublicKey, ServerAddress

OPEN = Entry(open_to_all=True)


class Lines(list[str]):
    """What somebody was told, line by line."""

    def __init__(self) -> None:
        super().__init__()
        self._news = asyncio.Event()

    def tell(self, line: str) -> None:
        assert line.isprintable()
        self.append(line)
        self._news.set()

    async def said(self, pattern: str) -> str:
        """The first line that has ``pattern`` in it, once it is there; the test's own timeout bounds it."""
        while True:
            if line := next((line for line in self if re.search(pattern, line)), None):
                return line
            self._news.clear()
            await self._news.wait()


class Text:
    """A source that holds ``data``; it stays open behind that if ``endless``."""

    ends_with_peer = False

    def __init__(self, data: bytes = b"", *, endless: bool = False) -> None:
        self._data = data
        self._endless = endless

    async def read(self, limit: int) -> bytes:
        chunk, self._data = self._data[:limit], self._data[limit:]
        if not chunk and self._endless:
            await asyncio.Event().wait()
        return chunk

    async def status(self) -> int | None:
        return None

    def close(self) -> None: ...


class Collector:
    """A sink that keeps everything."""

    def __init__(self) -> None:
        self.data = b""
        self.finished = False

    async def write(self, chunks: Sequence[memoryview]) -> None:
        self.data += b"".join(chunks)

    def write_now(self, chunk: memoryview) -> memoryview:
        return chunk

    async def finish(self) -> None:
        self.finished = True

    def abort(self) -> None: ...


class Echo:
    """A service: sends back what comes, and keeps it. ``passed``: who was served."""

    def __init__(self) -> None:
        self.received: list[Collector] = []
        self.passed: list[Guest] = []

    async def serve(self, offer: Offer, guest: Guest) -> None:
        self.passed.append(guest)
        loop = Loop()
        self.received.append(loop)
        await offer.accept().carry(loop, loop)


class Loop(Collector):
    """A source of what was written into it."""

    ends_with_peer = False

    def __init__(self) -> None:
        super().__init__()
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()

    async def write(self, chunks: Sequence[memoryview]) -> None:
        await super().write(chunks)
        for chunk in chunks:
            self._chunks.put_nowait(bytes(chunk))

    async def finish(self) -> None:
        await super().finish()
        self._chunks.put_nowait(b"")

    async def read(self, limit: int) -> bytes:
        return await self._chunks.get()

    async def status(self) -> int | None:
        return None

    def close(self) -> None: ...


@dataclass
class Somebody:
    """A person: gives ``secrets`` in turn, takes every key unless ``refusal``, remembers what was told."""

    secrets: list[tuple[Method, bytes]] = field(default_factory=list)
    refusal: RdpeerError | None = None
    desktop_passwords: list[str | None] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    asked: list[object] = field(default_factory=list)
    notes: Lines = field(default_factory=Lines)
    details: Lines = field(default_factory=Lines)

    async def secret(self, methods: Sequence[Method]) -> tuple[Method, bytes]:
        self.asked.append(tuple(methods))
        return self.secrets.pop(0)

    async def desktop_password(self) -> str | None:
        self.asked.append("password")
        return self.desktop_passwords.pop(0)

    async def second_factor(self, again: bool) -> str:
        self.asked.append("again" if again else "code")
        return self.codes.pop(0)

    async def approves(self, peer: PeerId, key: PublicKey) -> None:
        self.asked.append(key)
        if self.refusal:
            raise self.refusal

    def note(self, text: str) -> None:
        self.notes.tell(text)

    def detail(self, text: str) -> None:
        self.details.tell(text)


@dataclass
class Listening:
    """A listener that can be reached. ``codes`` are those that it has told."""

    codes: list[str]
    reports: Lines
    details: Lines
    task: asyncio.Task[None]


@dataclass
class Peer:
    """One identity, and the server that it is set up for."""

    profile: Profile
    settings: Settings
    identity: Identity = field(init=False)

    def __post_init__(self) -> None:
        self.identity = load_or_create(self.profile)

    @property
    def id(self) -> PeerId:
        return self.identity.peer_id

    @property
    def key(self) -> PublicKey:
        return self.identity.key.public

    @property
    def known(self) -> KnownPeers:
        return KnownPeers(self.profile.known_peers)

    def authorize(self, *keys: PublicKey) -> None:
        path = self.profile.authorized_peers
        path.write_text("".join(f"{key} somebody\n" for key in keys))
        path.chmod(0o600)

    def connector(
        self,
        peer: PeerId,
        *,
        person: Somebody | None = None,
        way: Way = Way.ANY,
        secrets: dict[Method, bytes] | None = None,
        peer_key: ExpectedKey | None = None,
        target: ServerAddress | None = None,
        password: str | None = None,
        linger: float = 10.0,
    ) -> Connector:
        """``target``: the peer is a stock desktop, and that is where it is to connect to."""
        settings = self.settings
        stock = target is not None
        trust = Trust(self.known, settings.pin, peer, settings.require_server(), peer_key, stock=stock)
        desktop = Desktop(target, Visitor(self.id, this_machine()), password, linger) if target else None
        return Connector(
            self.identity,
            peer,
            rendezvous_server(settings),
            settings.relay_servers,
            trust,
            person or Somebody(),
            way,
            secrets or {},
            desktop=desktop,
        )

    async def send(self, data: bytes, peer: PeerId, sink: Collector | None = None, **how: Any) -> bytes:
        """Connects, sends ``data`` and its end; what came back, which is in ``sink`` where this fails."""
        sink = sink or Collector()
        await pipe(self.connector(peer, **how), "", Text(data), sink)
        assert sink.finished
        return sink.data

    @asynccontextmanager
    async def listening(
        self, service: Service | None = None, entry: Entry = OPEN, *, one_peer: bool = False
    ) -> AsyncIterator[Listening]:
        """``rdpeer listen``, from the moment it can be reached to the end of the block, or its own."""
        codes: list[str] = []
        reachable = asyncio.Event()

        def invite(member: object, code: str | None) -> None:
            codes.extend([code] if code else [])
            reachable.set()

        reports, details = Lines(), Lines()
        voice = Voice(invite, reports.tell, details.tell)
        work = listen(self.profile, self.settings, service or Echo(), entry, voice, one_peer=one_peer)
        task = asyncio.create_task(work)
        try:
            waiting = asyncio.create_task(reachable.wait())
            await asyncio.wait((task, waiting), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
                task.result()
            yield Listening(codes, reports, details, task)
        finally:
            task.cancel()
            await asyncio.wait((task,))
            assert not [line for line in reports if "internal error" in line]


Peers = Callable[..., Peer]


@contextmanager
def fails(
    kind: type[RdpeerError], code: int, match: str | None = None
) -> Iterator[pytest.ExceptionInfo[RdpeerError]]:
    """Exactly ``kind`` is raised: exit code ``code``, one line for people that a terminal can show."""
    with pytest.raises(kind, match=match) as caught:
        yield caught
    error = caught.value
    assert type(error) is kind
    assert exit_code(error) == code
    assert str(error).isprintable()
    assert (error.hint or "").isprintable()


def maker(folder: Path) -> Peers:
    """Makes peers with homes in ``folder``: ``make("bob", server, ...)``; the rest are Settings."""

    def make(name: str, server: Server | None = None, /, **settings: Any) -> Peer:
        home = Home.locate({"RDPEER_HOME": str(folder / name)})
        if server is not None:
            settings = {"server": server.link.server, "key": server.link.key, **settings}
        return Peer(home.profile(), Settings(**settings))

    return make
