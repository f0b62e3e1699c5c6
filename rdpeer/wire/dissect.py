"""Captured bytes taken apart: messages, bare or in frames, and what is sealed.

Nothing on the wire says what it is. A bare message (a datagram, or a frame's
payload that somebody has copied) begins with a tag whose low two bits are 2,
as every member's are; as a frame's header that would announce at least 16 KiB.
So what reads as a message is one, and everything else is cut into frames.

Datagrams of other protocols are told by their form (rdpeer.wire.datagrams).

The two schemas share some numbers: 9 is PunchHole at a server, and Hash between
peers. The better fit is taken: the reading with fewer parts that no sender
would write. Both ends of a stream of frames seal all that follows PublicKey.
"""

from __future__ import annotations

import unicodedata
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from rdpeer.errors import RemoteProtocolError
from rdpeer.values import PeerId
from rdpeer.wire import datagrams, readable
from rdpeer.wire.endpoints import unmangle
from rdpeer.wire.frames import FrameReader
from rdpeer.wire.messages import parse
from rdpeer.wire.rendezvous_pb2 import RendezvousMessage
from rdpeer.wire.session_pb2 import Message as SessionMessage
from rdpeer.wire.session_pb2 import PublicKey

LONGEST_FRAME = 16 * 1024 * 1024
"""Bytes; no header that announces more is believed."""

_MOST_SOURCES = 256
_LENGTH_DELIMITED = 2
_ENDPOINTS = ("socket_addr", "socket_addr_v6", "local_addr")


class Schema(Enum):
    """Whose messages are expected."""

    RENDEZVOUS = "rendezvous"
    """Between a peer and a server or relay."""
    SESSION = "session"
    """Between two peers."""


_KINDS: dict[Schema, type[Message]] = {Schema.RENDEZVOUS: RendezvousMessage, Schema.SESSION: SessionMessage}


@dataclass(frozen=True, slots=True)
class Part:
    """One thing found. ``source`` is that of the piece that it ended in, ``size`` its bytes, without a
    frame's header."""

    source: str
    carrier: str
    """``message``, ``frame``, ``datagram`` or ``rest``."""
    size: int
    name: str
    """The message's name in the schema, ``KCP``, ``STUN``, ``sealed``, ``empty`` or ``unreadable``."""
    fields: dict[str, readable.Value] = field(default_factory=dict)
    problem: str | None = None
    """Why it could not be read, in one line."""

    def __str__(self) -> str:
        what = self.problem or readable.render(self.name, self.fields)
        place = f"{self.source}  " if self.source else ""
        return f"{place}{self.carrier}, {self.size} bytes: {what}"


def identify(payload: bytes, schemas: Sequence[Schema] = tuple(Schema)) -> Message | None:
    """The member that ``payload`` holds: of those readings that name one, the first of the best."""
    readings = (_member(_KINDS[schema], payload) for schema in schemas)
    return min((found for found in readings if found is not None), key=_oddities, default=None)


def _newer(payload: bytes, schema: Schema) -> Message | None:
    """``payload`` as a message whose one member is none that we know, for its number and length."""
    try:
        message = parse(_KINDS[schema], payload)
    except RemoteProtocolError:
        return None
    unknown = [each.wire_type for each in UnknownFieldSet(message)]  # type: ignore[attr-defined]
    return message if unknown == [_LENGTH_DELIMITED] else None


class Dissector:
    """Takes captured pieces in their order.

    A frame may go on in the next piece of the same source; those of MOST_SOURCES
    sources are kept, then the oldest is given up.
    """

    def __init__(self, schemas: Sequence[Schema] = tuple(Schema)) -> None:
        self._schemas = schemas
        self._unfinished: OrderedDict[str, FrameReader] = OrderedDict()
        self._sealed = False

    def take(self, source: str, data: bytes) -> Iterable[Part]:
        """What ``data``, the next piece of ``source`` (any text that names it), holds or ends."""
        reader = self._unfinished.pop(source, None)
        if reader is None and (part := self._whole(source, data)):
            yield part
            return
        reader = reader or FrameReader(LONGEST_FRAME, buffer=0)
        left = memoryview(data)
        try:
            while True:
                count = _copied(left, reader)
                left = left[count:]
                payloads = reader.advance(count)
                yield from (self._frame(source, payload) for payload in payloads)
                if not (left or payloads):
                    break
        except RemoteProtocolError as error:
            rest = len(reader.take_rest()) + len(left)
            yield Part(source, "rest", rest, "unreadable", problem=f"no message, and {error}")
        if reader.pending:
            self._unfinished[source] = reader
        if len(self._unfinished) > _MOST_SOURCES:
            yield self._given_up(*self._unfinished.popitem(last=False))

    def end(self) -> Iterable[Part]:
        """What is left when there are no more pieces."""
        while self._unfinished:
            yield self._given_up(*self._unfinished.popitem(last=False))

    def _whole(self, source: str, data: bytes) -> Part | None:
        if not data:
            return Part(source, "message", 0, "empty")
        message = identify(data, self._schemas)
        if message is None and not self._sealed:
            message = _newer(data, self._schemas[0])
        if message is not None:
            return self._read(source, "message", data, message)
        found = datagrams.describe(data)
        return Part(source, "datagram", len(data), *found) if found else None

    def _frame(self, source: str, payload: bytes) -> Part:
        message = identify(payload, self._schemas) if payload else None
        if message is not None:
            return self._read(source, "frame", payload, message)
        if not payload or self._sealed:
            return Part(source, "frame", len(payload), "sealed" if payload else "empty")
        if newer := _newer(payload, self._schemas[0]):
            return self._read(source, "frame", payload, newer)
        return Part(source, "frame", len(payload), "unreadable", problem="no message, or a sealed one")

    def _read(self, source: str, carrier: str, payload: bytes, message: Message) -> Part:
        self._sealed = self._sealed or isinstance(message, PublicKey)
        return Part(source, carrier, len(payload), readable.name(message), readable.fields(message))

    def _given_up(self, source: str, reader: FrameReader) -> Part:
        rest = len(reader.take_rest())
        return Part(source, "rest", rest, "unreadable", problem="no message, or a frame that is cut short")


def _copied(data: memoryview, reader: FrameReader) -> int:
    """How many bytes of ``data`` the reader has taken."""
    with reader.writable() as room:
        count = min(len(room), len(data))
        room[:count] = data[:count]
    return count


def _member(kind: type[Message], payload: bytes) -> Message | None:
    try:
        return readable.member(parse(kind, payload))
    except RemoteProtocolError:
        return None


def _oddities(message: Message) -> int:
    """How many parts no sender would write: fields that the schema has not, text or places that are none."""
    odd = len(UnknownFieldSet(message))
    for each, value in message.ListFields():
        values = [value] if isinstance(value, str | bytes | int | Message) else value
        for one in values:
            if isinstance(one, Message):
                odd += _oddities(one)
            elif isinstance(one, str):
                odd += any(unicodedata.category(c) == "Cc" for c in one) or not _may_be(each.name, one)
            elif isinstance(one, bytes) and each.name in _ENDPOINTS:
                odd += not _is_endpoint(one)
    return odd


def _may_be(name: str, text: str) -> bool:
    try:
        return name != "id" or bool(PeerId(text))
    except ValueError:
        return False


def _is_endpoint(mangled: bytes) -> bool:
    try:
        return unmangle(mangled) is not None
    except RemoteProtocolError:
        return False
