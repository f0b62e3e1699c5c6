"""A rendezvous server that answers garbage, nothing, slowly, or with lies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import date

import pytest
from bare_clients import until
from doubles import Leg
from lying_server import BOB, MALLORY, PEER, Actor, LyingServer, Script, message
from meddling_relay import MeddlingRelay
from parties import Collector, Peer, Peers, fails

from rdpeer.crypto.identities import sign_id_pk
from rdpeer.errors import (
    IdentityMismatch,
    NoPath,
    PeerOffline,
    PeerRefused,
    PeerSilent,
    PeerUnknown,
    RdpeerError,
    RemoteProtocolError,
    ServerRefused,
    ServerUnreachable,
)
from rdpeer.peer import handshaking, paths
from rdpeer.peer.connect import Way
from rdpeer.peer.ways import Ways
from rdpeer.protocol.rendezvous import PunchRequest
from rdpeer.store.known_peers import Kind, Pin, Proof
from rdpeer.values import Endpoint, PeerId, ServerAddress
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire import session_pb2
from rdpeer.wire.endpoints import mangle

UGLY = "\x1b[31mred\r\nrdpeer: error: faked\u202e\u2028\x00"
TOKEN = "0b8f1a34-7a2e-4f7c-9c1b-2f6a1d0e5c3b"

Response = wire.PunchHoleResponse


def answering(*messages: wire.RendezvousMessage | bytes) -> LyingServer:
    """Answers every question with ``messages``, and keeps the connection."""

    async def answer(leg: Leg, question: wire.RendezvousMessage) -> None:
        for each in messages:
            leg.send(each)
        await leg.ended()

    return LyingServer(answer)


def raw(data: bytes) -> LyingServer:
    async def answer(leg: Leg, question: wire.RendezvousMessage) -> None:
        leg.send_raw(data)
        await leg.ended()

    return LyingServer(answer)


async def ask(server: LyingServer, peers: Peers, kind: type[RdpeerError], code: int, match: str) -> Peer:
    """Connecting ends as told, with nothing received and nothing left open."""
    async with server:
        alice, sink = server.customer(peers), Collector()
        with fails(kind, code, match):
            await alice.send(b"secret", PEER, sink)
        assert sink.data == b""
        assert alice.known.pins() == []
        await until(lambda: not server.legs_open)
        return alice


FAILURES = [
    (Response(failure=Response.ID_NOT_EXIST), PeerUnknown, 4, "knows no peer 612345678"),
    (Response(failure=Response.OFFLINE), PeerOffline, 4, "612345678 is offline"),
    (Response(failure=Response.LICENSE_MISMATCH), IdentityMismatch, 7, "has another key than the configured"),
    (Response(failure=Response.LICENSE_OVERUSE), ServerRefused, 3, "its licence is overused"),
    (Response(failure=77), ServerRefused, 3, "unknown failure 77"),  # type: ignore[arg-type]
    (Response(other_failure=UGLY), ServerRefused, 3, r"refused: \?\[31mred\?\?rdpeer: error: faked"),
]


@pytest.mark.parametrize(("response", "kind", "code", "match"), FAILURES)
async def test_its_failures_each_have_their_error(
    peers: Peers, response: Response, kind: type[RdpeerError], code: int, match: str
) -> None:
    await ask(answering(message(punch_hole_response=response)), peers, kind, code, match)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"\x14hello", "sent what cannot be read"),
        (b"\x00", "answered with an unknown message"),
        (b"\xff\xff\xff\xff\x7f", "over the limit|too long|is over"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n" * 100, ""),
        (bytes(range(256)) * 64, ""),
    ],
    ids=["text", "empty", "huge", "http", "bytes"],
)
async def test_garbage(peers: Peers, data: bytes, match: str) -> None:
    await ask(raw(data), peers, RemoteProtocolError, 10, match or r"127\.0\.0\.1")


async def test_another_message(peers: Peers) -> None:
    answer = message(register_peer_response=wire.RegisterPeerResponse())
    await ask(answering(answer), peers, RemoteProtocolError, 10, "answered with register_peer_response")


async def test_greetings_without_end(peers: Peers) -> None:
    greeting = message(key_exchange=wire.KeyExchange(keys=[bytes(32)]))
    await ask(answering(*[greeting] * 3), peers, RemoteProtocolError, 10, "answered with key_exchange")


async def test_it_closes(peers: Peers) -> None:
    async def close(leg: Leg, question: wire.RendezvousMessage) -> None:
        return

    await ask(LyingServer(close), peers, ServerRefused, 3, "closed the connection without an answer")


async def test_it_closes_inside_a_frame(peers: Peers) -> None:
    async def close(leg: Leg, question: wire.RendezvousMessage) -> None:
        leg.send_raw(b"\xfc123")
        leg.end()
        await leg.ended()

    await ask(LyingServer(close), peers, ServerRefused, 3, "closed the connection without an answer")


async def test_nobody_is_there(peers: Peers) -> None:
    server = answering()
    async with server:
        alice = server.customer(peers)
    with fails(ServerUnreachable, 3, f"cannot reach {server.address}: .*efused"):
        await alice.send(b"", PEER)


async def test_it_says_nothing(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PunchRequest, "waits", (0.02, 0.02, 0.02))
    await ask(answering(), peers, PeerSilent, 4, "did not answer")


async def test_it_drips_an_answer_byte_by_byte(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that make no whole answer put nothing off."""
    monkeypatch.setattr(PunchRequest, "waits", (0.02, 0.02, 0.02))

    async def drip(leg: Leg, question: wire.RendezvousMessage) -> None:
        leg.send_raw(b"\xfd\x0f")
        while True:
            leg.send_raw(b"x")
            await asyncio.sleep(0.005)

    async with LyingServer(drip) as server:
        with fails(PeerSilent, 4):
            await server.customer(peers).send(b"", PEER)


