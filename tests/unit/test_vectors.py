"""Recorded bytes: RustDesk's own (docs/PROTOCOL.md), and the channel's (docs/CHANNEL.md)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from nacl import bindings
from spake2 import SPAKE2_A, SPAKE2_B

from rdpeer.crypto import aegis, secretstream
from rdpeer.crypto.identities import open_id_pk
from rdpeer.crypto.keys import ExchangeKey, IdentityKey, verify
from rdpeer.crypto.stock import StockChannel, password_proof
from rdpeer.protocol.gate import Gate, Method
from rdpeer.protocol.handshake import (
    Authenticated,
    ExpectedKey,
    HandshakeEvent,
    InitiatorHandshake,
    PathVerified,
    ResponderHandshake,
    Send,
)
from rdpeer.values import Endpoint, PeerId, PublicKey
from rdpeer.wire import channel_pb2, rendezvous_pb2, session_pb2
from rdpeer.wire.endpoints import mangle, unmangle
from rdpeer.wire.frames import FrameReader, encode_header
from rdpeer.wire.records import RecordType

FOLDER = Path(__file__).parent.parent / "vectors"


def lines(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / name).read_text().splitlines()]


# docs/PROTOCOL.md


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, "00"),
        (1, "04"),
        (63, "fc"),
        (64, "0101"),
        (16383, "fdff"),
        (16384, "020001"),
        (4194303, "feffff"),
        (4194304, "03000001"),
        (1073741823, "ffffffff"),
    ],
)
def test_frame_headers(length: int, header: str) -> None:
    assert encode_header(length).hex() == header
    if length <= 16384:
        assert FrameReader(length).receive(bytes.fromhex(header) + bytes(length)) == [bytes(length)]


def test_mangled_endpoint() -> None:
    endpoint = Endpoint("192.168.1.10", 21116)
    assert mangle(endpoint, 0x12345678).hex() == "f4a8f0ac682470fe6b38"
    assert unmangle(bytes.fromhex("f4a8f0ac682470fe6b38")) == endpoint


def test_stock_secretbox() -> None:
    key, sealed = bytes(range(32)), bytes.fromhex("ee08d01f75845eb548d7815d0bd8d08eaa5ee64c9d")
    assert StockChannel(key).seal(b"hello") == sealed
    assert StockChannel(key).open(sealed) == b"hello"


def test_stock_box() -> None:
    initiator, responder = ExchangeKey(b"\x01" * 32), ExchangeKey(b"\x02" * 32)
    assert initiator.public.hex() == "a4e09292b651c278b9772c569f5fa9bb13d906b46ab68c9df9dc2b4409f8a209"
    assert responder.public.hex() == "ce8d3ad1ccb633ec7b70c17814a5c76ecd029685050d344745ba05870e587d59"
    sealed = bytes.fromhex(
        "ee8a6f5884d8d979f6fd1e1ab075eac58f10dbcb129714adc1bf2f42f1271a0e17f8114bcba91dbb56ba045aea8c648d"
    )
    assert initiator.seal_session_key(bytes(range(32)), responder.public) == sealed
    assert responder.open_session_key(sealed, initiator.public) == bytes(range(32))


def test_stock_password_proof() -> None:
    assert password_proof("abc123", "s4lt56", "k3y9zz").hex() == (
        "ede5708878030721664fcd5a5aa7c488b291063a3fae0f70b17629ee3cd22e40"
    )


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ("3a00", {"register_peer_response": rendezvous_pb2.RegisterPeerResponse()}),
        ("820100", {"register_pk_response": rendezvous_pb2.RegisterPkResponse()}),
        ("5a00", {"punch_hole_response": rendezvous_pb2.PunchHoleResponse()}),
        (
            "92010b2209" + b"10.0.0.99".hex(),
            {"request_relay": rendezvous_pb2.RequestRelay(relay_server="10.0.0.99")},
        ),
    ],
)
def test_smallest_answers(wire: str, message: dict[str, Any]) -> None:
    expected = rendezvous_pb2.RendezvousMessage(**message)
    assert expected.SerializeToString().hex() == wire
    assert rendezvous_pb2.RendezvousMessage.FromString(bytes.fromhex(wire)) == expected


def test_empty_test_delay() -> None:
    message = session_pb2.Message(test_delay=session_pb2.TestDelay())
    assert message.SerializeToString().hex() == "2a00"


# A stock rendezvous server's answers

HBBS = lines("stock-hbbs-1.1.17.jsonl")
SERVER_KEY = PublicKey.parse(HBBS[0]["server_key"])
ENDPOINT_FIELDS = {"socket_addr", "local_addr", "socket_addr_v6"}


def read(message: Message) -> tuple[str, set[str]]:
    """A message as the recording describes it: its name, and ``number=value`` for each field."""
    return message.DESCRIPTOR.name, {
        f"{field.number}={shown(field.name, value)}" for field, value in message.ListFields()
    }


def shown(name: str, value: Any) -> str:
    if name in ENDPOINT_FIELDS:
        endpoint = unmangle(value)
        assert endpoint
        assert endpoint.port > 30000
        return f"@{endpoint.ip}:P"
    if isinstance(value, bytes):
        return f"<{len(value)}B>" if value else "''"
    if isinstance(value, Message):
        return f"<{value.ByteSize()}B>"
    return repr(value) if isinstance(value, str) else str(int(value))


def described(text: str) -> tuple[str, set[str]]:
    name, _, fields = text.removesuffix("}").partition("{")
    return name, set(filter(None, fields.split(", ")))


@pytest.mark.parametrize("vector", HBBS[1:], ids=lambda vector: vector["name"])
def test_answers_of_a_stock_server(vector: dict[str, Any]) -> None:
    messages = []
    for wire in vector["hex"]:
        message = rendezvous_pb2.RendezvousMessage.FromString(bytes.fromhex(wire))
        name = message.WhichOneof("union")
        assert name
        messages.append(getattr(message, name))
        assert len(message.SerializeToString()) == len(wire) // 2, "nothing was left out by the schema"
    said = [part for part in vector["read"].split(" | ") if not part.startswith("(")]
    assert [read(message) for message in messages] == [described(part) for part in said]
    for message in messages:
        if getattr(message, "pk", b""):
            identity = open_id_pk(SERVER_KEY, message.pk)
            if "another id" in vector["name"]:
                assert identity.peer_id == "710300001", "signed, but not the one asked for"
            else:
                assert identity.peer_id == "710300010"
                assert identity.pk == hashlib.sha256(b"k10310").digest()
            assert identity.versions == ()


def test_some_answers_carry_a_signed_key() -> None:
    assert sum("<109B>" in vector["read"] for vector in HBBS[1:]) >= 6


# Sessions with a real desktop

DESKTOP = lines("stock-desktop-1.4.9.jsonl")[1:]
SESSIONS = sorted({vector["session"] for vector in DESKTOP})


@pytest.mark.parametrize("name", SESSIONS)
def test_session_with_a_stock_desktop(name: str) -> None:
    signed_id, public_key, *messages = [vector for vector in DESKTOP if vector["session"] == name]
    opening = session_pb2.Message.FromString(bytes.fromhex(signed_id["bytes"])).signed_id
    identity = open_id_pk(PublicKey(bytes.fromhex(signed_id["peer_ed25519"])), opening.id)
    assert identity.peer_id == signed_id["id"]
    assert identity.versions == ()

    answer = session_pb2.Message.FromString(bytes.fromhex(public_key["bytes"])).public_key
    exchange = ExchangeKey(bytes.fromhex(public_key["x25519_secret"]))
    session_key = bytes.fromhex(public_key["session_key"])
    assert answer.asymmetric_value == exchange.public
    assert answer.symmetric_value == exchange.seal_session_key(session_key, identity.pk)

    desktop, initiator = StockChannel(session_key), StockChannel(session_key)
    nonces = []
    for message in messages:
        plain = bytes.fromhex(message["plain"])
        if message["what"] == "LoginRequest":
            login = session_pb2.Message.FromString(plain).login_request
            assert login.username == identity.peer_id
            proof = password_proof(message["password"], message["salt"], message["challenge"])
            assert login.password == proof
        else:
            nonces.append(message["nonce"])
            assert desktop.seal(plain).hex() == message["sealed"]
            assert initiator.open(bytes.fromhex(message["sealed"])) == plain
            if nonces == [1]:
                challenge = session_pb2.Message.FromString(plain).hash
    assert nonces == list(range(1, len(nonces) + 1))
    logins = [message for message in messages if message["what"] == "LoginRequest"]
    assert [(m["salt"], m["challenge"]) for m in logins] == [(challenge.salt, challenge.challenge)]


# The channel between two rdpeers


TEXT = ("peer", "method", "initiator_id", "record", "direction")
"""What is not hex."""


def unhex(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: v if name in TEXT else unhex(v) for name, v in value.items()}
    return [unhex(v) for v in value] if isinstance(value, list) else bytes.fromhex(value)


def channel(version: int) -> list[dict[str, Any]]:
    cases = json.loads((FOLDER / f"channel-{version}.json").read_text())["cases"]
    return [unhex(case) | {"version": version} for case in cases]


CHANNEL = [*channel(1), *channel(2)]
SEALED_BY = {1: secretstream, 2: aegis}


def channel_cases(wanted: Callable[[dict[str, Any]], bool] = lambda case: True) -> pytest.MarkDecorator:
    cases = list(filter(wanted, CHANNEL))
    return pytest.mark.parametrize("case", cases, ids=lambda case: f"{case['version']} {case['method']}")


def blake2b(*parts: bytes, size: int = 32, key: bytes = b"", person: bytes = b"") -> bytes:
    """docs/CHANNEL.md 2 in one line, beside the product's own."""
    text = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return hashlib.blake2b(text, digest_size=size, key=key, person=person).digest()


