"""Punched paths over loopback, where the server is made to think that the two share no address.

No NAT is here: what NATs let through is asserted in tests/nat. Here it is who dials whom, and when.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
from bare_clients import Datagrams, message, until
from lying_server import BOB
from parties import Echo, Listening, Peer, Peers, Somebody
from stock_initiator import StockInitiator

from rdpeer.crypto.identities import open_id_pk
from rdpeer.net.transport.tcp import TcpListener, TcpStream, connect
from rdpeer.peer import arrivals, meeting, paths
from rdpeer.peer.connect import Way
from rdpeer.protocol.answer import Responder
from rdpeer.protocol.gate import Gate
from rdpeer.protocol.handshake import ResponderHandshake
from rdpeer.protocol.nat import Mapping
from rdpeer.server import Server
from rdpeer.values import PeerId, ServerAddress
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire import session_pb2
from rdpeer.wire.endpoints import unmangle

Servers = Callable[..., Server]

DATA = bytes(range(256)) * 2000
CAROL = "612345678"


@pytest.fixture(autouse=True)
def far_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rdpeer.server.broker._same_ip", lambda caller, peer: False)


@asynccontextmanager
async def alice_and_bob(server: Servers, peers: Peers) -> AsyncIterator[tuple[Server, Peer, Peer, Listening]]:
    """Bob listens and echoes."""
    async with server() as running:
        alice, bob = peers("alice", running), peers("bob", running)
        async with bob.listening(Echo()) as listening:
            yield running, alice, bob, listening


def symmetric(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever listens finds itself behind a symmetric NAT."""
    made = partial(Responder, mapping=Mapping.SYMMETRIC)
    monkeypatch.setattr("rdpeer.peer.register.Responder", made)


@pytest.mark.parametrize("way", [Way.ANY, Way.DIRECT])
async def test_a_punched_path(server: Servers, peers: Peers, way: Way) -> None:
    person = Somebody()
    async with alice_and_bob(server, peers) as (_, alice, bob, listening):
        assert await alice.send(DATA, bob.id, way=way, person=person) == DATA
        line = await listening.reports.said("accepted by open")
    assert line.startswith(f"{alice.id} {alice.key.fingerprint}, direct 127.0.0.1:")
    assert [told for told in person.details if told.startswith("path: direct 127.0.0.1:")]


