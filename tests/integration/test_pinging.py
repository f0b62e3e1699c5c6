"""Pinging: one path while it lasts, then the next; and how it fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from doubles import Leg
from lying_server import BOB, PEER, Actor, LyingServer, Script
from parties import Peers, Somebody, fails

from rdpeer.errors import NoPath
from rdpeer.peer import ping as pinging
from rdpeer.peer.connect import Way
from rdpeer.peer.ping import Lost, Plan, Pong, ping
from rdpeer.server import Server
from rdpeer.wire import rendezvous_pb2 as wire

Servers = Callable[..., Server]


@pytest.mark.parametrize(("margin", "asked"), [(pinging._MARGIN, 1), (100.0, 3)])
async def test_a_path_is_used_while_it_lasts(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch, margin: float, asked: int
) -> None:
    monkeypatch.setattr(pinging, "_MARGIN", margin)
    results: list[Pong | Lost] = []
    async with server() as running:
        far, near = peers("far", running), peers("near", running)
        person = Somebody()
        async with far.listening() as listening:
            await ping(near.connector(far.id, person=person), Plan(3, 0.001), results.append)
            assert [result.number for result in results] == [1, 2, 3]
            assert all(isinstance(result, Pong) and result.key == far.key for result in results)
            assert len([line for line in person.details if line.startswith("asking ")]) == asked
            assert listening.reports == [str(line) for line in listening.reports if "is online" in line]


async def test_a_relay_is_not_direct(server: Servers, peers: Peers) -> None:
    results: list[Pong | Lost] = []
    async with server() as running:
        far, near = peers("far", running), peers("near", running)
        async with far.listening():
            with fails(NoPath, 5, "no direct path to .* in 2 tries"):
                connector = near.connector(far.id, way=Way.RELAY)
                await ping(connector, Plan(2, 0.001, until_direct=True), results.append)
    assert [result.path.partition(" ")[0] for result in results if isinstance(result, Pong)] == ["relay"] * 2


async def test_a_peer_that_goes_meanwhile(server: Servers, peers: Peers) -> None:
    results: list[Pong | Lost] = []
    async with server() as running:
        far, near = peers("far", running), peers("near", running)
        async with far.listening() as listening:

            def leave(result: Pong | Lost) -> None:
                results.append(result)
                listening.task.cancel()

            await ping(near.connector(far.id), Plan(2, 0.001, timeout=0.2), leave)
    assert [type(result) for result in results] == [Pong, Lost]


async def test_a_server_that_signs_nothing(peers: Peers) -> None:
    """Nothing proves then who it is that answers: measured all the same, and said."""

    async def measured(actor: Actor) -> None:
        actor.open()
        await actor.step()  # PublicKey
        await actor.step()  # PING
        await actor.gone()

    results: list[Pong | Lost] = []
    async with Script(measured) as bob:

        async def answer(leg: Leg, question: wire.RendezvousMessage) -> None:
            leg.send(bob.offer(b""))
            await leg.ended()

        async with LyingServer(answer) as server:
            person = Somebody()
            connector = server.customer(peers).connector(PEER, person=person, way=Way.DIRECT)
            await ping(connector, Plan(1, 1.0), results.append)
        assert person.notes == [f"warning: nobody vouches for the key of {PEER}: {BOB.public.fingerprint}"]
        assert isinstance(results[0], Pong)
        assert len(bob.actors[0].heard) == 2
