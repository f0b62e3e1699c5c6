"""Two machines against each other, and each against hostile bytes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdpeer.crypto import channel as keys
from rdpeer.crypto.identities import open_id_pk, sign_id_pk
from rdpeer.crypto.keys import ExchangeKey, IdentityKey
from rdpeer.crypto.secret_exchange import SecretExchange
from rdpeer.errors import (
    AuthenticationFailed,
    ConnectionLost,
    DeadlineExceeded,
    IdentityMismatch,
    LocalProtocolError,
    RdpeerError,
    RemoteProtocolError,
)
from rdpeer.protocol import proofs
from rdpeer.protocol.gate import CODE_LIFE, Gate, Method
from rdpeer.protocol.handshake import (
    MAX_PAYLOAD,
    Authenticated,
    Denial,
    Denied,
    ExpectedKey,
    HandshakeEvent,
    InitiatorHandshake,
    InitiatorProven,
    PathVerified,
    PongReceived,
    ResponderHandshake,
    Send,
)
from rdpeer.protocol.opening import InitiatorOpening
from rdpeer.values import Fingerprint, PeerId, PublicKey
from rdpeer.wire import channel_pb2, records, session_pb2
from rdpeer.wire.records import RecordType

PEER = PeerId("612345678")
ALICE = IdentityKey.from_seed(b"a" * 32)
BOB = IdentityKey.from_seed(b"b" * 32)
MALLORY = IdentityKey.from_seed(b"m" * 32)
BY_SERVER = ExpectedKey("the server", BOB.public)
FINAL = records.encode(RecordType.FINAL)
CODE, PASSWORD = b"7K4M2XQP", b"correct horse"

I2R, R2I = "i2r", "r2i"
Tamper = Callable[[str, int, bytes], list[bytes]]


def pass_on(direction: str, number: int, payload: bytes) -> list[bytes]:
    return [payload]


def open_gate() -> Gate:
    gate = Gate(is_authorized=ALICE.public.__eq__, password=PASSWORD, open_to_all=True)
    gate.offer_code(CODE, 0.0)
    return gate


class Meeting:
    """An initiator and a responder with a relay between them that may tamper."""

    def __init__(
        self,
        method: Method = Method.OPEN,
        secret: bytes | None = None,
        *,
        gate: Gate | None = None,
        expected: tuple[ExpectedKey, ...] = (BY_SERVER,),
        initiator: IdentityKey = ALICE,
        responder: IdentityKey = BOB,
        tamper: Tamper = pass_on,
        versions: tuple[tuple[int, ...], tuple[int, ...]] = ((1, 2), (1, 2)),
    ) -> None:
        chosen, offered = versions
        self.i = InitiatorHandshake(PEER, initiator, expected, versions=chosen)
        self.r = ResponderHandshake(PEER, responder, gate or open_gate(), versions=offered)
        self.method, self.secret, self.tamper = method, secret, tamper
        self.seen: dict[str, list[HandshakeEvent]] = {I2R: [], R2I: []}
        self.errors: dict[str, RdpeerError] = {}
        self.sent = {I2R: 0, R2I: 0}
        self.wire: list[tuple[str, bytes]] = []

    def run(self) -> Meeting:
        self._do(R2I, self.r.start)
        while self.wire:
            direction, payload = self.wire.pop(0)
            if direction == I2R:
                self._do(R2I, lambda: self.r.receive(payload, 0.0))  # noqa: B023
            else:
                self._do(I2R, lambda: self.i.receive(payload))  # noqa: B023
        return self

    def _do(self, side: str, step: Callable[[], list[HandshakeEvent]]) -> None:
        if side in self.errors or any(isinstance(e, Authenticated | Denied) for e in self.seen[side]):
            return
        try:
            events = step()
        except RdpeerError as error:
            self.errors[side] = error
            return
        for event in events:
            self.seen[side].append(event)
            if isinstance(event, Send):
                self.wire += [(side, p) for p in self.tamper(side, self.sent[side], event.payload)]
                self.sent[side] += 1
            if isinstance(event, PathVerified):
                self._do(I2R, lambda: self.i.prove(self.method, self.secret))

    def last(self, side: str, kind: type[HandshakeEvent]) -> HandshakeEvent | None:
        return next((event for event in self.seen[side] if isinstance(event, kind)), None)

    @property
    def authenticated(self) -> tuple[HandshakeEvent | None, HandshakeEvent | None]:
        return self.last(I2R, Authenticated), self.last(R2I, Authenticated)


WAYS = [(Method.KEY, None), (Method.CODE, CODE), (Method.PASSWORD, PASSWORD), (Method.OPEN, None)]
ways = pytest.mark.parametrize(("method", "secret"), WAYS, ids=[m.name for m, _ in WAYS])


# Two honest ends


@ways
@pytest.mark.parametrize(
    "expected",
    [
        (BY_SERVER,),
        (ExpectedKey("--peer-key", fingerprint=BOB.public.fingerprint),),
        (
            BY_SERVER,
            ExpectedKey("the pin", BOB.public),
            ExpectedKey("--peer-key", fingerprint=BOB.public.fingerprint),
        ),
    ],
    ids=["server", "fingerprint", "all"],
)
def test_both_ends_authenticate(
    method: Method, secret: bytes | None, expected: tuple[ExpectedKey, ...]
) -> None:
    meeting = Meeting(method, secret, expected=expected).run()
    assert meeting.authenticated == (Authenticated(method, BOB.public), Authenticated(method, ALICE.public))
    assert meeting.last(I2R, PathVerified) == PathVerified(BOB.public, tuple(Method))
    assert meeting.last(R2I, InitiatorProven) == InitiatorProven(ALICE.public, method)
    assert not meeting.errors
    for a, b in ((meeting.i.channel, meeting.r.channel), (meeting.r.channel, meeting.i.channel)):
        assert b.open(a.seal(b"hello")) == (b"hello", False)
        assert b.open(a.seal(FINAL, True)) == (FINAL, True)


@ways
def test_one_identity_may_be_at_both_ends(method: Method, secret: bytes | None) -> None:
    gate = Gate(is_authorized=BOB.public.__eq__, password=PASSWORD, open_to_all=True)
    gate.offer_code(CODE, 0.0)
    meeting = Meeting(method, secret, initiator=BOB, gate=gate).run()
    assert meeting.authenticated == (Authenticated(method, BOB.public), Authenticated(method, BOB.public))


@pytest.mark.parametrize(("method", "secret"), WAYS[1:3])
def test_a_server_that_signs_nothing_needs_the_exchange(method: Method, secret: bytes) -> None:
    meeting = Meeting(method, secret, expected=()).run()
    assert meeting.authenticated == (Authenticated(method, BOB.public), Authenticated(method, ALICE.public))


@pytest.mark.parametrize("method", [Method.KEY, Method.OPEN])
def test_a_server_that_signs_nothing_and_no_exchange(method: Method) -> None:
    meeting = Meeting(method, expected=()).run()
    assert isinstance(meeting.errors[I2R], IdentityMismatch)
    assert meeting.last(R2I, InitiatorProven) is None, "our identity was not shown"


def test_every_connection_has_its_own_keys() -> None:
    first, second = Meeting().run(), Meeting().run()
    with pytest.raises(RemoteProtocolError):
        second.r.channel.open(first.i.channel.seal(b"replayed"))


def test_the_initiator_may_say_who_it_is() -> None:
    own_id = PeerId("698765432")
    r, channel, t1 = responder_at_proof(open_gate())
    body = proofs.make_initiator_proof(ALICE, t1, Method.OPEN, own_id)
    events = r.receive(channel.seal(records.encode(RecordType.INITIATOR_PROOF, body)), 0.0)
    assert events[0] == InitiatorProven(ALICE.public, Method.OPEN, own_id)


@pytest.mark.parametrize("text", ["short", "with\x1bescape", "x" * 101])
def test_an_initiators_id_that_is_none(text: str) -> None:
    proof = channel_pb2.InitiatorProof.FromString(proofs.make_initiator_proof(ALICE, bytes(32), Method.OPEN))
    proof.id = text
    with pytest.raises(RemoteProtocolError, match="the initiator's ID"):
        proofs.read_initiator_proof(proof.SerializeToString(), bytes(32))


# Who does not pass


@pytest.mark.parametrize(("method", "wrong"), [(Method.CODE, b"00000000"), (Method.PASSWORD, b"wrong")])
@pytest.mark.parametrize("expected", [(), (BY_SERVER,)])
def test_a_wrong_secret_authenticates_neither(
    method: Method, wrong: bytes, expected: tuple[ExpectedKey, ...]
) -> None:
    meeting = Meeting(method, wrong, expected=expected).run()
    assert meeting.authenticated == (None, None)
    assert isinstance(meeting.errors[I2R], AuthenticationFailed)
    assert "is wrong" in str(meeting.errors[I2R])
    assert meeting.last(R2I, Denied) == Denied(Denial.WRONG_SECRET, ALICE.public, method)


def test_a_key_that_is_not_authorized() -> None:
    meeting = Meeting(Method.KEY, initiator=MALLORY).run()
    assert meeting.authenticated == (None, None)
    assert meeting.last(R2I, InitiatorProven) == InitiatorProven(MALLORY.public, Method.KEY)
    assert meeting.last(R2I, Denied) == Denied(Denial.KEY_NOT_AUTHORIZED, MALLORY.public, Method.KEY)
    assert "authorized_peers" in (meeting.errors[I2R].hint or "")


def test_guesses_run_out_and_right_ones_wait_then() -> None:
    gate = open_gate()
    for _ in range(5):
        assert "wrong" in str(Meeting(Method.CODE, b"00000000", gate=gate).run().errors[I2R])
    for secret in (b"00000000", CODE):
        meeting = Meeting(Method.CODE, secret, gate=gate).run()
        assert meeting.last(R2I, Denied) == Denied(Denial.BUSY, ALICE.public, Method.CODE)
        assert isinstance(meeting.errors[I2R], AuthenticationFailed)
    assert all(Meeting(Method.KEY, gate=gate).run().authenticated), "a key never waits"


def test_a_code_passes_once_even_for_two_at_the_same_time() -> None:
    gate = open_gate()
    second = Meeting(Method.CODE, CODE, gate=gate)
    inner: list[Meeting] = []

    def overtake(direction: str, number: int, payload: bytes) -> list[bytes]:
        if (direction, number) == (I2R, 3):  # the confirmation
            inner.append(Meeting(Method.CODE, CODE, gate=gate).run())
        return [payload]

    second.tamper = overtake
    second.run()
    assert all(inner[0].authenticated)
    assert second.authenticated == (None, None)
    assert isinstance(second.errors[I2R], AuthenticationFailed)


def test_a_code_that_expires_between_offer_and_share() -> None:
    gate = Gate()
    gate.offer_code(CODE, 0.0)
    i, r = InitiatorHandshake(PEER, ALICE, [BY_SERVER]), ResponderHandshake(PEER, BOB, gate)
    (hello,) = (i.receive(sent(r.start())[0]),)
    (proof,) = sent(r.receive(sent(hello)[0], 0.0))
    i.receive(proof)
    first, share = sent(i.prove(Method.CODE, CODE))
    r.receive(first, 1.0)
    assert isinstance(r.receive(share, CODE_LIFE)[-1], Denied)


def sent(events: list[HandshakeEvent]) -> list[bytes]:
    return [event.payload for event in events if isinstance(event, Send)]


def test_a_responder_that_offers_nothing() -> None:
    i, r = InitiatorHandshake(PEER, ALICE, [BY_SERVER]), ResponderHandshake(PEER, BOB, Gate())
    (proof,) = sent(r.receive(sent(i.receive(sent(r.start())[0]))[0], 0.0))
    assert i.receive(proof) == [PathVerified(BOB.public, ())]


# Who the peer is


def test_expected_keys_must_agree() -> None:
    with pytest.raises(IdentityMismatch) as caught:
        InitiatorHandshake(
            PEER, ALICE, [BY_SERVER, ExpectedKey("the pin in known_peers line 3", MALLORY.public)]
        )
    for part in (
        "the server",
        "known_peers line 3",
        str(BOB.public.fingerprint),
        str(MALLORY.public.fingerprint),
    ):
        assert part in str(caught.value)
    with pytest.raises(IdentityMismatch):
        InitiatorHandshake(
            PEER, ALICE, [BY_SERVER, ExpectedKey("--peer-key", fingerprint=MALLORY.public.fingerprint)]
        )


@pytest.mark.parametrize(
    "expected", [ExpectedKey("a", MALLORY.public), ExpectedKey("a", fingerprint=MALLORY.public.fingerprint)]
)
def test_another_key_than_expected(expected: ExpectedKey) -> None:
    meeting = Meeting(expected=(expected,)).run()
    assert isinstance(meeting.errors[I2R], IdentityMismatch)
    assert meeting.last(R2I, InitiatorProven) is None


@pytest.mark.parametrize("both", [True, False])
def test_an_expected_key_is_one_thing(both: bool) -> None:
    with pytest.raises(ValueError, match="one of them"):
        ExpectedKey("a", BOB.public if both else None, Fingerprint(bytes(32)) if both else None)


def signed_id(
    identity: IdentityKey = BOB,
    peer: str = PEER.text,
    pk: bytes | None = None,
    versions: tuple[int, ...] = (1,),
) -> bytes:
    blob = sign_id_pk(identity, peer, ExchangeKey.generate().public if pk is None else pk, versions)
    return session_pb2.Message(signed_id=session_pb2.SignedId(id=blob)).SerializeToString()


@pytest.mark.parametrize("expected", [(), (BY_SERVER,)])
def test_an_unmarked_peer_is_not_spoken_to(expected: tuple[ExpectedKey, ...]) -> None:
    i = InitiatorHandshake(PEER, ALICE, expected)
    with pytest.raises(IdentityMismatch, match="does not speak the rdpeer channel") as caught:
        i.receive(signed_id(versions=()))
    assert "--stock" in (caught.value.hint or "")


def test_another_id_than_asked_for() -> None:
    with pytest.raises(IdentityMismatch, match=r"says that it is 699999999\?, not 612345678"):
        InitiatorHandshake(PEER, ALICE, [BY_SERVER]).receive(signed_id(peer="699999999\x1b"))


@pytest.mark.parametrize(("known", "offered"), [((1, 2), (3, 4)), ((1,), (2, 3)), ((2,), (1,))])
def test_other_versions_only(known: tuple[int, ...], offered: tuple[int, ...]) -> None:
    i = InitiatorHandshake(PEER, ALICE, [BY_SERVER], versions=known)
    with pytest.raises(RemoteProtocolError, match="no version"):
        i.receive(signed_id(versions=offered))


@pytest.mark.parametrize(
    ("known", "offered", "chosen"),
    [((1, 2), (2, 1), 2), ((1, 2), (1, 2, 3), 2), ((1,), (1, 2), 1), ((1, 2), (1,), 1), ((1, 2), (3, 1), 1)],
)
def test_the_highest_version_that_both_know(
    known: tuple[int, ...], offered: tuple[int, ...], chosen: int
) -> None:
    i = InitiatorHandshake(PEER, ALICE, [BY_SERVER], versions=known)
    (answer,) = sent(i.receive(signed_id(versions=offered)))
    assert session_pb2.Message.FromString(answer).public_key.version == chosen


@pytest.mark.parametrize("versions", [((1, 2), (1, 2)), ((1,), (1, 2)), ((1, 2), (1,))])
def test_ends_that_are_good_at_different_versions_meet(
    versions: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    meeting = Meeting(versions=versions).run()
    assert not meeting.errors
    record = records.encode(RecordType.PING)
    assert meeting.r.channel.open(meeting.i.channel.seal(record)) == (record, False)


@pytest.mark.parametrize("is_fast", [False, True])
def test_each_end_speaks_what_its_processor_is_good_at(
    monkeypatch: pytest.MonkeyPatch, is_fast: bool
) -> None:
    monkeypatch.setattr(keys.aegis, "is_fast", lambda: is_fast)
    (opening,) = sent(ResponderHandshake(PEER, BOB, open_gate()).start())
    blob = session_pb2.Message.FromString(opening).signed_id.id
    assert open_id_pk(BOB.public, blob).versions == ((1, 2) if is_fast else (1,))
    (answer,) = sent(InitiatorHandshake(PEER, ALICE, [BY_SERVER]).receive(signed_id(versions=(1, 2))))
    assert session_pb2.Message.FromString(answer).public_key.version == (2 if is_fast else 1)


def test_a_version_that_was_not_offered_is_not_taken_though_it_is_known() -> None:
    r = ResponderHandshake(PEER, BOB, open_gate(), versions=(1,))
    i = InitiatorHandshake(PEER, ALICE, [BY_SERVER], versions=(1,))
    answer = session_pb2.Message.FromString(sent(i.receive(sent(r.start())[0]))[0])
    answer.public_key.version = 2
    with pytest.raises(RemoteProtocolError, match="version 2, which was not offered"):
        r.receive(answer.SerializeToString(), 0.0)


@pytest.mark.parametrize("version", [1, 3])
def test_nobody_in_between_chooses_the_version(version: int) -> None:
    def tamper(direction: str, number: int, payload: bytes) -> list[bytes]:
        if (direction, number) == (I2R, 0):
            message = session_pb2.Message.FromString(payload)
            message.public_key.version = version
            return [message.SerializeToString(deterministic=True)]
        return [payload]

    meeting = Meeting(tamper=tamper).run()
    assert all(isinstance(error, RemoteProtocolError) for error in meeting.errors.values())
    assert meeting.errors
    assert not any(isinstance(e, PathVerified | Authenticated) for e in meeting.seen[I2R])


@pytest.mark.parametrize("pk", [bytes(32), b"\x01" + bytes(31), bytes(31), b""])
def test_an_exchange_key_of_small_order_or_other_length_is_refused(pk: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        InitiatorHandshake(PEER, ALICE, [BY_SERVER]).receive(signed_id(pk=pk))
    message = session_pb2.Message(
        public_key=session_pb2.PublicKey(asymmetric_value=pk, symmetric_value=bytes(48), version=1)
    )
    with pytest.raises(RemoteProtocolError):
        ResponderHandshake(PEER, BOB, open_gate()).receive(message.SerializeToString(), 0.0)


@pytest.mark.parametrize(
    "answer",
    [
        session_pb2.Message(),
        session_pb2.Message(public_key=session_pb2.PublicKey()),
        session_pb2.Message(public_key=session_pb2.PublicKey(version=1)),
        session_pb2.Message(login_request=session_pb2.LoginRequest(username="612345678")),
    ],
    ids=["nothing", "empty", "mark alone", "login"],
)
def test_a_responder_never_falls_back(answer: session_pb2.Message) -> None:
    with pytest.raises(RemoteProtocolError):
        ResponderHandshake(PEER, BOB, open_gate()).receive(answer.SerializeToString(), 0.0)


@pytest.mark.parametrize(("version", "told"), [(0, "does not speak the rdpeer channel"), (3, "version 3")])
def test_a_sound_answer_without_our_mark_is_refused(version: int, told: str) -> None:
    r = ResponderHandshake(PEER, BOB, open_gate())
    answer = session_pb2.Message.FromString(
        sent(InitiatorHandshake(PEER, ALICE, [BY_SERVER]).receive(sent(r.start())[0]))[0]
    )
    answer.public_key.version = version
    with pytest.raises(RemoteProtocolError, match=told):
        r.receive(answer.SerializeToString(), 0.0)


def test_whoever_answers_for_the_peer_needs_its_key() -> None:
    """Without an expected key the signer of SignedId and of the proof must still be one."""
    i = InitiatorHandshake(PEER, ALICE, ())
    exchange = ExchangeKey.generate()
    opening = signed_id(BOB, pk=exchange.public)
    (answer,) = sent(i.receive(opening))
    made = responder_channel(exchange, opening, answer)
    body = proofs.make_responder_proof(MALLORY, made[1], [Method.PASSWORD])
    with pytest.raises(IdentityMismatch):
        i.receive(made[0].seal(records.encode(RecordType.RESPONDER_PROOF, body)))


def responder_channel(
    exchange: ExchangeKey, opening: bytes, answer: bytes
) -> tuple[keys.SecureChannel, bytes]:
    """A responder made by hand."""
    public_key = session_pb2.Message.FromString(answer).public_key
    session_key = exchange.open_session_key(public_key.symmetric_value, public_key.asymmetric_value)
    t0 = keys.opening_transcript(opening, answer)
    shared = exchange.shared(public_key.asymmetric_value)
    channel = keys.SecureChannel.derive(
        initiator=False, shared=shared, session_key=session_key, t0=t0, version=public_key.version
    )
    return channel, t0


# A responder that cheats


class Cheat:
    """A responder made by hand, up to the initiator's choice."""

    def __init__(self, method: Method, secret: bytes | None = None) -> None:
        self.i = InitiatorHandshake(PEER, ALICE, [BY_SERVER])
        exchange = ExchangeKey.generate()
        opening = signed_id(pk=exchange.public)
        (answer,) = sent(self.i.receive(opening))
        self.channel, t0 = responder_channel(exchange, opening, answer)
        self.says(RecordType.RESPONDER_PROOF, proofs.make_responder_proof(BOB, t0, list(Method)))
        self.heard = [self.channel.open(payload)[0] for payload in sent(self.i.prove(method, secret))]

    def says(self, kind: RecordType, body: bytes = b"", final: bool = False) -> list[HandshakeEvent]:
        return self.i.receive(self.channel.seal(records.encode(kind, body), final))


