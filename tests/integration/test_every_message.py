"""docs/MESSAGES.md, row by row: what peers and server do with each of the messages.

``seen`` has what goes by, told by its trace, while rdpeers and a server of ours do what
each command does. The rest of a row is asked of the server and of a registered peer
with bare messages. A row without a check fails, and so does a check without a row.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from contextvars import ContextVar
from pathlib import Path

import pytest
from bare_clients import HOST, Datagrams, Stream, message, until
from parties import Peer, fails, maker
from proxies import Proxy, running, through

from rdpeer.crypto.identities import open_id_pk
from rdpeer.crypto.keys import open_signed
from rdpeer.errors import PeerRefused
from rdpeer.net.lan import Discoverable, own_card
from rdpeer.peer.connect import Way
from rdpeer.peer.nat import nat
from rdpeer.peer.online import online
from rdpeer.peer.ping import Plan, ping
from rdpeer.peer.register import register
from rdpeer.protocol.conversation import (
    Command,
    DatagramReceived,
    Done,
    Fail,
    FrameReceived,
    Report,
    SendDatagram,
    SocketBound,
    Started,
    StreamOpened,
)
from rdpeer.protocol.nat import NatProbe
from rdpeer.protocol.notifications import FetchLocalAddr, PunchHole, RequestRelay
from rdpeer.protocol.online import OnlineQuery
from rdpeer.protocol.registrant import Registrant
from rdpeer.protocol.registration import OtherServers, Registration
from rdpeer.server import Server, ServerOptions
from rdpeer.values import Endpoint, PeerAddress, PeerId, PublicKey, ServerAddress
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.endpoints import mangle, unmangle

DOCUMENT = Path(__file__).parents[2] / "docs" / "MESSAGES.md"
ROWS = {
    name: (int(number), re.findall(r"`(\w+)`", seen))
    for number, name, seen in re.findall(
        r"^\| (\d+) \| (\w+) \| [^|]* \| ([^|]*) \|", DOCUMENT.read_text(), re.MULTILINE
    )
}
MEMBERS = pb.RendezvousMessage.DESCRIPTOR.fields
TRACE = logging.getLogger("rdpeer.net.trace")

PEER, PK = "612345678", bytes(range(32))
RS = ServerAddress("rs.example")
MARK = mangle(Endpoint("198.51.100.7", 40000), 7)

Seen = dict[str, set[str]]
"""The names of the messages that went by, by command."""


# What goes by


COMMAND: ContextVar[str] = ContextVar("COMMAND")
"""Whose work a task is; tasks inherit it, and nothing that the server does has it."""


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.seen: Seen = {}

    def emit(self, record: logging.LogRecord) -> None:
        command = COMMAND.get("")
        found = re.match(r"(?:->|<-) \w+ \S+, \d+ bytes: (\w+)", record.getMessage())
        if command and found:
            self.seen.setdefault(command, set()).add(found[1])


@contextmanager
def _as(command: str) -> Iterator[None]:
    token = COMMAND.set(command)
    try:
        yield
    finally:
        COMMAND.reset(token)


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    lines, level = _Lines(), TRACE.level
    TRACE.addHandler(lines)
    TRACE.setLevel(logging.DEBUG)
    try:
        asyncio.run(_everything(tmp_path_factory.mktemp("messages"), lines.seen))
        yield lines.seen
    finally:
        TRACE.removeHandler(lines)
        TRACE.setLevel(level)


async def _everything(folder: Path, seen: Seen) -> None:
    """What each command does, at one server: with peers behind one address, then as if behind two."""
    async with Server(ServerOptions(folder / "server", port=0, bind=(HOST,))) as server:
        peers = maker(folder)
        alice, bob = peers("alice", server), peers("bob", server)
        with _as("nat"):
            await nat(alice.settings)
        with _as("online"):
            await online(alice.settings, [PeerAddress(bob.id)])
        with _as("discover"):
            await _discover(bob.id)
        await _newcomer(peers("carol", server), seen)
        await _by_tcp(peers("dave", server))
        await _meetings(alice, bob)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("rdpeer.server.broker._same_ip", lambda caller, peer: False)
            await _meetings(alice, bob)


async def _newcomer(peer: Peer, seen: Seen) -> None:
    """A listener that the server does not know yet, and that asks what its NAT does, as it does elsewhere."""
    with pytest.MonkeyPatch.context() as patch, _as("listen"):
        patch.setattr(ServerAddress, "is_loopback", False)
        async with peer.listening():
            await until(lambda: "TestNatResponse" in seen["listen"])


async def _by_tcp(peer: Peer) -> None:
    """Both ways of being online, behind a proxy; however slow this machine, the greeting is waited for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("rdpeer.protocol.line_registration.GREETING_WITHIN", 30.0)
        async with running(Proxy("socks5")) as proxy:
            with through(proxy.url), _as("register"):
                await register(peer.profile, peer.settings, lambda _: None, once=True)
            with through(proxy.url), _as("listen"):
                async with peer.listening():
                    pass


