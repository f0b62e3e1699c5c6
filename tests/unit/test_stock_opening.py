"""Where a responder's opening leads: to the channel, or to a stock session where that is allowed."""

from __future__ import annotations

import pytest

from rdpeer.crypto.channel import versions
from rdpeer.crypto.identities import open_id_pk
from rdpeer.crypto.keys import ExchangeKey, IdentityKey
from rdpeer.crypto.stock import StockChannel
from rdpeer.errors import LocalProtocolError, RemoteProtocolError
from rdpeer.protocol.gate import Gate
from rdpeer.protocol.handshake import (
    ExpectedKey,
    InitiatorHandshake,
    PathVerified,
    ResponderHandshake,
    Send,
    StockInitiator,
)
from rdpeer.values import PeerId
from rdpeer.wire import session_pb2 as pb

PEER = PeerId("612345678")
BOB = IdentityKey.from_seed(b"b" * 32)
ALICE = IdentityKey.from_seed(b"a" * 32)
SESSION_KEY = bytes(range(32))


def responder(*, stock: bool) -> tuple[ResponderHandshake, bytes]:
    handshake = ResponderHandshake(PEER, BOB, Gate(open_to_all=True), stock=stock)
    (opening,) = handshake.start()
    assert isinstance(opening, Send)
    return handshake, opening.payload


def answered(opening: bytes) -> bytes:
    """As a desktop does."""
    blob = pb.Message.FromString(opening).signed_id.id
    identity = open_id_pk(BOB.public, blob)
    assert identity.versions == versions(), "it marks, whatever it allows"
    ours = ExchangeKey.generate()
    key = pb.PublicKey(
        asymmetric_value=ours.public, symmetric_value=ours.seal_session_key(SESSION_KEY, identity.pk)
    )
    return pb.Message(public_key=key).SerializeToString()


def test_who_answers_without_a_mark_gets_a_stock_session() -> None:
    handshake, opening = responder(stock=True)
    (event,) = handshake.receive(answered(opening), 0.0)
    assert isinstance(event, StockInitiator)
    assert StockChannel(SESSION_KEY).open(event.channel.seal(b"hello")) == b"hello"
    with pytest.raises(LocalProtocolError):
        handshake.receive(b"", 0.0)
    with pytest.raises(LocalProtocolError):
        _ = handshake.channel


def test_unless_none_is_allowed() -> None:
    handshake, opening = responder(stock=False)
    with pytest.raises(RemoteProtocolError, match="does not speak the rdpeer channel"):
        handshake.receive(answered(opening), 0.0)


def test_who_marks_gets_the_channel() -> None:
    handshake, opening = responder(stock=True)
    initiator = InitiatorHandshake(PEER, ALICE, [ExpectedKey("the server", key=BOB.public)])
    (answer,) = initiator.receive(opening)
    assert isinstance(answer, Send)
    (proof,) = handshake.receive(answer.payload, 0.0)
    assert isinstance(proof, Send)
    assert isinstance(initiator.receive(proof.payload)[0], PathVerified)


@pytest.mark.parametrize(
    "key",
    [
        pb.PublicKey(),
        pb.PublicKey(asymmetric_value=bytes(32), symmetric_value=bytes(48)),
        pb.PublicKey(asymmetric_value=bytes(31), symmetric_value=bytes(48)),
        pb.PublicKey(asymmetric_value=ExchangeKey.generate().public, symmetric_value=bytes(47)),
        pb.PublicKey(asymmetric_value=ExchangeKey.generate().public, symmetric_value=bytes(48)),
        pb.PublicKey(version=2),
    ],
)
@pytest.mark.parametrize("stock", [True, False])
def test_an_answer_that_would_be_plain_text_or_nothing(key: pb.PublicKey, stock: bool) -> None:
    handshake, _ = responder(stock=stock)
    with pytest.raises(RemoteProtocolError):
        handshake.receive(pb.Message(public_key=key).SerializeToString(), 0.0)


@pytest.mark.parametrize("payload", [b"", pb.Message(hash=pb.Hash(salt="s")).SerializeToString(), b"\xff"])
def test_an_answer_that_is_none(payload: bytes) -> None:
    handshake, _ = responder(stock=True)
    with pytest.raises(RemoteProtocolError):
        handshake.receive(payload, 0.0)
