"""The records of the channel: a type byte, then a body (docs/CHANNEL.md 3, 4).

A record is what one sealed frame holds. Bodies are messages of channel.proto,
but for those that are plain bytes (SHARE, CONFIRM), those that are empty, and
DATA, the only one that comes in bulk: stream number (u32, big endian), then the
bytes.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct

from google.protobuf.message import Message

from rdpeer.errors import RemoteProtocolError


class RecordType(IntEnum):
    """The numbers are the wire's. A number not listed is RemoteProtocolError."""

    RESPONDER_PROOF = 1
    INITIATOR_PROOF = 2
    SHARE = 3
    """33 bytes: the side and a point of SPAKE2."""
    CONFIRM = 4
    """32 bytes: proof of the secret. The responder's lets the initiator in."""
    ACCEPTED = 5
    """Empty: the responder lets the initiator in, by its key or as anybody."""
    DENIED = 6
    PING = 16
    """Empty, as PONG."""
    PONG = 17
    HELLO = 32
    OPEN = 33
    OPENED = 34
    REFUSED = 35
    DATA = 36
    WINDOW = 37
    END = 38
    STOP = 39
    EXIT = 40
    RESET = 41
    FINAL = 47
    """Empty: the last record of its direction, sealed as the end."""
    CANDIDATES = 48
    SWITCH = 49
    """16 bytes: the name of the transport that carries what follows in this direction."""
    JOIN = 50
    """The first frame each way on a transport that may follow: not sealed, and never inside a session."""


DATA_HEAD = 5
"""Bytes before the payload of a DATA record."""

_DATA_HEAD = Struct(">BI")
_TYPES = {int(kind): kind for kind in RecordType}
_DATA_BYTE = bytes((RecordType.DATA,))


def encode(kind: RecordType, body: Message | bytes = b"") -> bytes:
    """One record, ready to be sealed."""
    if isinstance(body, Message):
        body = body.SerializeToString(deterministic=True)
    return bytes((kind,)) + body


def decode(record: bytes) -> tuple[RecordType, bytes]:
    """Type and body of an opened record; RemoteProtocolError for an empty one or an unknown type."""
    if not record:
        raise RemoteProtocolError("an empty record")
    kind = _TYPES.get(record[0])
    if kind is None:
        raise RemoteProtocolError(f"a record of the unknown type {record[0]}")
    return kind, record[1:]


def type_name(record: bytes) -> str:
    """The type of an opened record, whatever it is, for people."""
    kind = _TYPES.get(record[0]) if record else None
    return kind.name if kind is not None else "a record of no known type"


def encode_data(stream: int, payload: bytes | bytearray | memoryview) -> bytes:
    """A DATA record; copies ``payload`` once."""
    return b"".join((_DATA_HEAD.pack(RecordType.DATA, stream), payload))


def is_data(record: bytes) -> bool:
    """Whether to read it with :func:`decode_data`, which does not copy, instead of :func:`decode`."""
    return record[:1] == _DATA_BYTE


def decode_data(record: bytes) -> tuple[int, memoryview]:
    """Stream and payload of a whole DATA record, without a copy; RemoteProtocolError if it is too short."""
    if len(record) < DATA_HEAD:
        raise RemoteProtocolError("a DATA record without its head")
    return _DATA_HEAD.unpack_from(record)[1], memoryview(record)[DATA_HEAD:]
