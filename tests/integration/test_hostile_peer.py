"""A responder or initiator that stalls, floods, lies and breaks off, and the honest one beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from bare_clients import until
from doubles import Leg
from lying_server import BOB, MALLORY, PEER, Actor, LyingServer, Script
from parties import OPEN, Collector, Echo, Listening, Peer, Peers, Text, fails

from rdpeer.cli.exits import exit_code
from rdpeer.crypto.identities import sign_id_pk
from rdpeer.crypto.keys import ExchangeKey
from rdpeer.errors import (
    AuthenticationFailed,
    ConnectionLost,
    DeadlineExceeded,
    IdentityMismatch,
    PeerRefused,
    RdpeerError,
    RemoteProtocolError,
)
from rdpeer.net.driver import converse
from rdpeer.net.transport.tcp import TcpStream, connect
from rdpeer.peer import handshaking
from rdpeer.peer.connect import Way, pipe
from rdpeer.peer.listen import Entry
from rdpeer.peer.services import Standard
from rdpeer.peer.setup import rendezvous_server
from rdpeer.protocol.gate import MAX_WAITING, Gate, Method
from rdpeer.protocol.handshake import Authenticated, ExpectedKey, InitiatorHandshake, PathVerified, Send
from rdpeer.protocol.opening import InitiatorOpening
from rdpeer.protocol.relays import Relays
from rdpeer.protocol.rendezvous import Offer, PunchRequest
from rdpeer.server import Server
from rdpeer.values import PeerId, ServerAddress
from rdpeer.wire import channel_pb2 as pb
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire import session_pb2
from rdpeer.wire.records import RecordType, decode, encode, encode_data

Servers = Callable[..., Server]
Act = Callable[[Actor], Awaitable[None]]

CODE = b"7K4M2XQP"
GIVEN = {Method.CODE: CODE}


# A hostile responder


@asynccontextmanager
async def facing(act: Act, peers: Peers, gate: Gate | None = None) -> AsyncIterator[tuple[Peer, Script]]:
    """Alice, and the responder that she will meet on a direct path. Nothing of hers is open in the end."""
    async with Script(act, gate) as bob:

        async def answer(leg: Leg, question: wire.RendezvousMessage) -> None:
            leg.send(bob.offer(server.blob()))
            await leg.ended()

        async with LyingServer(answer) as server:
            yield server.customer(peers), bob
            await until(lambda: not server.legs_open)


async def meet(
    act: Act,
    peers: Peers,
    kind: type[RdpeerError],
    code: int,
    match: str | None = None,
    *,
    gate: Gate | None = None,
    secrets: dict[Method, bytes] | None = None,
) -> Script:
    """Connecting ends as told; nothing was received, and no pin written."""
    async with facing(act, peers, gate) as (alice, bob):
        sink = Collector()
        with fails(kind, code, match):
            await alice.send(b"secret", PEER, sink, way=Way.DIRECT, secrets=dict(secrets or {}))
        assert sink.data == b""
        return bob


def steps(count: int, *, end: bool) -> Act:
    """Honest for ``count`` messages, then silent, or gone."""

    async def act(actor: Actor) -> None:
        if count:
            actor.open()
        for _ in range(count - 1):
            await actor.step()
        if not end:
            await actor.gone()

    return act


def with_code() -> Gate:
    gate = Gate()
    gate.offer_code(CODE, 0.0)
    return gate


@pytest.mark.parametrize("count", range(3))
async def test_it_stalls_after_each_step(peers: Peers, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(handshaking, "SILENCE", 0.05)
    monkeypatch.setattr(handshaking, "TIMEOUT", 0.1)
    match = "the peer stopped in the middle of the handshake"
    await meet(steps(count, end=False), peers, DeadlineExceeded, 8, match)


@pytest.mark.parametrize("count", range(3))
async def test_it_leaves_after_each_step(peers: Peers, count: int) -> None:
    match = "the peer closed the connection during the handshake"
    await meet(steps(count, end=True), peers, ConnectionLost, 9, match)


@pytest.mark.parametrize("end", [True, False], ids=["leaves", "stalls"])
async def test_after_our_confirmation_any_end_may_have_been_a_guess(
    peers: Peers, monkeypatch: pytest.MonkeyPatch, end: bool
) -> None:
    monkeypatch.setattr(handshaking, "TIMEOUT", 0.1)

    async def act(actor: Actor) -> None:
        actor.open()
        await actor.step()  # PublicKey
        await actor.step()  # proof
        await actor.step()  # share
        await actor.hear()  # our confirmation
        if not end:
            await actor.gone()

    match = "the peer did not confirm the code"
    bob = await meet(act, peers, AuthenticationFailed, 6, match, gate=with_code(), secrets=GIVEN)
    assert len(bob.actors) == 1  # never tried again


async def test_it_confirms_wrongly(peers: Peers) -> None:
    async def act(actor: Actor) -> None:
        actor.open()
        for _ in range(3):
            await actor.step()
        await actor.hear()
        actor.seal(RecordType.CONFIRM, bytes(32))
        await actor.gone()

    bob = await meet(act, peers, AuthenticationFailed, 6, gate=with_code(), secrets=GIVEN)
    assert len(bob.actors) == 1


async def test_it_knows_another_code(peers: Peers) -> None:
    async def act(actor: Actor) -> None:
        actor.open()
        for _ in range(3):
            await actor.step()
        await actor.hear()
        actor.seal(RecordType.ACCEPTED)
        await actor.gone()

    gate = Gate()
    gate.offer_code(b"00000000", 0.0)
    await meet(act, peers, AuthenticationFailed, 6, gate=gate, secrets=GIVEN)


async def test_it_is_open_to_one_who_was_given_a_secret(peers: Peers) -> None:
    """A stranger in the peer's place would say so."""

    async def act(actor: Actor) -> None:
        actor.open()
        await actor.step()
        await actor.gone()

    match = "the peer does not ask for the one-time code, so nothing proves"
    bob = await meet(act, peers, AuthenticationFailed, 6, match, secrets=GIVEN)
    assert len(bob.actors[0].heard) == 1  # PublicKey, and no word of who we are


