"""Messages made readable: endpoints and keys as people write them, numbers by name, secrets hidden.

Any message of the schema is shown by one rule: each field that is set, by its
name, in its wire order. What a field means is in one table beside it, by the
field's name or, where a name means different things, by the message's and the
field's. So a field that the table forgets is shown as what it is on the wire:
text cleaned for a terminal, bytes by their number. Nothing that is said here
leaves out that something was there: an unknown field is told by its number.

Hidden are passwords, tokens that open something, and what people say to each
other. A pairing token is shown by a mark (16 bits of its hash): two messages
with the same one can be told to belong together, and nobody can join by it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from rdpeer.errors import RemoteProtocolError
from rdpeer.values import PublicKey, ServerKey, printable
from rdpeer.wire import rendezvous_pb2, session_pb2
from rdpeer.wire.endpoints import unmangle
from rdpeer.wire.messages import parse

Value: TypeAlias = "str | int | list[Value] | dict[str, Value]"
"""What a field is shown as. Text in angle brackets stands for what is not shown."""

_MOST_ITEMS = 16
_MOST_STATES = 64
_SIGNATURE = 64
_LENGTH_DELIMITED = 2
_BARE = re.compile(r"[\w.:/@+-]+", re.ASCII)


class Shown(str):
    """Text of our own making: it is never quoted, so that no text from the wire can look like it."""

    __slots__ = ()


def member(message: Message) -> Message | None:
    """The one message that a RendezvousMessage or a Message holds; None where it is none that we know."""
    chosen = message.WhichOneof("union")
    held: Message | None = getattr(message, chosen) if chosen else None
    return held


def name(message: Message) -> str:
    """What the schema calls this kind of message."""
    return str(message.DESCRIPTOR.name)


def fields(message: Message) -> dict[str, Value]:
    """The fields that are set, by name, and the unknown ones, by number.

    What has its default value is not on the wire and not here, but for the two
    results that mean something by being nothing: RegisterPkResponse says OK so, and
    a PunchHoleResponse without an address says that there is no such ID.
    """
    shown = {field.name: _field(field, value) for field, value in message.ListFields()}
    if isinstance(message, rendezvous_pb2.RegisterPkResponse):
        shown = {"result": _number(message.DESCRIPTOR.fields_by_name["result"], message.result)} | shown
    if isinstance(message, rendezvous_pb2.PunchHoleResponse) and _failed(message):
        shown["failure"] = _number(message.DESCRIPTOR.fields_by_name["failure"], message.failure)
    unknown = UnknownFieldSet(message)
    for each in list(unknown)[:_MOST_ITEMS]:  # type: ignore[call-overload]
        shown[str(each.field_number)] = _unknown(each.wire_type, each.data)
    if len(unknown) > _MOST_ITEMS:
        shown["more"] = len(unknown) - _MOST_ITEMS
    return shown


def line(message: Message) -> str:
    """The message in one line: its name, and its fields as ``name=value``."""
    return render(name(message), fields(message))


def render(title: str, shown: dict[str, Value]) -> str:
    """What :func:`name` and :func:`fields` gave, in one line."""
    return " ".join([title, *_pairs(shown)])


def _pairs(shown: dict[str, Value]) -> Iterable[str]:
    return (f"{key}={_text(value)}" for key, value in shown.items())


def _text(value: Value) -> str:
    match value:
        case dict():
            return "{" + " ".join(_pairs(value)) + "}"
        case list():
            return "[" + " ".join(_text(item) for item in value) + "]"
        case Shown():
            return value
        case str():
            return value if _BARE.fullmatch(value) else '"' + value.replace('"', "'") + '"'
        case _:
            return str(value).lower()


def _failed(response: rendezvous_pb2.PunchHoleResponse) -> bool:
    return not (response.socket_addr or response.socket_addr_v6 or response.other_failure)


def _field(field: FieldDescriptor, value: Any) -> Value:
    if isinstance(value, str | bytes | int | Message):
        return _one(field, value)
    items = [_one(field, item) for item in value[:_MOST_ITEMS]]
    left = len(value) - len(items)
    return items + ([Shown(f"<{left} more>")] if left else [])


def _one(field: FieldDescriptor, value: Any) -> Value:
    *_, owner, own_name = field.full_name.split(".")
    show = _SHOWS.get(f"{owner}.{own_name}") or _SHOWS.get(own_name)
    if show is not None:
        return show(value)
    if isinstance(value, Message):
        return fields(value)
    if isinstance(value, bytes):
        return _size(value)
    if field.enum_type is not None:
        return _number(field, value)
    return printable(value) if isinstance(value, str) else value


def _number(field: FieldDescriptor, number: int) -> Value:
    """A number of an enum by its name, where it has one: the wire's enums are open."""
    known = field.enum_type.values_by_number.get(number) if field.enum_type else None
    return Shown(known.name) if known else number