def drawn(end: dict[str, bytes]) -> Callable[[int], bytes]:
    """An end's randomness, in the order in which it is drawn."""
    names = ("x25519_secret", "session_key", "spake2_entropy")
    values = [end[name] for name in names if name in end]

    def draw(count: int) -> bytes:
        value = values.pop(0)
        assert len(value) == count
        return value

    return draw


def ends(case: dict[str, Any]) -> tuple[InitiatorHandshake, ResponderHandshake]:
    method, secret = Method[case["method"]], case.get("secret")
    initiator = IdentityKey.from_seed(case["initiator"]["identity_seed"])
    responder = IdentityKey.from_seed(case["responder"]["identity_seed"])
    gate = Gate(
        is_authorized=initiator.public.__eq__ if method is Method.KEY else None,
        password=secret if method is Method.PASSWORD else None,
        open_to_all=method is Method.OPEN,
    )
    if method is Method.CODE:
        gate.offer_code(secret, 0.0)
    peer = PeerId(case["peer"])
    expected = [ExpectedKey("the vector", PublicKey(case["responder_public"]))]
    versions = range(1, case["version"] + 1)
    return (
        InitiatorHandshake(peer, initiator, expected, versions=versions, random=drawn(case["initiator"])),
        ResponderHandshake(peer, responder, gate, versions=versions, random=drawn(case["responder"])),
    )