EARLY = [
    (RecordType.OPEN, pb.OpenStream(stream=2)),
    (RecordType.HELLO, pb.Hello(max_streams=8)),
    (RecordType.DATA, b"\0\0\0\1good"),
    (RecordType.END, pb.StreamEnd(stream=1)),
    (RecordType.CONFIRM, bytes(32)),
    (RecordType.SHARE, bytes(33)),
    (RecordType.INITIATOR_PROOF, b""),
    (RecordType.RESPONDER_PROOF, b""),
]


EARLY_CASES = [
    (kind, body, coded)
    for kind, body in EARLY
    for coded in (False, True)
    if not (coded and kind is RecordType.SHARE)  # there it has its place
]


@pytest.mark.parametrize(("kind", "body", "coded"), EARLY_CASES)
async def test_it_sends_what_has_no_place_before_it_let_us_in(
    peers: Peers, kind: RecordType, body: object, coded: bool
) -> None:
    async def act(actor: Actor) -> None:
        actor.open()
        await actor.step()
        await actor.hear()
        actor.seal(kind, body)
        await actor.gone()

    given = {"gate": with_code(), "secrets": GIVEN} if coded else {}
    match = f"the peer sent {kind.name} where it has no place"
    await meet(act, peers, RemoteProtocolError, 10, match, **given)  # type: ignore[arg-type]


async def test_a_share_that_is_no_point(peers: Peers) -> None:
    async def act(actor: Actor) -> None:
        actor.open()
        await actor.step()
        await actor.hear()
        actor.seal(RecordType.SHARE, bytes(33))
        await actor.gone()

    await meet(act, peers, AuthenticationFailed, 6, gate=with_code(), secrets=GIVEN)


async def test_it_ends_the_channel_before_it_let_us_in(peers: Peers) -> None:
    async def act(actor: Actor) -> None:
        actor.open()
        await actor.step()
        await actor.hear()
        actor.seal(RecordType.FINAL, final=True)
        await actor.gone()

    await meet(act, peers, RemoteProtocolError, 10, "ended before authentication")


@pytest.mark.parametrize("size", [4097, 100_000, 1 << 24])
@pytest.mark.parametrize("count", range(3))
async def test_oversized_frames(peers: Peers, size: int, count: int) -> None:
    async def act(actor: Actor) -> None:
        if count:
            actor.open()
        for _ in range(count - 1):
            await actor.step()
        actor.leg.send(bytes(size))
        await actor.gone()

    await meet(act, peers, RemoteProtocolError, 10, "over the limit of 4096")