# Lies about keys


def blob_of(name: str, server: LyingServer) -> bytes:
    honest = server.blob()
    return {
        "signed by another": sign_id_pk(MALLORY, PEER, BOB.public.raw),
        "of another ID": server.blob(peer=PeerId("612345679")),
        "with a flipped bit": honest[:10] + bytes((honest[10] ^ 1,)) + honest[11:],
        "cut": honest[:40],
        "of a short key": sign_id_pk(server.key, PEER, b"short"),
        "signed garbage": server.key.sign_combined(b"\xff\xff\xff"),
        "nothing but a signature": server.key.sign_combined(b""),
    }[name]


LIES = [
    ("signed by another", "is not signed by the server key"),
    ("of another ID", "asked for 612345678, the server answered for 612345679"),
    ("with a flipped bit", "is not signed by the server key"),
    ("cut", "is not signed by the server key"),
    ("of a short key", "is not signed by the server key"),
    ("signed garbage", "is not signed by the server key"),
    ("nothing but a signature", "is not signed by the server key"),
]


@pytest.mark.parametrize(("lie", "match"), LIES)
@pytest.mark.parametrize("way", ["local", "punched", "relayed"])
async def test_a_key_that_does_not_hold(peers: Peers, lie: str, match: str, way: str) -> None:
    """It ends before anything is dialled."""

    async def answer(leg: Leg, question: wire.RendezvousMessage) -> None:
        blob = blob_of(lie, server)
        if way == "relayed":
            leg.send(message(relay_response=wire.RelayResponse(pk=blob, uuid=TOKEN)))
        else:
            leg.send(bob.offer(blob, is_local=way == "local"))
        await leg.ended()

    async def never(actor: Actor) -> None:
        raise AssertionError("dialled")

    server = LyingServer(answer)
    async with Script(never) as bob:
        await ask(server, peers, IdentityMismatch, 7, match)
        assert not bob.actors


@pytest.mark.parametrize("is_local", [True, False], ids=["local", "punched"])
async def test_a_key_that_contradicts_the_pin_is_not_even_dialled(peers: Peers, is_local: bool) -> None:
    """The server signs Mallory's key for Bob's ID, and leads there."""

    async def never(actor: Actor) -> None:
        raise AssertionError("dialled")

    async def answer(leg: Leg, question: wire.RendezvousMessage) -> None:
        leg.send(mallory.offer(server.blob(MALLORY), is_local=is_local))
        await leg.ended()

    async with Script(never) as mallory, LyingServer(answer) as server:
        alice = server.customer(peers)
        where = str(server.address)
        alice.known.add(Pin(where, PEER, BOB.public, Kind.RDPEER, Proof.SERVER, date(2026, 1, 1)))
        with fails(IdentityMismatch, 7, r"\(the server\), not SHA256:.*\(the pin in .*known_peers line 1\)"):
            await alice.send(b"", PEER)
        assert not mallory.actors


def offering(bob: Script, blob: Callable[[LyingServer], bytes], relay: str = "") -> LyingServer:
    async def answer(leg: Leg, question: wire.RendezvousMessage) -> None:
        if question.HasField("punch_hole_request"):
            leg.send(bob.offer(blob(server), relay))
        await leg.ended()

    server = LyingServer(answer)
    return server


async def test_the_key_of_another_peer_is_noticed_by_its_proof(peers: Peers) -> None:
    """The server vouches for Mallory, and Bob is there."""

    async def honest(actor: Actor) -> None:
        actor.open()
        await actor.gone()

    async with Script(honest) as bob:
        server = offering(bob, lambda server: server.blob(MALLORY))
        async with server:
            with fails(IdentityMismatch, 7, "not signed by the key from the server"):
                await server.customer(peers).send(b"", PEER, way=Way.DIRECT)
        assert bob.actors[0].heard == []  # nothing of ours was shown