def run(case: dict[str, Any]) -> tuple[InitiatorHandshake, ResponderHandshake, list[tuple[str, bytes]]]:
    """Both machines with the vector's randomness, and what they put on the wire."""
    i, r = ends(case)
    wire: list[tuple[str, bytes]] = []
    authenticated = 0

    def note(direction: str, events: list[HandshakeEvent]) -> None:
        nonlocal authenticated
        for event in events:
            if isinstance(event, Send):
                wire.append((direction, event.payload))
            elif isinstance(event, PathVerified):
                own_id = PeerId(case["initiator_id"]) if "initiator_id" in case else None
                note("i2r", i.prove(Method[case["method"]], case.get("secret"), own_id))
            elif isinstance(event, Authenticated):
                authenticated += 1

    note("r2i", r.start())
    for direction, payload in wire:
        if direction == "r2i":
            note("i2r", i.receive(payload))
        else:
            note("r2i", r.receive(payload, 0.0))
    assert authenticated == 2
    return i, r, wire


@pytest.mark.parametrize("version", [1, 2])
def test_there_is_a_vector_for_each_method(version: int) -> None:
    assert {case["method"] for case in channel(version)} == {method.name for method in Method}


@channel_cases()
def test_channel_by_sealing(case: dict[str, Any]) -> None:
    i, r, wire = run(case)
    recorded = [("r2i", case["signed_id"]), ("i2r", case["public_key"])]
    recorded += [(record["direction"], record["sealed"]) for record in case["records"]]
    assert wire == recorded[: len(wire)]
    channels = {"i2r": i.channel, "r2i": r.channel}
    rest = case["records"][len(wire) - 2 :]
    assert [record["record"] for record in rest] == ["DATA", "FINAL"] * 2
    for record in rest:
        sealed = channels[record["direction"]].seal(record["plain"], record["record"] == "FINAL")
        assert sealed == record["sealed"]