@pytest.mark.parametrize(
    "kind", [RecordType.ACCEPTED, RecordType.CONFIRM, RecordType.HELLO, RecordType.FINAL]
)
def test_a_given_secret_cannot_be_waived_by_the_responder(kind: RecordType) -> None:
    cheat = Cheat(Method.PASSWORD, PASSWORD)
    with pytest.raises(RemoteProtocolError):
        cheat.says(kind)
    with pytest.raises(LocalProtocolError):
        _ = cheat.i.channel


def cheat_after_confirmation() -> Cheat:
    """A responder that guesses: it has the initiator's confirmation, and cannot make its own."""
    cheat = Cheat(Method.PASSWORD, PASSWORD)
    exchange = SecretExchange.begin(
        initiator=False, secret=b"a guess", keys=(ALICE.public, BOB.public), t2=bytes(32)
    )
    exchange.finish(cheat.heard[1][1:])
    (confirmation,) = sent(cheat.says(RecordType.SHARE, exchange.share))
    cheat.channel.open(confirmation)
    return cheat


@pytest.mark.parametrize(
    "kind", [kind for kind in RecordType if kind not in (RecordType.PING, RecordType.PONG)]
)
def test_once_the_confirmation_is_out_every_other_end_is_a_failed_authentication(kind: RecordType) -> None:
    with pytest.raises(AuthenticationFailed):
        cheat_after_confirmation().says(kind, bytes(32))


