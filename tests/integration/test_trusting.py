"""Pins in real connections: when they are written, what they refuse, and what a server that lies gains."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from bare_clients import until
from doubles import Leg
from lying_server import BOB, PEER, Actor, LyingServer, Script
from parties import Peer, Peers, Somebody, fails

from rdpeer.errors import AuthenticationFailed, IdentityMismatch
from rdpeer.peer.connect import Way
from rdpeer.peer.listen import Entry
from rdpeer.peer.trust import expected_key
from rdpeer.protocol.gate import Method
from rdpeer.server import Server
from rdpeer.store.known_peers import Proof
from rdpeer.values import PinPolicy
from rdpeer.wire import rendezvous_pb2 as wire

Servers = Callable[..., Server]


def renewed(peers: Peers, old: Peer, server: Server) -> Peer:
    """The same ID with another key, as somebody in its place would have it."""
    other = peers("somebody else", server)
    path = other.profile.identity
    path.write_text(path.read_text().replace(str(other.id), str(old.id)))
    return Peer(other.profile, other.settings)


async def test_the_first_contact_is_told_and_pinned_and_the_second_is_silent(
    server: Servers, peers: Peers
) -> None:
    async with server() as running:
        alice, bob = peers("alice", running), peers("bob", running)
        async with bob.listening():
            for number in range(2):
                person = Somebody()
                await alice.send(b"", bob.id, person=person)
                told = f"the key of {bob.id} is {bob.key.fingerprint}; only the server vouches for it"
                assert person.notes == ([] if number else [told])
        (pin,) = alice.known.pins()
        assert (pin.peer, pin.key, pin.proof) == (bob.id, bob.key, Proof.SERVER)


async def test_what_a_pin_was_proven_by(server: Servers, peers: Peers) -> None:
    async with server() as running:
        bob = peers("bob", running)
        async with bob.listening(entry=Entry(password=b"horse")):
            alice, carol, person = peers("alice", running), peers("carol", running), Somebody()
            await alice.send(b"", bob.id, secrets={Method.PASSWORD: b"horse"}, person=person)
            key = expected_key(str(bob.key.fingerprint))
            await carol.send(b"", bob.id, secrets={Method.PASSWORD: b"horse"}, peer_key=key, person=person)
        assert person.notes == []
        assert [pin.proof for pin in (*alice.known.pins(), *carol.known.pins())] == [
            Proof.PASSWORD,
            Proof.PEER_KEY,
        ]


async def test_nothing_is_pinned_of_a_peer_that_did_not_let_us_in(server: Servers, peers: Peers) -> None:
    async with server() as running:
        alice, bob = peers("alice", running), peers("bob", running)
        async with bob.listening(entry=Entry(password=b"horse")):
            with fails(AuthenticationFailed, 6):
                await alice.send(b"", bob.id, secrets={Method.PASSWORD: b"wrong"})
        assert alice.known.pins() == []


async def test_a_changed_key_is_refused_before_we_show_ourselves(server: Servers, peers: Peers) -> None:
    """Both fingerprints, and where the pin is; the pin stays, and the imposter hears nothing of us."""
    async with server() as running:
        alice, bob = peers("alice", running), peers("bob", running)
        async with bob.listening():
            await alice.send(b"", bob.id)
    async with server() as other:
        imposter = renewed(peers, bob, other)
        moved = Peer(alice.profile, replace(alice.settings, server=other.link.server, key=other.link.key))
        path = alice.profile.known_peers
        path.write_text(path.read_text().replace(str(running.link.server), str(other.link.server)))
        (before,) = moved.known.pins()
        async with imposter.listening() as listening:
            for way in Way:
                with fails(IdentityMismatch, 7) as caught:
                    await moved.send(b"secret", bob.id, way=way)
                for part in (bob.key.fingerprint, imposter.key.fingerprint, f"{path} line 1"):
                    assert str(part) in str(caught.value)
            assert not [line for line in listening.reports if str(alice.key.fingerprint) in line]
        assert moved.known.pins() == [before]


async def test_a_peer_key_that_is_not_the_peer_s(server: Servers, peers: Peers) -> None:
    async with server() as running:
        alice, bob = peers("alice", running), peers("bob", running)
        async with bob.listening():
            for text in (str(alice.key.fingerprint), alice.key.text):
                with fails(IdentityMismatch, 7, "--peer-key"):
                    await alice.send(b"", bob.id, peer_key=expected_key(text))
        assert alice.known.pins() == []


async def test_the_same_key_at_another_server_is_recorded_silently(server: Servers, peers: Peers) -> None:
    async with server() as one, server() as two:
        alice, bob = peers("alice", one), peers("bob", one)
        async with bob.listening():
            await alice.send(b"", bob.id)
        away = Peer(alice.profile, replace(alice.settings, server=two.link.server, key=two.link.key))
        moved = Peer(bob.profile, replace(bob.settings, server=two.link.server, key=two.link.key))
        person = Somebody()
        async with moved.listening():
            await away.send(b"", bob.id, person=person)
        assert person.notes == []
        assert [pin.key for pin in alice.known.pins()] == [bob.key] * 2


@pytest.mark.parametrize("policy", [PinPolicy.ACCEPT_NEW, PinPolicy.ASK])
async def test_another_key_at_another_server_is_warned_of_before_anybody_is_asked(
    server: Servers, peers: Peers, policy: PinPolicy
) -> None:
    async with server() as one, server() as two:
        alice, bob = peers("alice", one), peers("bob", one)
        async with bob.listening():
            await alice.send(b"", bob.id)
        away = Peer(
            alice.profile, replace(alice.settings, server=two.link.server, key=two.link.key, pin=policy)
        )
        other, person = renewed(peers, bob, two), Somebody()
        async with other.listening():
            await away.send(b"", bob.id, person=person)
        assert person.notes[0].startswith(
            f"warning: {bob.id} has another key here ({other.key.fingerprint}) than"
        )
        assert person.asked == ([other.key] if policy is PinPolicy.ASK else [])
        assert {pin.key for pin in alice.known.pins()} == {bob.key, other.key}


async def test_who_does_not_approve_goes_no_further(server: Servers, peers: Peers) -> None:
    async with server() as running:
        alice, bob = peers("alice", running, pin=PinPolicy.ASK), peers("bob", running)
        async with bob.listening() as listening:
            with fails(IdentityMismatch, 7, "not approved"):
                await alice.send(b"", bob.id, person=Somebody(refusal=IdentityMismatch("not approved")))
            await alice.send(b"", bob.id, person=Somebody())
        assert len([line for line in listening.reports if "accepted" in line]) == 1


async def test_a_strict_policy_takes_only_what_is_proven_by_more_than_the_server(
    server: Servers, peers: Peers
) -> None:
    async with server() as running:
        alice, bob = peers("alice", running, pin=PinPolicy.STRICT), peers("bob", running)
        async with bob.listening() as listening:
            with fails(IdentityMismatch, 7, "is not pinned at"):
                await alice.send(b"", bob.id)
            assert not [line for line in listening.reports if "accepted" in line]
            await alice.send(b"", bob.id, peer_key=expected_key(bob.key.text))
            await alice.send(b"", bob.id)


async def test_a_server_that_signs_nothing_needs_a_pin_a_key_or_a_secret(peers: Peers) -> None:
    async def honest(actor: Actor) -> None:
        await actor.until_let_in()
        await actor.gone()

    async with Script(honest) as bob:

        async def answer(leg: Leg, question: wire.RendezvousMessage) -> None:
            leg.send(bob.offer(b""))
            await leg.ended()

        async with LyingServer(answer) as server:
            alice = server.customer(peers)
            with fails(IdentityMismatch, 7, "nothing proves who the peer is"):
                await alice.send(b"", PEER, way=Way.DIRECT)
            key = expected_key(BOB.public.text)
            for known in ({"peer_key": key}, {}):  # the second time by the pin of the first
                connection = await alice.connector(PEER, way=Way.DIRECT, **known).connect()
                assert connection.peer_key == BOB.public
                connection.stream.abort()


async def test_a_pin_that_cannot_be_written_leaves_nothing_open(peers: Peers) -> None:
    """Another process has pinned another key while we were let in."""

    async def honest(actor: Actor) -> None:
        await actor.until_let_in()
        await actor.gone()

    async with Script(honest) as bob:

        async def answer(leg: Leg, question: wire.RendezvousMessage) -> None:
            leg.send(bob.offer(server.blob()))
            await leg.ended()

        async with LyingServer(answer) as server:
            alice = server.customer(peers)
            connector = alice.connector(PEER, way=Way.DIRECT)

            def refuse(pin: object) -> None:
                raise IdentityMismatch("another process pinned another key")

            connector.trust.remember = refuse  # type: ignore[method-assign]
            with fails(IdentityMismatch, 7):
                await connector.connect()
            await until(lambda: not (bob.legs_open or server.legs_open))
