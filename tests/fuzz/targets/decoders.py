"""Bytes that are one value, or refused: messages, datagrams, what a peer signs, what was captured."""

from __future__ import annotations

import ipaddress
import json

from google.protobuf.message import Message

from rdpeer.crypto.identities import open_id_pk, peek_id_pk, sign_id_pk
from rdpeer.crypto.keys import ExchangeKey, IdentityKey
from rdpeer.crypto.move_key import MoveKey
from rdpeer.errors import AuthenticationFailed, IdentityMismatch, RemoteProtocolError
from rdpeer.protocol import joining, proofs
from rdpeer.protocol.candidates import (
    Candidate,
    Candidates,
    Surroundings,
    Transport,
    read_candidates,
    targets,
    write_candidates,
)
from rdpeer.protocol.discovery import Answerer, Card, Census, ping
from rdpeer.protocol.gate import Method
from rdpeer.protocol.peer_answers import signed_key
from rdpeer.protocol.question import RendezvousServer
from rdpeer.values import Endpoint, PeerId, ServerAddress, ServerKey
from rdpeer.wire import channel_pb2, kcp, readable, records, rendezvous_pb2, session_pb2, stun
from rdpeer.wire.captures import pieces as captured_pieces
from rdpeer.wire.datagrams import describe
from rdpeer.wire.dissect import Dissector, Part
from rdpeer.wire.endpoints import mangle, unmangle
from rdpeer.wire.messages import parse

from .script import Target, pieces, refusing, script

KEY = IdentityKey.from_seed(b"k" * 32)
PEER = PeerId("612345678")
SERVER = RendezvousServer(ServerAddress("203.0.113.5"), ServerKey(KEY.public.text))
KINDS: list[type[Message]] = [
    rendezvous_pb2.RendezvousMessage,
    session_pb2.Message,
    session_pb2.IdPk,
    channel_pb2.Hello,
    channel_pb2.OpenStream,
    channel_pb2.StreamRefused,
    channel_pb2.Candidates,
    channel_pb2.ResponderProof,
    channel_pb2.InitiatorProof,
]
NONCE = bytes(range(16))
HERE = Surroundings(False, (ipaddress.ip_network("192.168.1.0/24"),))
MOVE = {"exporter": b"e" * 32, "t2": b"t" * 32, "initiator_nonce": NONCE, "responder_nonce": NONCE}


def fixed(count: int) -> bytes:
    """The randomness of whoever is tried: the same each time, so that a finding is found again."""
    return b"\x07" * count


def message(data: bytes) -> None:
    """The first byte says of which kind."""
    kind = KINDS[data[0] % len(KINDS)] if data else KINDS[0]
    with refusing(RemoteProtocolError):
        read = parse(kind, data[1:])
        assert parse(kind, read.SerializeToString()) == read
        assert readable.line(read).isprintable()
        json.dumps(readable.fields(read))


def endpoint(data: bytes) -> None:
    with refusing(RemoteProtocolError):
        read = unmangle(data)
        assert read is None or unmangle(mangle(read, 7)) == read


def stun_message(data: bytes) -> None:
    transaction = stun.parse_request(data)
    assert transaction is None or stun.parse_request(stun.encode_request(transaction)) == transaction
    with refusing(RemoteProtocolError):
        read = stun.parse_answer(data, data[8:20])
        assert stun.parse_answer(stun.encode_answer(data[8:20], read), data[8:20]) == read


def kcp_datagram(data: bytes) -> None:
    with refusing(RemoteProtocolError):
        name, _ = kcp.split_datagram(data)
        segments = kcp.parse_segments(data)
        size = sum(kcp.SEGMENT_SIZE + len(segment.data) for segment in segments)
        assert (len(name), size) == (kcp.NAME_SIZE, len(data) - kcp.HEADER_SIZE)


def foreign_datagram(data: bytes) -> None:
    found = describe(data)
    assert found is None or (found[0].isprintable() and json.dumps(found[1]))


def record(data: bytes) -> None:
    with refusing(RemoteProtocolError):
        kind, body = records.decode(data)
        assert records.encode(kind, body) == data
    with refusing(RemoteProtocolError):
        stream, payload = records.decode_data(data)
        assert records.encode_data(stream, payload)[1:] == data[1:]
    assert records.type_name(data).isprintable()


def identity(data: bytes) -> None:
    with refusing(RemoteProtocolError):
        assert len(peek_id_pk(data).pk) == 32
    with refusing(RemoteProtocolError, IdentityMismatch):
        open_id_pk(KEY.public, data)
    with refusing(RemoteProtocolError, IdentityMismatch):
        signed_key(data, PEER, SERVER)
    for signed in (data[64:], data):
        with refusing(RemoteProtocolError, IdentityMismatch):
            signed_key(KEY.sign_combined(signed), PEER, SERVER)


def proof(data: bytes) -> None:
    """Whose signature is right, too: the first byte says of what."""
    for read in (proofs.read_responder_proof, proofs.read_initiator_proof):
        with refusing(RemoteProtocolError):
            read(data[1:], bytes(32))
    with refusing(RemoteProtocolError):
        error = proofs.read_denial(data[1:], Method(1 + data[0] % len(Method)) if data else Method.OPEN)
        assert isinstance(error, AuthenticationFailed)
    with refusing(RemoteProtocolError):
        ExchangeKey(b"x" * 32).open_session_key(data[:48], data[48:])