def signed_id(*versions: int, peer: PeerId = PEER, key: bytes | None = None) -> bytes:
    blob = sign_id_pk(BOB, peer, key or ExchangeKey.generate(lambda n: bytes(range(n))).public, versions)
    return session_pb2.Message(signed_id=session_pb2.SignedId(id=blob)).SerializeToString()


OPENINGS = [
    ("unmarked", signed_id(), IdentityMismatch, 7, "does not speak the rdpeer channel"),
    (
        "another ID",
        signed_id(1, peer=PeerId("other-peer")),
        IdentityMismatch,
        7,
        "says that it is other-peer",
    ),
    ("another version", signed_id(99), RemoteProtocolError, 10, "no version of the channel"),
    ("a key of zeros", signed_id(1, key=bytes(32)), RemoteProtocolError, 10, None),
    ("empty", b"", RemoteProtocolError, 10, "an unknown message instead of signed_id"),
    ("no blob", b"\x0a\x00", RemoteProtocolError, 10, None),
    ("garbage", b"\xff" * 50, RemoteProtocolError, 10, None),
]


@pytest.mark.parametrize(
    ("payload", "kind", "code", "match"), [rest for _, *rest in OPENINGS], ids=[name for name, *_ in OPENINGS]
)
async def test_openings(
    peers: Peers, payload: bytes, kind: type[RdpeerError], code: int, match: str | None
) -> None:
    async def act(actor: Actor) -> None:
        actor.leg.send(payload)
        await actor.gone()

    bob = await meet(act, peers, kind, code, match)
    assert bob.actors[0].heard == []


async def test_the_mark_is_stripped_inside_the_signature(peers: Peers) -> None:
    async def act(actor: Actor) -> None:
        (start,) = actor.handshake.start()
        assert isinstance(start, Send)
        signed = session_pb2.Message.FromString(start.payload)
        identity = session_pb2.IdPk.FromString(signed.signed_id.id[64:])
        identity.ClearField("versions")
        signed.signed_id.id = signed.signed_id.id[:64] + identity.SerializeToString()
        actor.leg.send(signed.SerializeToString())
        await actor.gone()

    await meet(act, peers, IdentityMismatch, 7, "not signed by the key from the server")


async def test_its_words_are_shown_clean(peers: Peers) -> None:
    async def act(actor: Actor) -> None:
        await actor.until_let_in()
        actor.seal(RecordType.HELLO, pb.Hello(max_streams=8))
        refusal = pb.StreamRefused(
            stream=1,
            reason=pb.StreamRefused.NOT_PERMITTED,
            detail="\x1b[2J\r\nrdpeer: \u202e" + "x" * 500,
        )
        actor.seal(RecordType.REFUSED, refusal)
        await actor.gone()

    async with facing(act, peers) as (alice, _):
        with fails(PeerRefused, 11, r"the peer does not permit this target: \?\[2J\?\?rdpeer"):
            await alice.send(b"", PEER)


AFTER = [
    ("FINAL at once", [(RecordType.FINAL, b"", True)], RdpeerError, (9, 10)),
    ("DATA of no stream", [(RecordType.DATA, b"\0\0\0\7good", False)], RemoteProtocolError, (10,)),
    ("DATA before OPENED", [(RecordType.DATA, b"\0\0\0\1good", False)], RemoteProtocolError, (10,)),
    (
        "END, then DATA",
        [
            (RecordType.OPENED, pb.StreamOpened(stream=1), False),
            (RecordType.END, pb.StreamEnd(stream=1), False),
            (RecordType.DATA, b"\0\0\0\1good", False),
        ],
        RemoteProtocolError,
        (10,),
    ),
    ("its own OPEN", [(RecordType.OPEN, pb.OpenStream(stream=2), False)], RdpeerError, (9, 10)),
    ("a reserved record", [(48, b"", False)], RemoteProtocolError, (10,)),
    (
        "OPENED, and gone",
        [(RecordType.OPENED, pb.StreamOpened(stream=1), False)],
        ConnectionLost,
        (9,),
    ),
    (
        "a status of no program",
        [(RecordType.EXIT, pb.StreamExit(stream=1), False)],
        RemoteProtocolError,
        (10,),
    ),
]


