"""The main job at RustDeskServerDemo, which knows no keys: who is at the other end is proven without it."""

from __future__ import annotations

import pytest
from parties import OPEN, Echo, Peers, Somebody, fails
from smallest_server import SmallestServer

from rdpeer.errors import IdentityMismatch, NoPath, ServerRefused, ServerUnreachable
from rdpeer.peer.connect import Way
from rdpeer.peer.doctor import Level, examine
from rdpeer.peer.listen import Entry
from rdpeer.peer.online import online
from rdpeer.peer.register import register
from rdpeer.peer.trust import expected_key
from rdpeer.protocol.gate import Method, normalize_code
from rdpeer.values import PeerAddress, PeerId

TEXT = b"hello " * 50_000


async def test_registering(peers: Peers) -> None:
    async with SmallestServer() as server:
        bob = peers("bob", server=server.address)
        told: list[str] = []
        await register(bob.profile, bob.settings, lambda news: told.append(str(news)), once=True)
        assert told == [f"{bob.id} is online at {server.address}"]


async def test_a_peer_key_and_then_its_pin(peers: Peers) -> None:
    async with SmallestServer() as server:
        alice, bob = peers("alice", server=server.address), peers("bob", server=server.address)
        async with bob.listening():
            assert await alice.send(TEXT, bob.id, peer_key=expected_key(bob.key.text)) == TEXT
            assert await alice.send(TEXT, bob.id) == TEXT
        assert server.relayed == 2


async def test_a_code(peers: Peers) -> None:
    async with SmallestServer() as server:
        alice, bob = peers("alice", server=server.address), peers("bob", server=server.address)
        async with bob.listening(Echo(), Entry(), one_peer=True) as listening:
            secrets = {Method.CODE: normalize_code(listening.codes[0])}
            assert await alice.send(TEXT, bob.id, secrets=secrets) == TEXT


async def test_a_password_that_is_asked_for(peers: Peers) -> None:
    """Asking means to start again: the server joins a second pair."""
    async with SmallestServer() as server:
        alice, bob = peers("alice", server=server.address), peers("bob", server=server.address)
        async with bob.listening(entry=Entry(b"secret")):
            person = Somebody([(Method.PASSWORD, b"secret")])
            assert await alice.send(TEXT, bob.id, person=person) == TEXT
        assert server.relayed == 2


async def test_nothing_that_proves_the_other_end(peers: Peers) -> None:
    async with SmallestServer() as server:
        alice, bob = peers("alice", server=server.address), peers("bob", server=server.address)
        async with bob.listening(entry=OPEN):
            with fails(IdentityMismatch, 7, "nothing proves who the peer is") as caught:
                await alice.send(TEXT, bob.id)
        assert "--peer-key" in (caught.value.hint or "")


async def test_there_is_no_direct_path(peers: Peers) -> None:
    async with SmallestServer() as server:
        alice, bob = peers("alice", server=server.address), peers("bob", server=server.address)
        async with bob.listening():
            with fails(NoPath, 5, "offers only a relay"):
                await alice.send(TEXT, bob.id, way=Way.DIRECT, peer_key=expected_key(bob.key.text))


async def test_an_unknown_peer_is_told_at_once(peers: Peers) -> None:
    async with SmallestServer() as server:
        with fails(ServerRefused, 3, "without an answer about 600000001") as caught:
            await peers("alice", server=server.address).send(b"", PeerId("600000001"))
        assert caught.value.hint


async def test_nobody_answers_who_is_online(peers: Peers) -> None:
    async with SmallestServer() as server:
        alice = peers("alice", server=server.address)
        with pytest.raises(ServerUnreachable):
            await online(alice.settings, [PeerAddress(PeerId("600000001"))])


async def test_the_doctor_says_what_it_cannot_do(peers: Peers) -> None:
    async with SmallestServer() as server:
        bob = peers("bob", server=server.address)
        findings = [f async for f in examine(bob.profile, lambda: bob.settings, quick=True)]
        levels = {finding.check: finding.level for finding in findings}
        assert levels["registration"] is Level.OK
        assert levels["nat"] is Level.WARN
        assert levels["signature"] is Level.WARN
        assert levels["relay"] is Level.OK
        assert Level.FAIL not in levels.values()