def _unknown(wire_type: int, data: Any) -> Value:
    if wire_type == _LENGTH_DELIMITED:
        return _size(data)
    return data if isinstance(data, int) else Shown("<a group>")


def _size(value: bytes | str) -> Shown:
    unit = "bytes" if isinstance(value, bytes) else "characters"
    return Shown(f"<{len(value)} {unit}>")


def _hidden(value: bytes | str | int) -> Shown:
    return Shown("<hidden>" if isinstance(value, int) else f"<hidden, {_size(value)[1:]}")


def _token(value: str) -> Shown:
    mark = hashlib.sha256(value.encode()).hexdigest()[:4]
    return Shown(f"<token #{mark}>")


def _endpoint(value: bytes) -> Shown:
    try:
        return Shown(unmangle(value) or "<none>")
    except RemoteProtocolError:
        return Shown(f"<{len(value)} bytes, no endpoint>")


def _key(value: bytes) -> Shown:
    try:
        return Shown(PublicKey(value).fingerprint)
    except ValueError:
        return Shown(f"<{len(value)} bytes, no key>")


def _licence_key(value: str) -> Shown:
    """A server's key is public; a text in its place works as a password (docs/PROTOCOL.md 9.7)."""
    public = ServerKey(value).public
    return Shown(public.fingerprint) if public else _hidden(value)


def _signed_id(value: bytes) -> Value:
    """A signature, not verified here, and the ID and key that it is for (docs/PROTOCOL.md 3.1)."""
    if not value:
        return Shown("<none>")
    try:
        if len(value) < _SIGNATURE:
            raise RemoteProtocolError("no room for a signature")
        return fields(parse(session_pb2.IdPk, value[_SIGNATURE:]))
    except RemoteProtocolError:
        return Shown(f"<{len(value)} bytes, no signed ID>")


def _states(value: bytes) -> Shown:
    """A bit a peer, in the order in which they were asked for."""
    bits = "".join(f"{byte:08b}" for byte in value[: _MOST_STATES // 8])
    return Shown(bits + ("..." if len(value) * 8 > _MOST_STATES else ""))


def _exchanged_key(value: bytes) -> Shown:
    return _key(value) if len(value) == 32 else _size(value)


def _path(value: str) -> str:
    """Without the query, where a token may be."""
    return printable(value.partition("?")[0])


_SHOWS: dict[str, Callable[[Any], Value]] = {
    "socket_addr": _endpoint,
    "socket_addr_v6": _endpoint,
    "local_addr": _endpoint,
    "licence_key": _licence_key,
    "uuid": _hidden,
    "RequestRelay.uuid": _token,
    "RelayResponse.uuid": _token,
    "token": _hidden,
    "switch_code": _hidden,
    "pk": _key,
    "PunchHoleResponse.pk": _signed_id,
    "RelayResponse.pk": _signed_id,
    "SignedId.id": _signed_id,
    "PublicKey.asymmetric_value": _key,
    "OnlineResponse.states": _states,
    "KeyExchange.keys": _exchanged_key,
    "HttpProxyRequest.path": _path,
    "HeaderEntry.value": _hidden,
    "password": _hidden,
    "hwid": _hidden,
    "session_id": _hidden,
    "avatar": _size,
    "Auth2FA.code": _hidden,
    "ChatMessage.text": _hidden,
}
