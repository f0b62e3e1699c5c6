"""Registering, refusing and asking who is online, at the bundled server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rdpeer.errors import DeadlineExceeded, PeerRefused, PeerUnknown, ServerRefused, UsageError
from rdpeer.net.driver import converse
from rdpeer.net.transport import FrameStream
from rdpeer.net.transport.tcp import connect
from rdpeer.peer.online import online
from rdpeer.peer.register import Declined, Member, News, register, stay_online
from rdpeer.peer.setup import rendezvous_server
from rdpeer.protocol.answer import Answer, Listening
from rdpeer.protocol.notifications import Notification
from rdpeer.protocol.registration import Online
from rdpeer.protocol.relay_leg import RELAY, Joined, RelayRequest
from rdpeer.protocol.relays import Relays
from rdpeer.protocol.rendezvous import Offer, PunchRequest
from rdpeer.protocol.tokens import fresh_token
from rdpeer.protocol.traversal import LISTENER, Kind
from rdpeer.server import Server
from rdpeer.settings import Settings
from rdpeer.store.confirmed import Confirmed
from rdpeer.store.home import Home, Profile
from rdpeer.store.identity import Identity, load_or_create
from rdpeer.values import PeerAddress, PeerId, ServerAddress

Servers = Callable[..., Server]


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return Home.locate({"RDPEER_HOME": str(tmp_path / "home")}).profile()


@pytest.fixture
def identity(profile: Profile) -> Identity:
    return load_or_create(profile)


def settings_for(server: Server, **changes: object) -> Settings:
    return Settings(server=server.link.server, key=server.link.key, **changes)  # type: ignore[arg-type]


def nothing(news: object) -> None:
    pass


@asynccontextmanager
async def staying(
    profile: Profile, settings: Settings, ready: Path | None = None
) -> AsyncIterator[asyncio.Queue[News]]:
    """``rdpeer register``, from the moment it is online until the block ends; gives what it reports then."""
    news: asyncio.Queue[News] = asyncio.Queue()
    task = asyncio.create_task(register(profile, settings, news.put_nowait, ready=ready))
    try:
        assert isinstance(await news.get(), Online)
        yield news
    finally:
        await stopped(task)


async def stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_once_ends_when_confirmed_and_remembers_it(
    server: Servers, profile: Profile, identity: Identity
) -> None:
    async with server() as running:
        settings = settings_for(running)
        await register(profile, settings, nothing, once=True)
        assert Confirmed(profile.confirmed).holds(
            running.link.key.text, identity.peer_id, identity.key.public
        )
        await register(profile, settings, nothing, once=True)
        address, stranger = PeerAddress(identity.peer_id), PeerAddress(PeerId("999999998"))
        states = await online(settings, [stranger, address, address])
        assert states == [(stranger.peer, False), (address.peer, True), (address.peer, True)]


async def test_the_ready_file_is_there_while_online(
    server: Servers, profile: Profile, identity: Identity, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    async with server() as running:
        async with staying(profile, settings_for(running), ready):
            assert ready.read_text() == f"{identity.peer_id}\n"
        assert not ready.exists()


async def test_a_second_process_is_refused(server: Servers, profile: Profile) -> None:
    async with server() as running, staying(profile, settings_for(running)):
        with pytest.raises(UsageError, match="already keeps this ID online"):
            await register(profile, settings_for(running), nothing)


async def test_who_asks_hears_at_once_that_nobody_listens(
    server: Servers, profile: Profile, identity: Identity
) -> None:
    async with server() as running, staying(profile, settings_for(running)) as news:
        where = rendezvous_server(settings_for(running))
        with pytest.raises(PeerRefused, match=f"{identity.peer_id} refused: not listening"):
            await converse(PunchRequest(identity.peer_id, where, Relays(where.address)))
        assert isinstance(await news.get(), Declined)


async def test_another_installation_s_id_is_refused_for_good(
    server: Servers, profile: Profile, identity: Identity
) -> None:
    async with server() as running:
        await register(profile, settings_for(running), nothing, once=True)
        text = profile.identity.read_text()
        uuid = identity.uuid.decode()
        profile.identity.write_text(text.replace(uuid, uuid[::-1].replace("-", "")[:32]))
        profile.confirmed.unlink()
        with pytest.raises(ServerRefused, match="belongs to another installation"):
            await register(profile, settings_for(running), nothing)


async def test_the_user_s_time_is_over_before_the_server_answers(profile: Profile) -> None:
    silent = Settings(server=ServerAddress("127.0.0.1", 9), timeout=0.05)
    with pytest.raises(DeadlineExceeded, match=r"within the 0\.05 s of --timeout"):
        await register(profile, silent, nothing)


async def test_what_the_server_says_of_peers_that_are_not_there(server: Servers) -> None:
    async with server() as running:
        where = rendezvous_server(settings_for(running))
        with pytest.raises(PeerUnknown):
            await converse(PunchRequest(PeerId("999999998"), where, Relays(where.address)))


class Responder:
    """Answers every notification; a stream each comes out of ``streams``."""

    def __init__(self, profile: Profile, settings: Settings) -> None:
        self._member = Member(profile, load_or_create(profile), settings)
        self.streams: asyncio.Queue[FrameStream] = asyncio.Queue()

    async def _answer(self, notification: Notification) -> None:
        outcome = await converse(Answer(self._member.responder, notification, fresh_token()))
        match outcome.value:
            case Listening():
                async with outcome.listeners[LISTENER] as listener:
                    await self.streams.put(await listener.accept())
            case Joined():
                await self.streams.put(outcome.streams[RELAY])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        news: asyncio.Queue[News] = asyncio.Queue()
        task = asyncio.create_task(stay_online(self._member, self._answer, news.put_nowait))
        try:
            assert isinstance(await news.get(), Online)
            yield
        finally:
            await stopped(task)


async def hello(ours: FrameStream, theirs: FrameStream) -> None:
    theirs.send(b"hello")
    assert await ours.receive() == b"hello"
    await asyncio.gather(ours.close(), theirs.close())


async def test_a_neighbour_is_reached_directly_and_over_the_relay(
    server: Servers, profile: Profile, identity: Identity
) -> None:
    async with server() as running:
        settings = settings_for(running)
        where, relays = rendezvous_server(settings), Relays(running.link.server)
        responder = Responder(profile, settings)
        async with responder.running():
            offer: Offer = (await converse(PunchRequest(identity.peer_id, where, relays))).value
            assert offer.peer_key == identity.key.public
            (candidate,) = offer.candidates
            assert candidate.kind is Kind.LOCAL
            address = ServerAddress(candidate.endpoint.ip, candidate.endpoint.port)
            direct = await connect(address, limit=4096, timeout=5)
            await hello(direct, await responder.streams.get())
            request = RelayRequest(identity.peer_id, where, offer.relay, fresh_token())
            relayed = (await converse(request)).streams[RELAY]
            await hello(relayed, await responder.streams.get())