def test_the_end_of_the_stream_after_the_confirmation_too() -> None:
    lost = cheat_after_confirmation().i.lost
    for cause in (None, ConnectionLost("reset"), DeadlineExceeded("20 s"), RemoteProtocolError("x")):
        assert isinstance(lost(cause), AuthenticationFailed)
    with pytest.raises(AuthenticationFailed, match="did not confirm the password"):
        cheat_after_confirmation().i.receive(b"garbage that does not open")


def test_the_end_of_the_stream_before_is_what_it_is() -> None:
    for handshake in (
        InitiatorHandshake(PEER, ALICE, [BY_SERVER]),
        Cheat(Method.PASSWORD, PASSWORD).i,
        Cheat(Method.KEY).i,
        ResponderHandshake(PEER, BOB, open_gate()),
    ):
        assert isinstance(handshake.lost(), ConnectionLost)
        cause = DeadlineExceeded("20 s")
        assert handshake.lost(cause) is cause


@pytest.mark.parametrize("share", [b"", b"B" + bytes(32), b"B\x01" + bytes(31), b"A" + bytes(32), bytes(64)])
def test_a_hostile_share_is_a_failed_authentication(share: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        Cheat(Method.PASSWORD, PASSWORD).says(RecordType.SHARE, share)


def test_our_share_reflected_is_a_failed_authentication() -> None:
    cheat = Cheat(Method.PASSWORD, PASSWORD)
    with pytest.raises(AuthenticationFailed):
        cheat.says(RecordType.SHARE, cheat.heard[1][1:])


def test_a_responders_proof_of_another_connection_is_refused() -> None:
    exchange = ExchangeKey.generate()
    opening = signed_id(pk=exchange.public)
    i = InitiatorHandshake(PEER, ALICE, [BY_SERVER])
    channel, _ = responder_channel(exchange, opening, sent(i.receive(opening))[0])
    replayed = proofs.make_responder_proof(BOB, bytes(32), [Method.OPEN])
    with pytest.raises(RemoteProtocolError, match="not signed by its key"):
        i.receive(channel.seal(records.encode(RecordType.RESPONDER_PROOF, replayed)))


# An initiator that cheats


def responder_at_proof(gate: Gate) -> tuple[ResponderHandshake, keys.SecureChannel, bytes]:
    """A responder that has proven itself, and the channel and T1 of an initiator made by hand."""
    r = ResponderHandshake(PEER, BOB, gate)
    (opening,) = sent(r.start())
    answer, channel, t0 = InitiatorOpening(PEER, [BY_SERVER], (1,)).answer(opening)
    (proof,) = sent(r.receive(answer, 0.0))
    return r, channel, keys.extend_transcript(t0, channel.open(proof)[0])


def test_a_method_that_is_not_offered() -> None:
    r, channel, t1 = responder_at_proof(Gate(password=PASSWORD))
    body = proofs.make_initiator_proof(ALICE, t1, Method.OPEN)
    with pytest.raises(RemoteProtocolError, match="OPEN, which was not offered"):
        r.receive(channel.seal(records.encode(RecordType.INITIATOR_PROOF, body)), 0.0)


@pytest.mark.parametrize("mischief", ["another transcript", "another key", "another method"])
def test_an_initiators_proof_that_is_not_of_this_connection(mischief: str) -> None:
    r, channel, t1 = responder_at_proof(open_gate())
    forged = channel_pb2.InitiatorProof.FromString(
        proofs.make_initiator_proof(
            MALLORY if mischief == "another key" else ALICE,
            bytes(32) if mischief == "another transcript" else t1,
            Method.OPEN if mischief == "another method" else Method.KEY,
        )
    )
    forged.public_key = ALICE.public.raw
    forged.method = channel_pb2.KEY
    record = records.encode(RecordType.INITIATOR_PROOF, forged)
    with pytest.raises(RemoteProtocolError, match="not signed by its key"):
        r.receive(channel.seal(record), 0.0)


@pytest.mark.parametrize(
    "kind",
    [
        k
        for k in RecordType
        if k not in (RecordType.PING, RecordType.PONG, RecordType.ACCEPTED, RecordType.DENIED)
    ],
)
def test_records_out_of_place(kind: RecordType) -> None:
    with pytest.raises(RemoteProtocolError):
        Cheat(Method.KEY).says(kind)


def test_accepted_has_no_body_and_is_not_final() -> None:
    with pytest.raises(RemoteProtocolError, match="not empty"):
        Cheat(Method.KEY).says(RecordType.ACCEPTED, b"x")
    with pytest.raises(RemoteProtocolError, match="ended"):
        Cheat(Method.KEY).says(RecordType.ACCEPTED, final=True)


def test_a_denial_of_a_later_version() -> None:
    with pytest.raises(AuthenticationFailed, match="does not let us in"):
        Cheat(Method.KEY).says(RecordType.DENIED, b"\x08\x63")
    with pytest.raises(RemoteProtocolError):
        Cheat(Method.KEY).says(RecordType.DENIED, b"\xff")


def test_unknown_methods_are_a_later_versions() -> None:
    exchange = ExchangeKey.generate()
    opening = signed_id(pk=exchange.public)
    i = InitiatorHandshake(PEER, ALICE, [BY_SERVER])
    channel, t0 = responder_channel(exchange, opening, sent(i.receive(opening))[0])
    body = proofs.make_responder_proof(BOB, t0, [Method.KEY, 77])  # type: ignore[list-item]
    (event,) = i.receive(channel.seal(records.encode(RecordType.RESPONDER_PROOF, body)))
    assert event == PathVerified(BOB.public, (Method.KEY,))


@pytest.mark.parametrize("methods", [[0], [300], [2, 1], [1, 1], [-1]])
def test_methods_that_are_no_list_of_methods(methods: list[int]) -> None:
    proof = channel_pb2.ResponderProof(public_key=BOB.public.raw, methods=methods, signature=bytes(64))  # type: ignore[arg-type]
    with pytest.raises(RemoteProtocolError, match="not a list"):
        proofs.read_responder_proof(proof.SerializeToString(), bytes(32))


@given(st.binary(max_size=150))
def test_any_bytes_as_a_proof_or_a_denial(body: bytes) -> None:
    for read in (proofs.read_responder_proof, proofs.read_initiator_proof):
        with pytest.raises(RemoteProtocolError):
            read(body, bytes(32))
    with contextlib.suppress(RemoteProtocolError):
        assert isinstance(proofs.read_denial(body, Method.KEY), AuthenticationFailed)


def test_a_proof_with_a_key_of_another_length() -> None:
    body = channel_pb2.InitiatorProof(public_key=bytes(31), method=channel_pb2.KEY, signature=bytes(64))
    with pytest.raises(RemoteProtocolError, match="31 bytes"):
        proofs.read_initiator_proof(body.SerializeToString(), bytes(32))


def test_an_unknown_method_to_pass_by() -> None:
    body = proofs.make_initiator_proof(ALICE, bytes(32), 77)  # type: ignore[arg-type]
    with pytest.raises(RemoteProtocolError, match="unknown method 77"):
        proofs.read_initiator_proof(body, bytes(32))


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_confirmation_of_another_length_is_no_guess(length: int) -> None:
    gate = open_gate()
    r, channel, t1 = responder_at_proof(gate)
    proof = records.encode(RecordType.INITIATOR_PROOF, proofs.make_initiator_proof(ALICE, t1, Method.CODE))
    exchange = SecretExchange.begin(
        initiator=True,
        secret=b"a guess",
        keys=(ALICE.public, BOB.public),
        t2=keys.extend_transcript(t1, proof),
    )
    r.receive(channel.seal(proof), 0.0)
    r.receive(channel.seal(records.encode(RecordType.SHARE, exchange.share)), 0.0)
    with pytest.raises(RemoteProtocolError, match="a confirmation of"):
        r.receive(channel.seal(records.encode(RecordType.CONFIRM, bytes(length))), 0.0)


# PING


def ping(end: InitiatorHandshake | ResponderHandshake) -> bytes:
    """From an implementation that sends them at any time."""
    return end._seal(RecordType.PING).payload


def test_ping_is_answered_at_any_time_and_changes_nothing() -> None:
    i, r = InitiatorHandshake(PEER, ALICE, [BY_SERVER]), ResponderHandshake(PEER, BOB, open_gate())
    (answer,) = sent(i.receive(sent(r.start())[0]))
    (proof,) = sent(r.receive(answer, 0.0))
    assert sent(r.receive(ping(i), 0.0))
    assert sent(r.receive(ping(i), 0.0))
    (event,) = i.receive(proof)
    assert isinstance(event, PathVerified)


def test_ping_both_ways() -> None:
    i, r = InitiatorHandshake(PEER, ALICE, [BY_SERVER]), ResponderHandshake(PEER, BOB, open_gate())
    (proof,) = sent(r.receive(sent(i.receive(sent(r.start())[0]))[0], 0.0))
    i.receive(proof)
    assert i.receive(sent(r.receive(i.ping().payload, 0.0))[0]) == [PongReceived()]
    assert r.receive(sent(i.receive(ping(r)))[0], 0.0) == [PongReceived()]
    (accepted,) = sent(r.receive(sent(i.prove(Method.OPEN))[0], 0.0))
    assert isinstance(i.receive(accepted)[-1], Authenticated)


# Using the machines wrongly


def test_local_errors() -> None:
    i = InitiatorHandshake(PEER, ALICE, [BY_SERVER])
    with pytest.raises(LocalProtocolError):
        _ = i.channel
    with pytest.raises(LocalProtocolError, match="cannot be used now"):
        i.prove(Method.OPEN)
    with pytest.raises(LocalProtocolError, match="no place"):
        i.ping()
    meeting = Meeting().run()
    for again in (lambda: meeting.i.receive(b""), lambda: meeting.r.receive(b"", 0.0)):
        with pytest.raises(LocalProtocolError, match="over"):
            again()


@pytest.mark.parametrize(("method", "secret"), [(Method.KEY, b"x"), (Method.CODE, None)])
def test_a_secret_where_it_belongs(method: Method, secret: bytes | None) -> None:
    with pytest.raises(LocalProtocolError, match="secret"):
        Cheat(method, secret)


def test_an_error_ends_the_machine() -> None:
    i = InitiatorHandshake(PEER, ALICE, [BY_SERVER])
    with pytest.raises(RemoteProtocolError):
        i.receive(b"\xff")
    with pytest.raises(LocalProtocolError):
        i.receive(signed_id())


# Hostile bytes


@given(st.binary(max_size=200))
def test_any_bytes_first(payload: bytes) -> None:
    with contextlib.suppress(RdpeerError):
        InitiatorHandshake(PEER, ALICE, ()).receive(payload)
    with pytest.raises(RemoteProtocolError):
        ResponderHandshake(PEER, BOB, open_gate()).receive(payload, 0.0)


@given(st.sampled_from(WAYS), st.integers(0, 8), st.sampled_from([I2R, R2I]), st.binary(max_size=100))
@settings(deadline=None)
def test_any_bytes_in_the_place_of_any_message(
    way: tuple[Method, bytes | None], at: int, direction: str, payload: bytes
) -> None:
    def replace(side: str, number: int, original: bytes) -> list[bytes]:
        return [payload] if (side, number) == (direction, at) else [original]

    assert_agreed(Meeting(*way, tamper=replace).run())


@given(st.sampled_from(WAYS), st.integers(0, 1), st.sampled_from(RecordType), st.binary(max_size=80))
@settings(deadline=None)
def test_any_record_sealed_by_an_end_that_cheats(
    way: tuple[Method, bytes | None], extra: int, kind: RecordType, body: bytes
) -> None:
    cheat = Cheat(*way)
    with contextlib.suppress(RdpeerError):
        assert not any(isinstance(e, Authenticated) for e in cheat.says(kind, body)) or not way[1]
    gate = open_gate()
    i, r = InitiatorHandshake(PEER, ALICE, [BY_SERVER]), ResponderHandshake(PEER, BOB, gate)
    (proof,) = sent(r.receive(sent(i.receive(sent(r.start())[0]))[0], 0.0))
    i.receive(proof)
    for payload in sent(i.prove(*way))[:extra]:
        if not way[1]:
            break
        r.receive(payload, 0.0)
    record = records.encode(kind, body)
    hostile = i._channel.seal(record, record == FINAL)  # type: ignore[union-attr]
    with contextlib.suppress(RdpeerError):
        assert not any(isinstance(e, Authenticated) for e in r.receive(hostile, 0.0))


@ways
@pytest.mark.parametrize("mischief", ["twice", "drop", "cut", "extend", "reflect", "swap"])
def test_mischief_with_any_message(method: Method, secret: bytes | None, mischief: str) -> None:
    for direction in (I2R, R2I):
        for at in range(4):
            held: list[bytes] = []

            def tamper(side: str, number: int, payload: bytes) -> list[bytes]:
                if mischief == "swap" and side == direction and number == at + 1:  # noqa: B023
                    return [payload, *held]  # noqa: B023
                if (side, number) != (direction, at):  # noqa: B023
                    return [payload]
                held.append(payload)  # noqa: B023
                return {
                    "twice": [payload, payload],
                    "cut": [payload[:-1]],
                    "extend": [payload + b"\0"],
                }.get(mischief, [])

            meeting = Meeting(method, secret, tamper=tamper)
            if mischief == "reflect":
                meeting.tamper = lambda side, number, payload: (
                    meeting.wire.append((R2I if side == I2R else I2R, payload)) or []  # type: ignore[func-returns-value]  # noqa: B023
                    if (side, number) == (direction, at)  # noqa: B023
                    else [payload]
                )
            assert_agreed(meeting.run())


@given(st.sampled_from(WAYS), st.sampled_from([I2R, R2I]), st.integers(0, 3), st.integers(0, 2**12))
@settings(deadline=None, max_examples=300)
def test_a_flipped_bit_anywhere(way: tuple[Method, bytes | None], direction: str, at: int, bit: int) -> None:
    flipped = False

    def flip(side: str, number: int, payload: bytes) -> list[bytes]:
        nonlocal flipped
        if (side, number) != (direction, at):
            return [payload]
        flipped = True
        where = bit % (8 * len(payload))
        changed = bytearray(payload)
        changed[where // 8] ^= 1 << where % 8
        return [bytes(changed)]

    meeting = Meeting(*way, tamper=flip).run()
    if flipped:
        assert meeting.authenticated[0] is None, "the initiator saw what the responder did not say"
        assert_agreed(meeting)
    else:
        assert all(meeting.authenticated)


def test_every_bit_of_the_openings() -> None:
    """The two messages that are not sealed: nothing in them may be changed unnoticed."""
    lengths: dict[str, int] = {}

    def measure(side: str, number: int, payload: bytes) -> list[bytes]:
        lengths.setdefault(side, len(payload))
        return [payload]

    Meeting(tamper=measure).run()
    for direction, length in lengths.items():
        for at in range(length):

            def flip(side: str, number: int, payload: bytes) -> list[bytes]:
                if (side, number) != (direction, 0):  # noqa: B023
                    return [payload]
                return [payload[:at] + bytes((payload[at] ^ 0x80,)) + payload[at + 1 :]]  # noqa: B023

            assert Meeting(tamper=flip).run().authenticated == (None, None)


def test_a_frame_over_the_limit() -> None:
    for over in (
        lambda: InitiatorHandshake(PEER, ALICE, [BY_SERVER]).receive(bytes(MAX_PAYLOAD + 1)),
        lambda: ResponderHandshake(PEER, BOB, open_gate()).receive(bytes(MAX_PAYLOAD + 1), 0.0),
    ):
        with pytest.raises(RemoteProtocolError, match="4097 bytes before authentication"):
            over()


def assert_agreed(meeting: Meeting) -> None:
    """Whoever passed saw what the other end said; the responder alone may pass: its last message was lost."""
    initiator, responder = meeting.authenticated
    if initiator:
        assert responder, "the initiator never passes alone"
        assert initiator == Authenticated(meeting.method, BOB.public)
        assert meeting.r.channel.open(meeting.i.channel.seal(b"x")) == (b"x", False)
    if responder:
        assert responder == Authenticated(meeting.method, ALICE.public)


def test_secrets_do_not_show() -> None:
    shown = "".join(
        repr(thing) for thing in (Meeting(Method.CODE, CODE).run().i, open_gate(), PublicKey(b"k" * 32))
    )
    assert "7K4M" not in shown
    assert "horse" not in shown


def test_spake2_is_imported_only_where_a_secret_is_used() -> None:
    code = "import sys, rdpeer.protocol.handshake; print('spake2' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout == "False\n"