@pytest.mark.parametrize(
    ("records", "kind", "codes"), [rest for _, *rest in AFTER], ids=[name for name, *_ in AFTER]
)
async def test_sessions_that_break_the_rules(
    peers: Peers, records: list[tuple[int, object, bool]], kind: type[RdpeerError], codes: tuple[int, ...]
) -> None:
    async def act(actor: Actor) -> None:
        await actor.until_let_in()
        actor.seal(RecordType.HELLO, pb.Hello(max_streams=8))
        await actor.hear()  # HELLO
        await actor.hear()  # OPEN
        for number, body, final in records:
            record = encode(RecordType.HELLO, body)[1:]  # type: ignore[arg-type]
            channel = actor.handshake.channel
            actor.leg.send(channel.seal(bytes((number,)) + record, final))
        actor.leg.end()
        await actor.gone()

    async with facing(act, peers) as (alice, _):
        sink = Collector()
        with pytest.raises(kind) as caught:
            await pipe(alice.connector(PEER), "", Text(b"", endless=True), sink)
        assert exit_code(caught.value) in codes
        assert not sink.finished or sink.data == b""


# A hostile initiator


class Attacker:
    """Speaks to a listener by hand, over a direct connection or the relay."""

    def __init__(self, stream: TcpStream, peer: Peer) -> None:
        self.stream = stream
        self.handshake = InitiatorHandshake(peer.id, MALLORY, [ExpectedKey("the test", peer.key)])

    async def verify(self) -> None:
        """Up to the responder's proof."""
        while True:
            payload = await self.stream.receive()
            assert payload is not None
            for event in self.handshake.receive(payload):
                if isinstance(event, Send):
                    self.stream.send(event.payload)
                if isinstance(event, PathVerified):
                    return

    def prove(self, method: Method, secret: bytes | None = None) -> None:
        for event in self.handshake.prove(method, secret):
            assert isinstance(event, Send)
            self.stream.send(event.payload)

    async def pass_(self) -> None:
        await self.verify()
        self.prove(Method.OPEN)
        while True:
            payload = await self.stream.receive()
            assert payload is not None
            if any(isinstance(event, Authenticated) for event in self.handshake.receive(payload)):
                self.stream.limit = 1 << 20
                return

    def seal(self, kind: int, body: object = b"", *, final: bool = False) -> None:
        record = bytes((kind,)) + encode(RecordType.HELLO, body)[1:]  # type: ignore[arg-type]
        self.stream.send(self.handshake._channel.seal(record, final))  # type: ignore[union-attr]

    async def hear(self) -> RecordType:
        """The next record of the session."""
        payload = await self.stream.receive()
        assert payload is not None
        return decode(self.handshake.channel.open(payload)[0])[0]

    async def ended(self) -> None:
        """Waits until the listener has closed."""
        try:
            while await received(self.stream) is not None:
                pass
        finally:
            self.stream.abort()


async def dial(mallory: Peer, bob: Peer) -> TcpStream:
    """A direct connection to Bob's listener, brought about as anybody would."""
    where = rendezvous_server(mallory.settings)
    offer: Offer = (await converse(PunchRequest(bob.id, where, Relays(where.address)))).value
    (candidate,) = offer.candidates
    address = ServerAddress(candidate.endpoint.ip, candidate.endpoint.port)
    return await connect(address, limit=1 << 20, timeout=5)


async def attacker(mallory: Peer, bob: Peer) -> Attacker:
    return Attacker(await dial(mallory, bob), bob)


@asynccontextmanager
async def besieged(
    server: Servers, peers: Peers, entry: Entry = OPEN, service: Echo | Standard | None = None
) -> AsyncIterator[tuple[Peer, Peer, Peer, Listening]]:
    """Alice, Mallory, and Bob who listens. In the end Alice is still served, and nothing is left open."""
    async with server() as running:
        alice, mallory, bob = (peers(name, running) for name in ("alice", "mallory", "bob"))
        bob.authorize(alice.key)
        async with bob.listening(service, entry) as listening:
            yield alice, mallory, bob, listening
            assert await alice.send(b"honest", bob.id) == b"honest"
            await until(lambda: running.connections == 0)


async def test_initiators_that_stall_after_each_step(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshaking, "TIMEOUT", 0.3)
    async with besieged(server, peers, Entry(password=b"horse")) as (alice, mallory, bob, listening):
        stalled = [await attacker(mallory, bob) for _ in range(3)]
        await stalled[1].verify()
        await stalled[2].verify()
        stalled[2].prove(Method.PASSWORD, b"guess")
        assert await alice.send(b"honest", bob.id) == b"honest"
        await asyncio.gather(*(one.ended() for one in stalled))
        await listening.details.said("somebody, direct .* stopped in the middle of the handshake")
        await listening.reports.said(f"{MALLORY.public.fingerprint}, direct .* stopped in the middle")