async def test_a_punched_path_by_ipv6(server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    person = Somebody()
    async with server(bind=("::1",)) as running:
        here = ServerAddress("::1", running.base)
        alice, bob = peers("alice", running, server=here), peers("bob", running, server=here)
        async with bob.listening(Echo()):
            assert await alice.send(DATA, bob.id, way=Way.DIRECT, person=person) == DATA
    assert [told for told in person.details if re.fullmatch(r"path: direct \[::1\]:\d+", told)]


async def test_a_forced_relay_punches_nothing(server: Servers, peers: Peers) -> None:
    person = Somebody()
    async with alice_and_bob(server, peers) as (_, alice, bob, _):
        assert await alice.send(DATA, bob.id, way=Way.RELAY, person=person) == DATA
    assert [told for told in person.details if told.startswith("direct")] == []


@pytest.mark.parametrize("way", [Way.ANY, Way.DIRECT])
async def test_a_responder_that_nobody_can_come_to_comes_itself(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch, way: Way
) -> None:
    symmetric(monkeypatch)
    monkeypatch.setattr(paths, "RELAY_DELAY", 3600.0)
    person = Somebody()
    async with alice_and_bob(server, peers) as (_, alice, bob, _):
        assert await alice.send(DATA, bob.id, way=way, person=person) == DATA
    assert [told for told in person.details if told.startswith("path: direct 127.0.0.1:")]


async def test_where_nobody_gets_through_it_is_the_relay_and_the_reason_is_told(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As between a cone and a symmetric NAT: every packet of the two to each other is lost."""

    async def lost(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("rdpeer.net.transport.hole.connected", lost)
    monkeypatch.setattr("rdpeer.net.transport.udp_hole.UdpHole.connect", lost)
    monkeypatch.setattr(paths, "HEAD_START", 0.01)
    person = Somebody()
    async with alice_and_bob(server, peers) as (_, alice, bob, listening):
        assert await alice.send(DATA, bob.id, person=person) == DATA
        assert "relay 127.0.0.1:" in await listening.reports.said("accepted by open")
    assert [told for told in person.details if told.endswith(": not verified in time: no answer")]


async def test_many_at_the_same_time(server: Servers, peers: Peers) -> None:
    async with alice_and_bob(server, peers) as (running, alice, bob, _):
        assert await alice.send(b"first", bob.id) == b"first"  # the server passes on more to who has answered
        sent = [b"%d" % number * 100 for number in range(30)]
        assert await asyncio.gather(*[alice.send(data, bob.id) for data in sent]) == sent
        await until(lambda: running.connections == 0)


async def test_a_flood_of_requests_makes_no_more_than_so_many_listeners(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who asks and never comes takes a place for a while; beyond those, peers are met at the relay."""
    monkeypatch.setattr(arrivals, "MOST_ANSWERS", 3)
    async with alice_and_bob(server, peers) as (running, alice, bob, listening):
        asking = [await stock_initiator(running, bob) for _ in range(3)]
        person = Somebody()
        assert await alice.send(DATA, bob.id, person=person) == DATA
        assert [told for told in person.details if told.startswith("path: relay")]
        for one in asking:
            stream = await one.comes()
            assert await stream.receive()
            stream.abort()
        assert not [line for line in listening.reports if "refused" in line]


async def test_holes_that_nobody_comes_to_are_closed(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "ACCEPT_FOR", 0.05)
    async with alice_and_bob(server, peers) as (running, _, bob, listening):
        initiator = await stock_initiator(running, bob)
        await listening.details.said(f"nobody took the direct path to {initiator.answer}")
        with pytest.raises(OSError, match="refused"):
            await initiator.comes()


# Stock's way of punching (docs/PROTOCOL.md 2.6)


async def stock_initiator(server: Server, peer: Peer) -> StockInitiator:
    """One that asks for ``peer``."""
    asked = await StockInitiator.asks(server.link.server, str(server.link.key), str(peer.id))
    assert asked
    return asked


async def test_a_stock_initiator_gets_through(server: Servers, peers: Peers) -> None:
    async with alice_and_bob(server, peers) as (running, _, bob, _):
        initiator = await stock_initiator(running, bob)
        stream = await initiator.comes()
        opening = session_pb2.Message.FromString(await stream.receive() or b"")
        vouched = open_id_pk(running.key, initiator.blob, "the server key")
        assert open_id_pk(bob.key, opening.signed_id.id, "its own key").peer_id == str(bob.id)
        assert vouched.pk == bob.key.raw
        stream.abort()


async def stock_responder(server: Server, registered: Datagrams, initiators: int) -> None:
    """Tries for 30 ms, answers, closes, listens; at what comes then it is Bob, under Carol's ID."""
    for _ in range(initiators):
        punch = (await registered.hear()).punch_hole
        initiator = unmangle(punch.socket_addr)
        assert initiator
        stream = await connect(server.link.server, limit=4096, timeout=5, local_port_reuse=True)
        address = ServerAddress(initiator.ip, initiator.port)
        attempt = await connect(address, limit=4096, timeout=5, local=stream.local)
        attempt.abort()
        sent = wire.PunchHoleSent(socket_addr=punch.socket_addr, id=CAROL, version="1.4.9")
        stream.send(message(punch_hole_sent=sent).SerializeToString())
        await stream.close()
        async with await TcpListener.open(stream.local, limit=4096) as accepting:
            await serve(await accepting.accept())


async def serve(stream: TcpStream) -> None:
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
        stream.abort()


async def test_a_stock_responder_is_reached(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its 30 ms come through, since we listen, and are closed without a word: we come again."""
    monkeypatch.setattr(meeting, "RETRY_AFTER", 0.01)
    async with server() as running:
        with Datagrams(running) as registered:
            await registered.register(CAROL, pk=BOB.public.raw)
            responding = asyncio.create_task(stock_responder(running, registered, 1))
            connector = peers("alice", running).connector(PeerId(CAROL), way=Way.DIRECT)
            path, signed = await connector.path()
            assert path.name.startswith("direct 127.0.0.1:")
            assert signed
            path.stream.abort()
            await responding