async def _meetings(alice: Peer, bob: Peer) -> None:
    async with _registered(bob):
        with fails(PeerRefused, 11):
            await alice.send(b"", bob.id)
    async with AsyncExitStack() as stack:
        with _as("listen"):
            await stack.enter_async_context(bob.listening())
        for way in (Way.ANY, Way.RELAY):
            with _as("connect"):
                assert await alice.send(b"data", bob.id, way=way) == b"data"
            with _as("ping"):
                await ping(alice.connector(bob.id, way=way), Plan(1, 0.0), lambda _: None)


@asynccontextmanager
async def _registered(peer: Peer) -> AsyncIterator[None]:
    """``rdpeer register``, from the moment it is online."""
    news: asyncio.Queue[object] = asyncio.Queue()
    with _as("register"):
        work = asyncio.create_task(register(peer.profile, peer.settings, news.put_nowait))
    try:
        await news.get()
        yield
    finally:
        work.cancel()
        await asyncio.wait((work,))


async def _discover(peer: PeerId) -> None:
    """Asks a listener that can be discovered, as a broadcast would."""
    answerer = Discoverable(own_card(peer), 0)
    serving = asyncio.create_task(answerer.serve())
    loop = asyncio.get_running_loop()
    transport, asker = await loop.create_datagram_endpoint(_Asker, remote_addr=(HOST, answerer.port))
    try:
        transport.sendto(message(peer_discovery=pb.PeerDiscovery(cmd="ping")).SerializeToString())
        pong = pb.RendezvousMessage.FromString(await asker.answer).peer_discovery
        assert (pong.cmd, pong.id) == ("pong", str(peer))
    finally:
        transport.close()
        serving.cancel()
        await asyncio.wait((serving,))
        answerer.close()