async def test_a_flood_of_half_handshakes(server: Servers, peers: Peers) -> None:
    """Two hundred who say nothing: never more than 32 wait, and the honest one gets through."""
    async with besieged(server, peers) as (alice, mallory, bob, _):
        await alice.send(b"honest", bob.id)
        flood = [
            Attacker(stream, bob)
            for stream in await asyncio.gather(*[dial(mallory, bob) for _ in range(200)])
        ]
        ends = [asyncio.create_task(one.ended()) for one in flood]
        assert await alice.send(b"honest", bob.id) == b"honest"
        await until(lambda: sum(end.done() for end in ends) >= 200 - MAX_WAITING)
        for end in ends:
            end.cancel()
        await asyncio.gather(*ends, return_exceptions=True)


PAYLOADS = {
    "nothing in it": b"",
    "garbage": b"\xff" * 60,
    "an unmarked PublicKey": session_pb2.Message(
        public_key=session_pb2.PublicKey(asymmetric_value=bytes(32), symmetric_value=bytes(48))
    ).SerializeToString(),
    "an empty PublicKey": session_pb2.Message(public_key=session_pb2.PublicKey()).SerializeToString(),
    "an oversized frame": bytes(5000),
}


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
async def test_first_words_that_are_none(server: Servers, peers: Peers, payload: bytes) -> None:
    async with besieged(server, peers) as (_, mallory, bob, listening):
        stream = await dial(mallory, bob)
        stream.send(payload)
        assert await stream.receive()  # SignedId
        assert await received(stream) is None
        stream.abort()
        await listening.details.said("somebody, direct")
        assert not [line for line in listening.reports if "accepted" in line]


async def test_our_own_messages_reflected(server: Servers, peers: Peers) -> None:
    async with besieged(server, peers) as (_, mallory, bob, listening):
        stream = await dial(mallory, bob)
        signed_id = await stream.receive()
        assert signed_id is not None
        stream.send(signed_id)
        assert await received(stream) is None
        stream.abort()

        one = await attacker(mallory, bob)
        first = await one.stream.receive()
        assert first is not None
        (public_key,) = one.handshake.receive(first)
        assert isinstance(public_key, Send)
        one.stream.send(public_key.payload)
        proof = await one.stream.receive()
        assert proof is not None
        one.stream.send(proof)
        await one.ended()
        await listening.details.said("does not open")


async def test_an_old_opening_replayed(server: Servers, peers: Peers) -> None:
    async with besieged(server, peers) as (_, mallory, bob, listening):
        one, two = await attacker(mallory, bob), await attacker(mallory, bob)
        signed_id = await one.stream.receive()
        assert signed_id is not None
        answer, _, _ = InitiatorOpening(bob.id, [ExpectedKey("the test", bob.key)], (1,)).answer(signed_id)
        one.stream.abort()
        assert await two.stream.receive()
        two.stream.send(answer)
        await two.ended()
        assert not [line for line in listening.reports if "accepted" in line]


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (RecordType.OPEN, pb.OpenStream(stream=1)),
        (RecordType.HELLO, pb.Hello(max_streams=8)),
        (RecordType.SHARE, bytes(33)),
        (RecordType.CONFIRM, bytes(32)),
        (RecordType.INITIATOR_PROOF, pb.InitiatorProof(public_key=bytes(32), signature=bytes(64))),
        (RecordType.ACCEPTED, b""),
        (200, b""),
    ],
)
async def test_a_session_before_it_was_let_in(server: Servers, peers: Peers, kind: int, body: object) -> None:
    echo = Echo()
    async with besieged(server, peers, service=echo) as (_, mallory, bob, listening):
        one = await attacker(mallory, bob)
        await one.verify()
        one.seal(kind, body)
        await one.ended()
        await listening.details.said("somebody, direct")
        assert not echo.passed


async def test_pings_extend_no_deadline(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handshaking, "TIMEOUT", 0.2)
    async with besieged(server, peers) as (_, mallory, bob, listening):
        one = await attacker(mallory, bob)
        await one.verify()
        one.seal(RecordType.PING)
        while (payload := await received(one.stream)) is not None:
            one.handshake.receive(payload)
            one.seal(RecordType.PING)
        one.stream.abort()
        await listening.details.said("stopped in the middle of the handshake")


async def received(stream: TcpStream) -> bytes | None:
    try:
        return await stream.receive()
    except ConnectionLost:
        return None


