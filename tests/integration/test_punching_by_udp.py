"""Paths by UDP over loopback, where the server is made to think that the two share no address.

Nothing gets through by TCP but to the server, so what is left is UDP and the relay.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from typing import Self

import pytest
from bare_clients import Datagrams, Stream, message
from lying_server import BOB
from parties import Echo, Listening, Peer, Peers, Somebody

from rdpeer.crypto.identities import open_id_pk
from rdpeer.net.transport import FrameStream
from rdpeer.net.transport.udp_hole import UdpHole
from rdpeer.peer import arrivals, by_udp, paths
from rdpeer.peer.connect import Way
from rdpeer.protocol.gate import Gate
from rdpeer.protocol.handshake import ResponderHandshake
from rdpeer.server import Server
from rdpeer.values import Endpoint, PeerId
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire import session_pb2
from rdpeer.wire.endpoints import unmangle

Servers = Callable[..., Server]

DATA = bytes(range(256)) * 2000
CAROL = "612345678"


@pytest.fixture(autouse=True)
def far_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("rdpeer.server.broker._same_ip", lambda caller, peer: False)
    monkeypatch.setattr("rdpeer.net.transport.hole.connected", lost)
    monkeypatch.setattr(by_udp, "UDP_DELAY", 0.0)
    for module in ("connect", "arrivals"):
        monkeypatch.setattr(f"rdpeer.peer.{module}.hole_v6", lambda: None)


@pytest.fixture
def no_relay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paths, "RELAY_DELAY", 3600.0)


@asynccontextmanager
async def alice_and_bob(server: Servers, peers: Peers) -> AsyncIterator[tuple[Server, Peer, Peer, Listening]]:
    """Bob listens and echoes."""
    async with server() as running:
        alice, bob = peers("alice", running), peers("bob", running)
        async with bob.listening(Echo()) as listening:
            yield running, alice, bob, listening


@pytest.mark.usefixtures("no_relay")
@pytest.mark.parametrize("way", [Way.ANY, Way.DIRECT])
async def test_a_path_by_udp(server: Servers, peers: Peers, way: Way) -> None:
    person = Somebody()
    async with alice_and_bob(server, peers) as (_, alice, bob, listening):
        assert await alice.send(DATA, bob.id, way=way, person=person) == DATA
        line = await listening.reports.said("accepted by open")
    assert "direct 127.0.0.1:" in line
    assert "by UDP" in line
    assert [told for told in person.details if told.startswith("path: direct 127.0.0.1:")]


@pytest.mark.usefixtures("no_relay")
async def test_a_path_by_v6(server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(by_udp, "UDP_DELAY", 3600.0)
    for module in ("connect", "arrivals"):
        monkeypatch.setattr(f"rdpeer.peer.{module}.hole_v6", lambda: UdpHole.open("::1"))
    person = Somebody()
    async with alice_and_bob(server, peers) as (_, alice, bob, _):
        assert await alice.send(DATA, bob.id, person=person) == DATA
    assert [told for told in person.details if told.startswith("path: direct [::1]:")]


async def test_where_nobody_says_how_we_look_from_outside_it_is_the_relay(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at a stock server."""
    monkeypatch.setattr("rdpeer.server.registration.reflect", lambda datagram, source: None)
    monkeypatch.setattr("rdpeer.net.stun._WAITS", (0.01,))
    person = Somebody()
    async with alice_and_bob(server, peers) as (_, alice, bob, _):
        assert await alice.send(DATA, bob.id, person=person) == DATA
    assert [told for told in person.details if told.startswith("path: relay")]
    reason = "direct by UDP: nobody says how our datagrams look from outside: no answer to STUN"
    assert reason in person.details