class _Asker(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.answer.set_result(data)


# What is asked with bare messages


class Bare:
    """A server with one peer online, both spoken to with bare messages."""

    def __init__(self, server: Server, peer: Datagrams) -> None:
        self.server = server
        self.peer = peer

    async def ask(self, **member: object) -> pb.RendezvousMessage | None:
        """By TCP: the only answer before the end; None where there is none."""
        async with Stream(self.server.base) as stream:
            stream.send(message(**member))
            try:
                answer = await _heard(stream)
            except (asyncio.IncompleteReadError, ConnectionResetError):
                return None
            assert await stream.ended()
            return answer

    async def ignores(self, **member: object) -> bool:
        """Whether nothing comes back by UDP: what is asked behind it is answered first."""
        self.peer.send(message(**member).SerializeToString())
        answer = await self.peer.ask(message(register_peer=pb.RegisterPeer(id=PEER)))
        return answer == message(register_peer_response=pb.RegisterPeerResponse())

    @asynccontextmanager
    async def asked_for(self, **fields: object) -> AsyncIterator[tuple[Stream, pb.RendezvousMessage]]:
        """An initiator that waits, and what the peer hears of it."""
        request = {"id": PEER, "licence_key": self.server.key.text, **fields}
        async with Stream(self.server.base) as stream:
            stream.send(message(punch_hole_request=pb.PunchHoleRequest(**request)))  # type: ignore[arg-type]
            yield stream, await self.peer.hear()

    async def reply(self, **member: object) -> pb.RendezvousMessage:
        """What an initiator hears when the peer answers it with ``member``, by TCP."""
        async with self.asked_for() as (initiator, heard):
            (name, answer) = next(iter(member.items()))
            answer.socket_addr = heard.fetch_local_addr.socket_addr  # type: ignore[attr-defined]
            assert await self.ask(**{name: answer}) is None
            return await _heard(initiator)


async def _heard(stream: Stream) -> pb.RendezvousMessage:
    """The next message but a KeyExchange: a machine that has much to do takes us for silent."""
    while (heard := await stream.hear_message()).HasField("key_exchange"):
        pass
    return heard


def told(**member: object) -> list[Command]:
    """What a registered peer makes of a datagram of its server."""
    who = Registrant(PeerId(PEER), b"uuid", PublicKey(PK))
    conversation = Registration(who, RS, confirmed=True)
    online = message(register_peer_response=pb.RegisterPeerResponse())
    events = [Started(), SocketBound(Endpoint("203.0.113.5", 21116)), _datagram(online)]
    for event in events:
        conversation.handle(event, 0.0)
    return conversation.handle(_datagram(message(**member)), 1.0)


def _datagram(sent: pb.RendezvousMessage) -> DatagramReceived:
    return DatagramReceived(sent.SerializeToString())


Check = Callable[[Bare], Awaitable[None]]
CHECKS: dict[str, Check] = {}


def row(test: Check) -> Check:
    """Makes ``test``, ``on_MEMBER``, the check of that member's row."""
    CHECKS[test.__name__.removeprefix("on_")] = test
    return test


@row
async def on_register_peer(bare: Bare) -> None:
    unknown = await bare.peer.ask(message(register_peer=pb.RegisterPeer(id="698765432")))
    assert unknown.register_peer_response.request_pk
    known = await bare.peer.ask(message(register_peer=pb.RegisterPeer(id=PEER)))
    assert known == message(register_peer_response=pb.RegisterPeerResponse())


@row
async def on_register_peer_response(bare: Bare) -> None:
    assert told(register_peer_response=pb.RegisterPeerResponse(request_pk=True)) == []  # asked for by nobody
    assert await bare.ignores(register_peer_response=pb.RegisterPeerResponse())


@row
async def on_punch_hole_request(bare: Bare) -> None:
    async with bare.asked_for() as (_, heard):
        assert heard.HasField("fetch_local_addr")
    async with bare.asked_for(force_relay=True) as (_, heard):
        assert (heard.punch_hole.force_relay, heard.punch_hole.nat_type) == (True, pb.SYMMETRIC)


@row
async def on_punch_hole(bare: Bare) -> None:
    hole = pb.PunchHole(socket_addr=MARK, relay_server="r.example")
    (report,) = told(punch_hole=hole)
    assert isinstance(report, Report)
    assert isinstance(report.what, PunchHole)
    assert await bare.ignores(punch_hole=hole)


@row
async def on_punch_hole_sent(bare: Bare) -> None:
    answer = await bare.reply(punch_hole_sent=pb.PunchHoleSent(id=PEER, version="1"))
    response = answer.punch_hole_response
    assert open_id_pk(bare.server.key, response.pk).pk == PK
    assert unmangle(response.socket_addr)


@row
async def on_punch_hole_response(bare: Bare) -> None:
    async with Stream(bare.server.base) as stream:
        stream.send(message(punch_hole_request=pb.PunchHoleRequest(id=PEER, licence_key="wrong")))
        answer = await _heard(stream)
    assert answer.punch_hole_response.failure == pb.PunchHoleResponse.LICENSE_MISMATCH
    assert await bare.ask(punch_hole_response=pb.PunchHoleResponse()) is None


@row
async def on_fetch_local_addr(bare: Bare) -> None:
    fetch = pb.FetchLocalAddr(socket_addr=MARK)
    (report,) = told(fetch_local_addr=fetch)
    assert isinstance(report, Report)
    assert isinstance(report.what, FetchLocalAddr)
    assert await bare.ignores(fetch_local_addr=fetch)


@row
async def on_local_addr(bare: Bare) -> None:
    local = Endpoint("192.168.1.7", 5000)
    answer = await bare.reply(local_addr=pb.LocalAddr(id=PEER, local_addr=mangle(local, 7), version="1"))
    assert answer.punch_hole_response.is_local
    assert unmangle(answer.punch_hole_response.socket_addr) == local


@row
async def on_configure_update(bare: Bare) -> None:
    update = pb.ConfigUpdate(serial=9, rendezvous_servers=["elsewhere.example"])
    assert told(configure_update=update) == [Report(OtherServers(RS, ("elsewhere.example",)))]
    assert await bare.ignores(configure_update=update)


@row
async def on_register_pk(bare: Bare) -> None:
    claim = pb.RegisterPk(id=PEER, uuid=b"somebody else", pk=PK)
    answer = await bare.peer.ask(message(register_pk=claim))
    assert answer.register_pk_response.result == pb.RegisterPkResponse.UUID_MISMATCH
    assert await bare.ignores(register_pk=pb.RegisterPk(id="698765432"))
    async with Stream(bare.server.base) as line:
        line.send(message(register_pk=pb.RegisterPk(id="698765432", uuid=b"uuid", pk=PK)))
        response = (await _heard(line)).register_pk_response
    assert (response.result, response.keep_alive > 0) == (pb.RegisterPkResponse.OK, True)


@row
async def on_register_pk_response(bare: Bare) -> None:
    who = Registrant(PeerId(PEER), b"uuid", PublicKey(PK))
    conversation = Registration(who, RS, confirmed=False)
    for event in (Started(), SocketBound(Endpoint("203.0.113.5", 21116))):
        conversation.handle(event, 0.0)
    ok = message(register_pk_response=pb.RegisterPkResponse())
    said = [
        command for command in conversation.handle(_datagram(ok), 1.0) if isinstance(command, SendDatagram)
    ]
    assert [pb.RendezvousMessage.FromString(one.payload).register_peer.id for one in said] == [PEER]
    assert await bare.ignores(register_pk_response=pb.RegisterPkResponse())


@row
async def on_software_update(bare: Bare) -> None:
    assert told(software_update=pb.SoftwareUpdate(url="https://elsewhere.example")) == []
    assert await bare.ignores(software_update=pb.SoftwareUpdate(url="1.0"))


@row
async def on_request_relay(bare: Bare) -> None:
    (report,) = told(request_relay=pb.RequestRelay(socket_addr=MARK, relay_server="r.example", uuid="u"))
    assert isinstance(report, Report)
    assert isinstance(report.what, RequestRelay)
    relay = pb.RequestRelay(id=PEER, uuid="token", relay_server="r.example")
    assert await bare.ask(request_relay=relay) is None  # no key was shown
    relay.licence_key = bare.server.key.text
    async with Stream(bare.server.base) as stream:
        stream.send(message(request_relay=relay))
        heard = (await bare.peer.hear()).request_relay
    assert (heard.uuid, heard.relay_server, heard.licence_key) == ("token", "r.example", "")


@row
async def on_relay_response(bare: Bare) -> None:
    response = pb.RelayResponse(id=PEER, uuid="token", relay_server="r.example", version="1")
    answer = (await bare.reply(relay_response=response)).relay_response
    assert (answer.uuid, answer.relay_server) == ("token", "r.example")
    assert open_id_pk(bare.server.key, answer.pk).pk == PK


@row
async def on_test_nat_request(bare: Bare) -> None:
    for port in (bare.server.base, bare.server.base - 1):
        async with Stream(port) as stream:
            stream.send(message(test_nat_request=pb.TestNatRequest()))
            answer = (await _heard(stream)).test_nat_response
        assert (answer.port, unmangle(answer.socket_addr)) == (stream.local.port, stream.local)
    answer = (await bare.peer.ask(message(test_nat_request=pb.TestNatRequest()))).test_nat_response
    assert answer == pb.TestNatResponse(port=bare.peer.local.port)


@row
async def on_test_nat_response(bare: Bare) -> None:
    probe = NatProbe(RS)
    probe.handle(Started(), 0.0)
    probe.handle(StreamOpened("server", Endpoint(HOST, 5), Endpoint("203.0.113.5", 21116)), 0.0)
    answer = message(test_nat_response=pb.TestNatResponse(cu=pb.ConfigUpdate(serial=1)))
    (end,) = probe.handle(FrameReceived("server", answer.SerializeToString()), 0.0)
    assert isinstance(end, Done)  # a port is missing
    assert await bare.ask(test_nat_response=pb.TestNatResponse(port=1)) is None


@row
async def on_peer_discovery(bare: Bare) -> None:
    assert told(peer_discovery=pb.PeerDiscovery(cmd="ping")) == []
    assert await bare.ignores(peer_discovery=pb.PeerDiscovery(cmd="ping"))


@row
async def on_online_request(bare: Bare) -> None:
    answer = await bare.ask(online_request=pb.OnlineRequest(peers=["999999999", PEER]))
    assert answer == message(online_response=pb.OnlineResponse(states=b"\x40"))


@row
async def on_online_response(bare: Bare) -> None:
    query = OnlineQuery(RS, [PeerId(PEER)])
    query.handle(Started(), 0.0)
    query.handle(StreamOpened("server", Endpoint(HOST, 5), Endpoint("203.0.113.5", 21115)), 0.0)
    short = message(online_response=pb.OnlineResponse())
    (end,) = query.handle(FrameReceived("server", short.SerializeToString()), 0.0)
    assert isinstance(end, Fail)
    assert await bare.ask(online_response=pb.OnlineResponse(states=b"\x80")) is None


@row
async def on_key_exchange(bare: Bare) -> None:
    query = OnlineQuery(RS, [PeerId(PEER)])
    query.handle(Started(), 0.0)
    query.handle(StreamOpened("server", Endpoint(HOST, 5), Endpoint("203.0.113.5", 21115)), 0.0)
    greeting = message(key_exchange=pb.KeyExchange(keys=[bytes(96)])).SerializeToString()
    assert query.handle(FrameReceived("server", greeting), 0.0) == []
    async with Stream(bare.server.base) as silent:
        (offer,) = (await silent.hear_message()).key_exchange.keys
    assert open_signed(bare.server.key, offer)
    assert await bare.ask(key_exchange=pb.KeyExchange(keys=[bytes(32), bytes(48)])) is None


@row
async def on_hc(bare: Bare) -> None:
    assert told(hc=pb.HealthCheck(token="token")) == []
    async with Stream(bare.server.base) as kept:
        kept.send(message(hc=pb.HealthCheck(token="token")))
        kept.send(b"")  # the answer to a heartbeat
        kept.send(message(test_nat_request=pb.TestNatRequest()))
        assert (await _heard(kept)).HasField("test_nat_response")
    assert await bare.ignores(hc=pb.HealthCheck(token="token"))


@row
async def on_http_proxy_request(bare: Bare) -> None:
    assert told(http_proxy_request=pb.HttpProxyRequest(method="GET", path="/")) == []
    answer = await bare.ask(http_proxy_request=pb.HttpProxyRequest(method="POST", path="/api/heartbeat"))
    assert answer == message(http_proxy_response=pb.HttpProxyResponse(error="this server has no API"))
    long = pb.HttpProxyRequest(method="POST", path="/api/audit", body=bytes(9000))
    assert await bare.ask(http_proxy_request=long) is None


@row
async def on_http_proxy_response(bare: Bare) -> None:
    assert told(http_proxy_response=pb.HttpProxyResponse(status=200)) == []
    assert await bare.ask(http_proxy_response=pb.HttpProxyResponse(status=200)) is None


# The document


@pytest.mark.parametrize("name", ROWS)
async def test_row(name: str, server: Callable[..., Server], seen: Seen) -> None:
    """The commands named show it, no others do, and it is treated as its check says."""
    (member,) = (each.name for each in MEMBERS if each.message_type.name == name)
    assert {command for command, went_by in seen.items() if name in went_by} == set(ROWS[name][1])
    async with server() as running:
        with Datagrams(running) as peer:
            await peer.register(PEER, pk=PK)
            await CHECKS[member](Bare(running, peer))


def test_rows_and_checks_are_those_of_the_schema() -> None:
    assert {name: number for name, (number, _) in ROWS.items()} == {
        each.message_type.name: each.number for each in MEMBERS
    }
    assert set(CHECKS) == {each.name for each in MEMBERS}