@channel_cases()
def test_channel_by_opening(case: dict[str, Any]) -> None:
    by = SEALED_BY[case["version"]]
    openers = {name: by.Opener(case[name]["key"], case[name]["header"]) for name in ("i2r", "r2i")}
    sealers = {name: by.Sealer(case[name]["key"], case[name]["header"]) for name in ("i2r", "r2i")}
    for record in case["records"]:
        final = record["record"] == "FINAL"
        assert openers[record["direction"]].open(record["sealed"]) == (record["plain"], final)
        assert sealers[record["direction"]].seal(record["plain"], final) == record["sealed"]
        assert RecordType(record["plain"][0]).name == record["record"]


@channel_cases()
def test_channel_keys(case: dict[str, Any]) -> None:
    t0 = blake2b(case["signed_id"], case["public_key"], person=b"rdpeer-channel-1")
    assert t0 == case["t0"]
    opening = session_pb2.Message.FromString(case["signed_id"]).signed_id.id
    identity = open_id_pk(PublicKey(case["responder_public"]), opening)
    offered = tuple(range(1, case["version"] + 1))
    assert identity == (case["peer"], ExchangeKey(case["responder"]["x25519_secret"]).public, offered)
    answer = session_pb2.Message.FromString(case["public_key"]).public_key
    assert answer.version == case["version"]
    shared = bindings.crypto_scalarmult(case["responder"]["x25519_secret"], answer.asymmetric_value)
    assert shared == case["x25519"]
    secret = blake2b(t0, key=shared + case["initiator"]["session_key"], size=64)
    assert secret == case["prk"]
    for name in ("i2r", "r2i"):
        assert blake2b(key=secret, person=name.encode() + b" key") == case[name]["key"]
        assert blake2b(key=secret, person=name.encode() + b" head", size=24) == case[name]["header"]


@channel_cases()
def test_channel_proofs(case: dict[str, Any]) -> None:
    first, second = (record["plain"] for record in case["records"][:2])
    method = bytes((Method[case["method"]],))
    proof = channel_pb2.ResponderProof.FromString(first[1:])
    key = PublicKey(case["responder_public"])
    assert proof.public_key == key.raw
    signed = b"rdpeer channel 1 responder\0" + case["t0"] + key.raw + method
    assert verify(key, signed, proof.signature)
    assert blake2b(case["t0"], first) == case["t1"]

    answer = channel_pb2.InitiatorProof.FromString(second[1:])
    key = PublicKey(case["initiator_public"])
    assert answer.public_key == key.raw
    assert answer.id == case.get("initiator_id", "")
    signed = b"rdpeer channel 1 initiator\0" + case["t1"] + key.raw + method
    assert verify(key, signed, answer.signature)
    assert blake2b(case["t1"], second) == case["t2"]


@channel_cases(lambda case: "secret" in case)
def test_channel_secret_exchange(case: dict[str, Any]) -> None:
    """With the spake2 package's own group, not ours."""
    ids = {
        "idA": b"i" + case["initiator_public"] + case["t2"],
        "idB": b"r" + case["responder_public"] + case["t2"],
    }
    a, b = (
        side(case["secret"], entropy_f=lambda _, end=end: case[end]["spake2_entropy"], **ids)
        for side, end in ((SPAKE2_A, "initiator"), (SPAKE2_B, "responder"))
    )
    x, y, confirm_i, confirm_r = (record["plain"][1:] for record in case["records"][2:6])
    assert (a.start(), b.start()) == (x, y)
    key = a.finish(y)
    assert key == b.finish(x)
    assert blake2b(case["t2"], x, y, key=key, person=b"confirm i") == confirm_i
    assert blake2b(case["t2"], x, y, key=key, person=b"confirm r") == confirm_r


def test_the_server_key_is_base64() -> None:
    assert base64.b64encode(SERVER_KEY.raw).decode() == HBBS[0]["server_key"]