async def test_the_channel_s_mark_in_the_server_s_blob_makes_no_rdpeer_of_a_desktop(peers: Peers) -> None:
    """Only what the peer itself signs counts."""

    async def desktop(actor: Actor) -> None:
        signed = sign_id_pk(BOB, PEER, bytes(range(32)))
        actor.leg.send(session_pb2.Message(signed_id=session_pb2.SignedId(id=signed)).SerializeToString())
        await actor.gone()

    async with Script(desktop) as bob:

        def marked(server: LyingServer) -> bytes:
            return sign_id_pk(server.key, PEER, BOB.public.raw, [1])

        async with offering(bob, marked) as server:
            with fails(IdentityMismatch, 7, "does not speak the rdpeer channel"):
                await server.customer(peers).send(b"", PEER, way=Way.DIRECT)
        assert bob.actors[0].heard == []


async def test_a_server_that_signs_nothing(peers: Peers) -> None:
    async def honest(actor: Actor) -> None:
        actor.open()
        await actor.step()
        await actor.gone()

    async with Script(honest) as bob:
        async with offering(bob, lambda server: b"") as server:
            with fails(IdentityMismatch, 7, "nothing proves who the peer is: this server signs no keys"):
                await server.customer(peers).send(b"", PEER, way=Way.DIRECT)
        assert len(bob.actors[0].heard) == 1  # PublicKey; not who we are


# Lies about relays and tokens


def relaying(**fields: str | bytes) -> LyingServer:
    async def answer(leg: Leg, question: wire.RendezvousMessage) -> None:
        known = {"pk": server.blob()} | fields
        leg.send(message(relay_response=wire.RelayResponse(**known)))  # type: ignore[arg-type]
        await leg.ended()

    server = LyingServer(answer)
    return server


async def test_a_reason_to_refuse_is_shown_clean(peers: Peers) -> None:
    server = relaying(refuse_reason=UGLY, uuid=TOKEN)
    await ask(server, peers, PeerRefused, 11, r"612345678 refused: \?\[31mred\?\?rdpeer: error: faked\?\?\?$")


async def test_a_very_long_reason_is_cut(peers: Peers) -> None:
    await ask(relaying(refuse_reason="x" * 3000), peers, PeerRefused, 11, r"refused: x{200}\.\.\.$")


@pytest.mark.parametrize("token", ["token", UGLY, TOKEN + "0", TOKEN[:-1] + "\n"])
async def test_a_token_that_is_none(peers: Peers, token: str) -> None:
    await ask(
        relaying(uuid=token), peers, RemoteProtocolError, 10, "pairing token from 612345678 is not a UUID"
    )


@pytest.mark.parametrize("relay", [UGLY, "a b", "host:port", "host:99999", "[::1", "../x"])
async def test_a_relay_that_cannot_be_read(peers: Peers, relay: str) -> None:
    server = relaying(uuid=TOKEN, relay_server=relay)
    await ask(server, peers, RemoteProtocolError, 10, "the relay of 612345678 cannot be read")


async def test_a_relay_where_nobody_is(peers: Peers) -> None:
    async with MeddlingRelay() as gone:
        pass
    server = relaying(uuid=TOKEN, relay_server=str(gone.address))
    await ask(server, peers, ServerUnreachable, 3, f"cannot reach the relay {gone.address}")


