"""Connecting and listening at the bundled server: paths, methods, pins, many at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from bare_clients import until
from parties import OPEN, Collector, Echo, Peers, Somebody, Text, fails

from rdpeer.errors import AuthenticationFailed, NoPath, PeerRefused, PeerUnknown
from rdpeer.peer.connect import Way, pipe
from rdpeer.peer.listen import Entry
from rdpeer.peer.services import Standard
from rdpeer.protocol.gate import Method, normalize_code
from rdpeer.server import Server
from rdpeer.values import PeerId

Servers = Callable[..., Server]

ONE_TIME = Entry()
DATA = bytes(range(256)) * 2000


@pytest.mark.parametrize(("way", "path"), [(Way.ANY, "direct"), (Way.DIRECT, "direct"), (Way.RELAY, "relay")])
async def test_bytes_there_and_back(server: Servers, peers: Peers, way: Way, path: str) -> None:
    async with server() as running:
        alice, bob, person = peers("alice", running), peers("bob", running), Somebody()
        async with bob.listening() as listening:
            assert await alice.send(DATA, bob.id, way=way, person=person) == DATA
            line = await listening.reports.said("accepted by open")
        assert line.startswith(f"{alice.id} {alice.key.fingerprint}, {path} ")
        assert any(told.startswith(f"path: {path} ") for told in person.details)
        await until(lambda: running.connections == 0)


async def test_nobody_of_that_id(server: Servers, peers: Peers) -> None:
    async with server() as running:
        with fails(PeerUnknown, 4):
            await peers("alice", running).send(b"", PeerId("999999998"))


async def test_only_direct_where_there_is_only_a_relay(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdpeer.server.broker._same_ip", lambda caller, peer: False)
    monkeypatch.setattr("rdpeer.peer.arrivals.MOST_ANSWERS", 0)
    async with server() as running:
        alice, bob = peers("alice", running), peers("bob", running)
        async with bob.listening():
            with fails(NoPath, 5, f"{bob.id} offers only a relay, and --direct was asked for"):
                await alice.send(b"", bob.id, way=Way.DIRECT)


# Methods


async def test_a_one_time_code_lets_one_in_and_the_listener_ends_with_it(
    server: Servers, peers: Peers
) -> None:
    async with server() as running:
        alice, bob, sink = peers("alice", running), peers("bob", running), Collector()
        service = Standard(Text(b"there"), sink)
        async with bob.listening(service, ONE_TIME, one_peer=True) as listening:
            code = normalize_code(listening.codes[0])
            assert await alice.send(b"here", bob.id, secrets={Method.CODE: code}) == b"there"
            await listening.task
        assert sink.data == b"here"
        assert sink.finished


async def test_a_person_is_asked_for_the_code_with_no_connection_open(server: Servers, peers: Peers) -> None:
    async with server() as running:
        alice, bob = peers("alice", running), peers("bob", running)

        class Asked(Somebody):
            async def secret(self, methods):  # type: ignore[no-untyped-def]
                await until(lambda: running.connections == 0)
                return await super().secret(methods)

        async with bob.listening(entry=ONE_TIME, one_peer=True) as listening:
            person = Asked([(Method.CODE, normalize_code(listening.codes[0]))])
            assert await alice.send(b"here", bob.id, way=Way.RELAY, person=person) == b"here"
        assert person.asked == [(Method.CODE,)]
        assert not [line for line in listening.reports if "denied" in line]


async def test_a_code_lets_in_one_of_two_who_know_it_at_the_same_time(server: Servers, peers: Peers) -> None:
    async with server() as running:
        alice, carol, bob = (peers(name, running) for name in ("alice", "carol", "bob"))
        async with bob.listening(Standard(Text(b"there"), Collector()), ONE_TIME, one_peer=True) as listening:
            secrets = {Method.CODE: normalize_code(listening.codes[0])}
            ends = await asyncio.gather(
                *(peer.send(b"here", bob.id, secrets=dict(secrets)) for peer in (alice, carol)),
                return_exceptions=True,
            )
            await listening.task
        assert ends.count(b"there") == 1
        (lost,) = (end for end in ends if end != b"there")
        assert isinstance(lost, AuthenticationFailed | PeerRefused), lost
        assert len([line for line in listening.reports if "accepted" in line]) == 1


async def test_a_wrong_code_is_denied_and_the_right_one_still_works(server: Servers, peers: Peers) -> None:
    async with server() as running:
        alice, bob = peers("alice", running), peers("bob", running)
        async with bob.listening(entry=ONE_TIME, one_peer=True) as listening:
            with fails(AuthenticationFailed, 6, "the peer says that the code is wrong"):
                await alice.send(b"", bob.id, secrets={Method.CODE: b"00000000"})
            await listening.reports.said("denied, the code or password is wrong")
            code = normalize_code(listening.codes[0])
            assert await alice.send(b"here", bob.id, secrets={Method.CODE: code}) == b"here"


async def test_wrong_codes_beyond_the_bucket_are_not_looked_at(server: Servers, peers: Peers) -> None:
    async with server() as running:
        alice, carol, bob = (peers(name, running) for name in ("alice", "carol", "bob"))
        carol_enters = Entry()
        bob.authorize(carol.key)
        async with bob.listening(Echo(), carol_enters, one_peer=True) as listening:
            errors = [await wrong(alice, bob.id) for _ in range(7)]
            assert errors[:5] == ["the peer says that the code is wrong"] * 5
            assert "the peer does not look at secrets now: too many wrong ones came in" in errors
            await listening.reports.said("denied, too many wrong codes")
            assert await carol.send(b"here", bob.id) == b"here"  # a key never waits


async def wrong(alice, peer: PeerId) -> str:  # type: ignore[no-untyped-def]
    with fails(AuthenticationFailed, 6) as caught:
        await alice.send(b"", peer, secrets={Method.CODE: b"00000000"})
    return str(caught.value)


async def test_an_authorized_key_needs_nothing_else(server: Servers, peers: Peers) -> None:
    async with server() as running:
        alice, carol, bob = (peers(name, running) for name in ("alice", "carol", "bob"))
        bob.authorize(alice.key)
        async with bob.listening(entry=Entry(password=b"horse")) as listening:
            assert await alice.send(b"here", bob.id) == b"here"
            assert await carol.send(b"here", bob.id, secrets={Method.PASSWORD: b"horse"}) == b"here"
            await listening.reports.said(r"\(somebody\), .*accepted by key")
            await listening.reports.said("accepted by password")


async def test_a_key_that_is_not_authorized_tries_what_else_is_offered(server: Servers, peers: Peers) -> None:
    async with server() as running:
        alice, carol, bob = (peers(name, running) for name in ("alice", "carol", "bob"))
        bob.authorize(carol.key)
        person = Somebody([(Method.PASSWORD, b"horse")])
        async with bob.listening(entry=Entry(password=b"horse")):
            assert await alice.send(b"here", bob.id, person=person) == b"here"
        assert person.asked == [(Method.PASSWORD,)]
        assert "the peer does not authorize our key; trying what else it offers" in person.details


async def test_a_line_that_is_removed_counts_at_once(server: Servers, peers: Peers) -> None:
    async with server() as running:
        alice, bob = peers("alice", running), peers("bob", running)
        bob.authorize(alice.key)
        async with bob.listening(entry=Entry()):
            assert await alice.send(b"here", bob.id) == b"here"
            bob.authorize(bob.key)
            with fails(AuthenticationFailed, 6, "the peer does not authorize our key"):
                await alice.send(b"here", bob.id)


async def test_the_same_identity_at_both_ends(server: Servers, peers: Peers) -> None:
    async with server() as running:
        bob = peers("bob", running)
        bob.authorize(bob.key)
        async with bob.listening(entry=Entry()):
            assert await bob.send(b"here", bob.id) == b"here"


# Many


@pytest.mark.parametrize("way", [Way.ANY, Way.RELAY], ids=["direct", "relay"])
async def test_several_at_the_same_time(server: Servers, peers: Peers, way: Way) -> None:
    async with server() as running:
        alice, bob = peers("alice", running), peers("bob", running)
        async with bob.listening() as listening:
            await alice.send(b"first", bob.id)  # bob's address has proven itself to the server
            texts = [b"%d" % number * 1000 for number in range(20)]
            back = await asyncio.gather(*(alice.send(text, bob.id, way=way) for text in texts))
            assert back == texts
            await until(lambda: running.connections == 0)
        assert len([line for line in listening.reports if "accepted by open" in line]) == 21


async def test_a_hundred_at_once(server: Servers, peers: Peers) -> None:
    """More than may wait unproven at a time: who is dropped comes again."""
    async with server() as running:
        alice, bob = peers("alice", running), peers("bob", running)
        async with bob.listening():
            assert (
                await alice.send(b"first", bob.id) == b"first"
            )  # from now on the server trusts bob's address
            texts = [b"%d" % number for number in range(100)]
            back = await asyncio.gather(*(alice.send(text, bob.id) for text in texts), return_exceptions=True)
        assert [end for end in back if isinstance(end, BaseException)] == []
        assert back == texts


async def test_the_first_peer_is_the_only_one(server: Servers, peers: Peers) -> None:
    async with server() as running:
        alice, carol, bob = (peers(name, running) for name in ("alice", "carol", "bob"))
        first, sink = Text(b"", endless=True), Collector()
        async with bob.listening(Standard(Text(b"", endless=True), sink), OPEN, one_peer=True) as listening:
            holding = asyncio.create_task(pipe(alice.connector(bob.id), "", first, Collector()))
            await listening.reports.said("accepted")
            with fails(PeerRefused, 11, f"{bob.id} refused: another peer is connected"):
                await carol.send(b"", bob.id)
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)
            await asyncio.wait((listening.task,))


async def test_who_passes_second_at_the_same_moment_hears_that_it_is_busy(
    server: Servers, peers: Peers
) -> None:
    async with server() as running:
        alice, carol, bob = (peers(name, running) for name in ("alice", "carol", "bob"))
        async with bob.listening(Standard(Text(b"there"), Collector()), OPEN, one_peer=True) as listening:
            ends = await asyncio.gather(
                *(peer.send(b"here", bob.id) for peer in (alice, carol)), return_exceptions=True
            )
            await listening.task
        assert ends.count(b"there") == 1
        (lost,) = (end for end in ends if end != b"there")
        assert isinstance(lost, Exception)


async def test_uncommitted_connections_take_no_first_peer_listener(server: Servers, peers: Peers) -> None:
    """Verified, and then closed: as the losing paths of a race are."""
    async with server() as running:
        alice, bob = peers("alice", running), peers("bob", running)
        async with bob.listening(Standard(Text(b"there"), Collector()), OPEN, one_peer=True) as listening:
            for way in (Way.DIRECT, Way.RELAY, Way.ANY):
                path, _ = await alice.connector(bob.id, way=way).path()
                path.stream.abort()
            assert await alice.send(b"here", bob.id) == b"there"
            await listening.task
        assert len([line for line in listening.reports if str(alice.key.fingerprint) in line]) == 1