async def test_guessing_passwords_locks_no_key_out(server: Servers, peers: Peers) -> None:
    async with besieged(server, peers, Entry(password=b"horse")) as (_, mallory, bob, listening):
        told = []
        for number in range(12):
            with fails(AuthenticationFailed, 6) as caught:
                await mallory.send(b"", bob.id, secrets={Method.PASSWORD: b"guess %d" % number})
            told.append(str(caught.value))
        assert told[:10] == ["the peer says that the password is wrong"] * 10
        assert set(told[10:]) == {"the peer does not look at secrets now: too many wrong ones came in"}
        assert len([line for line in listening.reports if "denied" in line]) == 12


async def test_two_streams_for_one_standard_input(server: Servers, peers: Peers) -> None:
    """The second is refused, and the first goes on undisturbed."""
    async with server() as running:
        mallory, bob, sink = peers("mallory", running), peers("bob", running), Collector()
        service = Standard(Text(b"there"), sink)
        async with bob.listening(service, OPEN, one_peer=True) as listening:
            one = await attacker(mallory, bob)
            await one.pass_()
            one.seal(RecordType.HELLO, pb.Hello(max_streams=8))
            one.seal(RecordType.OPEN, pb.OpenStream(stream=1))
            while await one.hear() is not RecordType.OPENED:
                pass
            one.seal(RecordType.OPEN, pb.OpenStream(stream=3))
            one.stream.send(one.handshake.channel.seal(encode_data(1, b"here")))
            await listening.reports.said("its standard input and output are in use")
            await until(lambda: sink.data == b"here")
            one.stream.abort()
            await asyncio.wait((listening.task,))
            assert isinstance(listening.task.exception(), ConnectionLost)
            assert not sink.finished


async def test_a_guest_that_vanishes_is_no_news(server: Servers, peers: Peers) -> None:
    async with besieged(server, peers) as (_, mallory, bob, listening):
        one = await attacker(mallory, bob)
        await one.pass_()
        one.stream.abort()
        await listening.details.said(f"somebody {MALLORY.public.fingerprint}, direct .*lost|closed")
        assert len(listening.reports) == 2  # online, accepted


async def test_a_guest_that_breaks_the_rules_is_told_of(server: Servers, peers: Peers) -> None:
    async with besieged(server, peers) as (_, mallory, bob, listening):
        one = await attacker(mallory, bob)
        await one.pass_()
        one.seal(RecordType.HELLO, pb.Hello(max_streams=8))
        one.seal(RecordType.OPENED, pb.StreamOpened(stream=1))
        await one.ended()
        await listening.reports.said(f"somebody {MALLORY.public.fingerprint}, direct .*: ")


async def test_many_dial_one_endpoint_and_it_takes_no_more_than_eight(server: Servers, peers: Peers) -> None:
    async with besieged(server, peers) as (_, mallory, bob, _):
        first = await dial(mallory, bob)
        address = ServerAddress(first.remote.ip, first.remote.port)
        others = [await connect(address, limit=4096, timeout=5) for _ in range(7)]
        for stream in (first, *others):
            assert await stream.receive()
        with pytest.raises(OSError, match="refused"):
            await connect(address, limit=4096, timeout=5)
        for stream in (first, *others):
            stream.abort()


async def test_the_endpoint_is_closed_once_one_has_committed(server: Servers, peers: Peers) -> None:
    async with besieged(server, peers) as (_, mallory, bob, _):
        one = await attacker(mallory, bob)
        address = ServerAddress(one.stream.remote.ip, one.stream.remote.port)
        await one.pass_()
        with pytest.raises(OSError, match="refused"):
            await connect(address, limit=4096, timeout=5)
        one.stream.abort()


async def test_an_endpoint_that_nobody_comes_to_is_closed(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdpeer.peer.arrivals.ACCEPT_FOR", 0.05)
    async with besieged(server, peers) as (_, mallory, bob, _):
        where = rendezvous_server(mallory.settings)
        offer: Offer = (await converse(PunchRequest(bob.id, where, Relays(where.address)))).value
        (candidate,) = offer.candidates
        address = ServerAddress(candidate.endpoint.ip, candidate.endpoint.port)
        await until_refused(address)


async def until_refused(address: ServerAddress) -> None:
    while True:
        try:
            stream = await connect(address, limit=4096, timeout=5)
        except OSError:
            return
        stream.abort()
        await asyncio.sleep(0)