async def test_where_the_server_does_not_pass_it_on_it_is_the_relay(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdpeer.server.broker._udp_port", lambda initiator, port: 0)
    person = Somebody()
    async with alice_and_bob(server, peers) as (_, alice, bob, _):
        assert await alice.send(DATA, bob.id, person=person) == DATA
    assert "direct by UDP: the server does not pass it on, or the peer does not take it" in person.details


async def test_holes_that_nobody_comes_to_are_closed(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "ACCEPT_FOR", 0.3)
    async with (
        alice_and_bob(server, peers) as (running, _, bob, listening),
        StockInitiator(running) as initiator,
    ):
        await initiator.asks(bob.id)
        await listening.details.said(r"direct by UDP: 127.0.0.1:\d+: no answer by UDP within 0.3 s")


@pytest.mark.parametrize("bound", ["MOST_ANSWERS", "MOST_HOLES"])
async def test_a_flood_of_requests_opens_no_more_than_so_many(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(arrivals, bound, 0)
    person = Somebody()
    async with alice_and_bob(server, peers) as (_, alice, bob, _):
        assert await alice.send(DATA, bob.id, person=person) == DATA
    assert [told for told in person.details if told.startswith("path: relay")]


# Stock's way (docs/PROTOCOL.md 2.1)


class StockInitiator:
    """Asks with its UDP port, in a request of its own; hears by TCP where to come."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stream = Stream(server.base)
        self.hole = UdpHole.open("127.0.0.1")

    async def __aenter__(self) -> Self:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.hole.close()
        await self._stream.__aexit__(None, None, None)

    async def asks(self, peer: PeerId) -> wire.PunchHoleResponse:
        port = await self._port()
        question = wire.PunchHoleRequest(
            id=str(peer), licence_key=str(self._server.link.key), version="1.4.9", udp_port=port
        )
        self._stream.send(message(punch_hole_request=question))
        return (await self._stream.hear_message()).punch_hole_response

    async def _port(self) -> int:
        loop = asyncio.get_running_loop()
        question = message(test_nat_request=wire.TestNatRequest()).SerializeToString()
        assert question == bytes.fromhex("a20100")
        await loop.sock_sendto(self.hole.socket, question, ("127.0.0.1", self._server.base))
        answer, _ = await loop.sock_recvfrom(self.hole.socket, 100)
        port = wire.RendezvousMessage.FromString(answer).test_nat_response.port
        assert port == self.hole.endpoint.port
        return port


async def test_a_stock_initiator_gets_through(server: Servers, peers: Peers) -> None:
    async with alice_and_bob(server, peers) as (running, _, bob, _), StockInitiator(running) as initiator:
        answer = await initiator.asks(bob.id)
        assert answer.is_udp
        where = unmangle(answer.socket_addr)
        assert where
        stream = await initiator.hole.connect(where, limit=4096, timeout=10)
        opening = session_pb2.Message.FromString(await stream.receive() or b"")
        vouched = open_id_pk(running.key, answer.pk, "the server key")
        assert open_id_pk(bob.key, opening.signed_id.id, "its own key").peer_id == str(bob.id)
        assert vouched.pk == bob.key.raw
        stream.abort()


async def stock_responder(server: Server, registered: Datagrams) -> None:
    """Answers two requests, of which one brings a UDP port: that one by UDP. There it is Bob, as Carol."""
    for _ in range(2):
        punch = (await registered.hear()).punch_hole
        initiator = unmangle(punch.socket_addr)
        assert initiator
        sent = message(
            punch_hole_sent=wire.PunchHoleSent(socket_addr=punch.socket_addr, id=CAROL, version="1.4.9")
        )
        if not punch.udp_port:
            async with Stream(server.base) as answering:
                answering.send(sent)
                assert await answering.ended()
            continue
        with closing(UdpHole.open("127.0.0.1")) as hole:
            await hole.announce(sent.SerializeToString(), Endpoint("127.0.0.1", server.base))
            await serve(await hole.accept(Endpoint(initiator.ip, punch.udp_port), limit=4096, timeout=10))


async def serve(stream: FrameStream) -> None:
    """The responder's half of a handshake, up to its proof."""
    handshake = ResponderHandshake(PeerId(CAROL), BOB, Gate(open_to_all=True))
    try:
        for event in handshake.start():
            stream.send(event.payload)  # type: ignore[union-attr]
        payload = await stream.receive()
        for event in handshake.receive(payload or b"", 0.0):
            stream.send(event.payload)  # type: ignore[union-attr]
        await stream.receive()
    finally:
        await stream.close()


async def test_a_stock_responder_is_reached(server: Servers, peers: Peers) -> None:
    async with server() as running:
        with Datagrams(running) as registered:
            await registered.register(CAROL, pk=BOB.public.raw)
            responding = asyncio.create_task(stock_responder(running, registered))
            connector = peers("alice", running).connector(PeerId(CAROL), way=Way.DIRECT)
            path, signed = await connector.path()
            assert path.name.startswith("direct 127.0.0.1:")
            assert path.name.endswith("by UDP")
            assert signed
            await path.stream.close()
            await responding


async def test_two_stock_peers_meet_through_our_server(server: Servers) -> None:
    """As the server of both; nothing of ours is at either end but the stream."""
    async with server() as running, StockInitiator(running) as initiator:
        with Datagrams(running) as registered, closing(UdpHole.open("127.0.0.1")) as hole:
            await registered.register(CAROL)
            asking = asyncio.create_task(initiator.asks(PeerId(CAROL)))
            punch = (await registered.hear()).punch_hole
            caller = unmangle(punch.socket_addr)
            assert caller
            sent = wire.PunchHoleSent(socket_addr=punch.socket_addr, id=CAROL, version="1.4.9")
            told = message(punch_hole_sent=sent).SerializeToString()
            await hole.announce(told, Endpoint("127.0.0.1", running.base))
            answer = await asking
            there = unmangle(answer.socket_addr)
            assert (answer.is_udp, there) == (True, hole.endpoint)
            assert there
            left, right = await asyncio.gather(
                initiator.hole.connect(there, limit=4096, timeout=10),
                hole.accept(Endpoint(caller.ip, punch.udp_port), limit=4096, timeout=10),
            )
        right.send(b"who accepts speaks first")
        assert await left.receive() == b"who accepts speaks first"
        left.abort()
        right.abort()