@pytest.mark.parametrize(
    "named", ["127.0.0.1", "127.0.0.1:{port}", "localhost:{port}", "0.0.0.0:{port}", "[::1]:{port}"]
)
async def test_a_loopback_relay_of_a_server_elsewhere_means_the_server(
    peers: Peers, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """A server that is not on this machine cannot make us knock at our own services."""
    monkeypatch.setattr(ServerAddress, "is_loopback", False)
    dialled: list[ServerAddress] = []

    async def leg(self: Ways, relay: ServerAddress, token: str | None) -> None:
        dialled.append(relay)
        raise ServerUnreachable("not dialled")

    monkeypatch.setattr(Ways, "_relay_leg", leg)
    server = relaying(uuid=TOKEN, relay_server=named.format(port=22))
    async with server:
        elsewhere = ServerAddress("127.0.0.1", server.address.port)
        with fails(ServerUnreachable, 3):
            await server.customer(peers, server=elsewhere).send(b"", PEER)
    assert [relay.host for relay in dialled] == [elsewhere.host]


@pytest.mark.parametrize("endpoint", ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1"])
async def test_an_endpoint_that_no_peer_can_be_at_is_not_dialled(peers: Peers, endpoint: str) -> None:
    answer = Response(socket_addr=mangle(Endpoint(endpoint, 22), 1), is_local=True)
    async with answering(message(punch_hole_response=answer)) as server:
        with fails(NoPath, 5, "offers only a relay"):
            await server.customer(peers).send(b"", PEER, way=Way.DIRECT)


async def test_an_answer_without_a_token_is_joined_without_one(peers: Peers) -> None:
    """RustDeskServerDemo's RelayResponse has no uuid, no id and no key."""
    async with MeddlingRelay() as relay:

        async def answer(leg: Leg, question: wire.RendezvousMessage) -> None:
            leg.send(message(relay_response=wire.RelayResponse(relay_server=str(relay.address))))
            await leg.ended()

        async with LyingServer(answer) as demo:
            alice = demo.customer(peers, key=None)
            sending = asyncio.create_task(alice.send(b"", PEER))
            await until(lambda: relay.requests)
            assert relay.requests[0].uuid == ""
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


async def test_a_replayed_answer_makes_no_second_leg_with_the_same_token(
    peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time, when a person was asked meanwhile, the token is one of ours."""
    monkeypatch.setattr(handshaking, "SILENCE", 0.05)
    async with MeddlingRelay() as relay, relaying(uuid=TOKEN, relay_server=str(relay.address)) as server:
        connector = server.customer(peers).connector(PEER)
        for _ in range(2):
            with fails(NoPath, 5, "was not met at the relay"):
                await connector.connect()
        tokens = [request.uuid for request in relay.requests]
        assert tokens.count(TOKEN) == 1
        assert len(set(tokens)) == len(tokens) == 6


async def test_a_foreign_relay_sees_no_identity_and_learns_nothing(peers: Peers) -> None:
    """The server may name any relay to an initiator; whoever is there must be the peer."""

    async def stranger(actor: Actor) -> None:
        assert (await actor.leg.asked()).request_relay.uuid == TOKEN
        actor.leg.send(b"\x0a\x02hi")
        await actor.gone()

    async with Script(stranger) as relay:
        server = relaying(uuid=TOKEN, relay_server=str(relay.address))
        await ask(server, peers, RemoteProtocolError, 10, "the peer began with|bytes are not")
        assert relay.actors[0].heard == []


# Beside the liar


@pytest.mark.parametrize("is_local", [True, False], ids=["local", "punched"])
async def test_a_stranger_at_the_direct_endpoint_and_the_peer_at_the_relay(
    peers: Peers, monkeypatch: pytest.MonkeyPatch, is_local: bool
) -> None:
    """One mismatch and one good path: the good one is taken, the other reported."""
    monkeypatch.setattr(paths, "RELAY_DELAY", 0)
    heard: list[int] = []

    async def stranger(actor: Actor) -> None:
        actor.handshake = type(actor.handshake)(PEER, MALLORY, actor.handshake._gate)
        actor.open()
        await actor.gone()
        heard.append(len(actor.heard))

    async def honest(actor: Actor) -> None:
        await actor.leg.asked()
        await actor.until_let_in()
        await actor.gone()

    async with Script(stranger) as mallory, Script(honest) as bob:

        async def answer(leg: Leg, question: wire.RendezvousMessage) -> None:
            if question.HasField("punch_hole_request"):
                leg.send(mallory.offer(server.blob(), str(bob.address), is_local=is_local))
            else:
                leg.send(message(relay_response=wire.RelayResponse()))
            await leg.ended()

        async with LyingServer(answer) as server:
            alice = server.customer(peers)
            connector = alice.connector(PEER)
            connection = await connector.connect()
            assert connection.path.startswith("relay ")
            assert any("not signed by the key from the server" in line for line in connector.person.details)
            connection.stream.abort()
            await until(lambda: not (mallory.legs_open or bob.legs_open or server.legs_open))
    assert heard == [0]


@pytest.mark.parametrize("is_local", [True, False], ids=["local", "punched"])
async def test_both_paths_lead_to_a_stranger(peers: Peers, is_local: bool) -> None:
    async def stranger(actor: Actor) -> None:
        if actor in relay.actors:
            await actor.leg.asked()
        actor.handshake = type(actor.handshake)(PEER, MALLORY, actor.handshake._gate)
        actor.open()
        await actor.gone()

    async with Script(stranger) as direct, Script(stranger) as relay:

        async def answer(leg: Leg, question: wire.RendezvousMessage) -> None:
            if question.HasField("punch_hole_request"):
                leg.send(direct.offer(server.blob(), str(relay.address), is_local=is_local))
            else:
                leg.send(message(relay_response=wire.RelayResponse()))
            await leg.ended()

        server = LyingServer(answer)
        await ask(server, peers, IdentityMismatch, 7, "not signed by the key from the server")
        assert [len(actor.heard) for actor in (*direct.actors, *relay.actors)] == [0, 0]
