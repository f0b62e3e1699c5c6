from __future__ import annotations

import contextlib

import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.errors import RemoteProtocolError
from rdpeer.wire import channel_pb2, rendezvous_pb2, session_pb2
from rdpeer.wire.messages import parse

KINDS: list[type[Message]] = [
    rendezvous_pb2.RendezvousMessage,
    session_pb2.Message,
    session_pb2.IdPk,
    channel_pb2.ResponderProof,
    channel_pb2.InitiatorProof,
    channel_pb2.Hello,
]


def test_a_message_comes_back_typed() -> None:
    message = rendezvous_pb2.RendezvousMessage(register_peer=rendezvous_pb2.RegisterPeer(id="612345678"))
    parsed = parse(rendezvous_pb2.RendezvousMessage, message.SerializeToString())
    assert parsed.register_peer.id == "612345678"


@given(st.sampled_from(KINDS), st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(kind: type[Message], data: bytes) -> None:
    with contextlib.suppress(RemoteProtocolError):
        assert isinstance(parse(kind, data), kind)


def test_text_that_is_not_utf8() -> None:
    with pytest.raises(RemoteProtocolError, match="5 bytes are not a RendezvousMessage"):
        parse(rendezvous_pb2.RendezvousMessage, b"\x32\x03\x0a\x01\xff")


def test_unknown_fields_are_kept() -> None:
    marked = session_pb2.IdPk(id="612345678", versions=[1]).SerializeToString()
    strange = marked + b"\x9a\x3e\x01x"
    assert parse(session_pb2.IdPk, strange).SerializeToString() == strange