def candidates(data: bytes) -> None:
    with refusing(RemoteProtocolError):
        read = read_candidates(data)
        assert read_candidates(write_candidates(read).SerializeToString()) == read
        for transport in Transport:
            tried = targets(read.candidates, transport, HERE, Endpoint("203.0.113.9", 9))
            assert len(tried) <= 16
            assert all(HERE.may_try(one) for one in tried)


def join(data: bytes) -> None:
    for padding in (b"", bytes(max(0, joining.JOIN_BYTES - len(data)))):
        with refusing(RemoteProtocolError):
            joining.answer(MoveKey(initiator=False, **MOVE), data + padding, fixed)
        with refusing(RemoteProtocolError):
            joining.Joining(MoveKey(initiator=True, **MOVE), fixed).receive(data + padding)


def discovery(data: bytes) -> None:
    census, answerer = Census(), Answerer(Card(PEER, "host", "user", "Linux"))
    for piece in pieces(data):
        answerer.is_asked(piece, 0.0)
        census.hear(piece, "192.0.2.7")
    for found in census.found:
        card = found.card
        texts = (str(card.peer), card.hostname, card.username, card.platform, card.misc, found.mac)
        assert all(text.isprintable() for text in texts)


def capture(data: bytes) -> None:
    """Pieces of two sources, as their first byte says."""
    dissector, size = Dissector(), 0
    parts: list[Part] = []
    for piece in pieces(data):
        parts += dissector.take("ab"[piece[0] & 1] if piece else "a", piece[1:])
        size += len(piece[1:])
    parts += dissector.end()
    assert sum(part.size for part in parts) <= size
    for part in parts:
        assert str(part).isprintable()
        json.dumps(part.fields)


def captured_text(data: bytes) -> None:
    with refusing(ValueError):
        for source, found in captured_pieces(data.decode("utf-8", "surrogateescape")):
            assert source.isprintable()
            assert isinstance(found, bytes)


def rendezvous(member: Message) -> bytes:
    """The RendezvousMessage that holds ``member``."""
    message = rendezvous_pb2.RendezvousMessage()
    (name,) = (f.name for f in message.DESCRIPTOR.fields if f.message_type is member.DESCRIPTOR)
    getattr(message, name).CopyFrom(member)
    getattr(message, name).SetInParent()
    return message.SerializeToString()


def _messages() -> list[bytes]:
    pb, place = rendezvous_pb2, mangle(Endpoint("192.0.2.7", 9), 7)
    return [
        rendezvous(pb.RegisterPeer(id="612345678", serial=1)),
        rendezvous(pb.PunchHoleResponse(socket_addr=place, relay_server="r.example", nat_type=pb.ASYMMETRIC)),
        rendezvous(pb.RequestRelay(id="612345678", uuid="token", licence_key="key", secure=True)),
    ]


def _datagrams() -> list[bytes]:
    name = kcp.encode_name(7)
    push = kcp.encode_segment(7, kcp.PUSH, 128, 1, 2, 3, 4)
    return [
        kcp.encode_header(name, kcp.SYN),
        kcp.encode_header(name, kcp.ACK | kcp.DATA) + push + b"data",
        stun.encode_request(bytes(12)),
        stun.encode_answer(bytes(12), Endpoint("192.0.2.7", 9)),
        stun.encode_answer(bytes(12), Endpoint("2001:db8::7", 9)),
    ]


def _candidates() -> bytes:
    named = (
        Candidate(Transport.UDP, Endpoint("198.51.100.7", 9)),
        Candidate(Transport.TCP, Endpoint("fd00::1", 9)),
    )
    return write_candidates(Candidates(NONCE, named)).SerializeToString()


def _pong() -> bytes:
    return Answerer(Card(PEER, "host", "user", "Linux", "free")).pong("02:00:00:00:00:01")


def _joins() -> list[bytes]:
    ours = joining.Joining(MoveKey(initiator=True, **MOVE), fixed)
    theirs, _ = joining.answer(MoveKey(initiator=False, **MOVE), ours.payload, fixed)
    return [ours.payload[:49], theirs[:49]]


def _proofs() -> list[bytes]:
    responder = proofs.make_responder_proof(KEY, bytes(32), list(Method))
    initiator = proofs.make_initiator_proof(KEY, bytes(32), Method.CODE, PEER)
    return [b"\0" + responder, b"\0" + initiator, b"\2" + proofs.make_denial(proofs.Denial.BUSY)]


TARGETS = {
    "messages": Target(message, [b"\0" + seed for seed in _messages()] + [b"\6" + _candidates()]),
    "endpoints": Target(endpoint, [mangle(Endpoint(ip, 9), 7) for ip in ("192.0.2.7", "2001:db8::7")], 24),
    "stun": Target(stun_message, _datagrams(), 64),
    "kcp-segments": Target(kcp_datagram, _datagrams(), 1600),
    "datagrams": Target(foreign_datagram, _datagrams(), 256),
    "records": Target(record, [records.encode_data(7, b"data"), records.encode(records.RecordType.PING)], 64),
    "identities": Target(
        identity, [sign_id_pk(KEY, PEER, bytes(32), (1, 2)), sign_id_pk(KEY, PEER, bytes(32))]
    ),
    "proofs": Target(proof, _proofs()),
    "candidates": Target(candidates, [_candidates()]),
    "joins": Target(join, _joins(), joining.JOIN_BYTES + 1),
    "discovery": Target(discovery, [script(ping(), _pong(), _pong())]),
    "captures": Target(capture, [script(*(b"a" + seed for seed in _messages() + _datagrams()))]),
    "captured-text": Target(captured_text, [b"# hex\na\t3a:02:10:01\nb\t3a00,3a00\n", b"OgIQAQ=="], 256),
}
