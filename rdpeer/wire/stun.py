"""STUN binding requests and their answers (RFC 8489): from which endpoint do my datagrams come?

All integers are big endian. A message is 20 bytes (type, length of the rest, a constant, twelve random
bytes that the answer repeats) and attributes, each padded to four bytes.
"""

from __future__ import annotations

import ipaddress
import struct

from rdpeer.errors import RemoteProtocolError
from rdpeer.values import Endpoint

TRANSACTION_SIZE = 12

_BINDING_REQUEST, _BINDING_SUCCESS = 0x0001, 0x0101
_COOKIE = 0x2112A442
_XOR_MAPPED_ADDRESS, _SOFTWARE = 0x0020, 0x8022
_V4, _V6 = 1, 2
_HEADER = struct.Struct("!HHI12s")
_ATTRIBUTE = struct.Struct("!HH")

# As long as the longest answer of a server that never sends more than it was sent: one with an IPv6 address.
_PADDING = b"rdpeer".ljust(20)


def encode_request(transaction: bytes) -> bytes:
    """A binding request, as long as the longest answer of ours; ``transaction``: twelve random bytes."""
    return _message(_BINDING_REQUEST, transaction, _SOFTWARE, _PADDING)


def parse_request(datagram: bytes) -> bytes | None:
    """The transaction of a binding request; None for anything else."""
    try:
        kind, transaction = _parse_header(datagram)
    except RemoteProtocolError:
        return None
    return transaction if kind == _BINDING_REQUEST else None


def encode_answer(transaction: bytes, source: Endpoint) -> bytes:
    """What ``source`` is told about itself: 32 bytes, 44 for an IPv6 address."""
    address = source.address
    masked = int.from_bytes(address.packed, "big") ^ _mask(transaction, len(address.packed))
    port = source.port ^ (_COOKIE >> 16)
    value = struct.pack("!xBH", _V6 if source.is_v6 else _V4, port) + masked.to_bytes(
        len(address.packed), "big"
    )
    return _message(_BINDING_SUCCESS, transaction, _XOR_MAPPED_ADDRESS, value)


def parse_answer(datagram: bytes, transaction: bytes) -> Endpoint:
    """Our endpoint as the server saw it; RemoteProtocolError unless this answers ``transaction``."""
    kind, answered = _parse_header(datagram)
    if kind != _BINDING_SUCCESS or answered != transaction:
        raise RemoteProtocolError("not the answer to our STUN request")
    at = _HEADER.size
    while at + _ATTRIBUTE.size <= len(datagram):
        name, size = _ATTRIBUTE.unpack_from(datagram, at)
        at += _ATTRIBUTE.size
        if at + size > len(datagram):
            break
        if name == _XOR_MAPPED_ADDRESS:
            return _unmask(datagram[at : at + size], transaction)
        at += size + -size % 4
    raise RemoteProtocolError("a STUN answer without an address")


def _message(kind: int, transaction: bytes, attribute: int, value: bytes) -> bytes:
    size = _ATTRIBUTE.size + len(value)
    return _HEADER.pack(kind, size, _COOKIE, transaction) + _ATTRIBUTE.pack(attribute, len(value)) + value


def _parse_header(datagram: bytes) -> tuple[int, bytes]:
    """Type and transaction of a message whose length is right."""
    if len(datagram) < _HEADER.size:
        raise RemoteProtocolError(f"{len(datagram)} bytes are no STUN message")
    kind, size, cookie, transaction = _HEADER.unpack_from(datagram)
    if cookie != _COOKIE or size != len(datagram) - _HEADER.size or size % 4:
        raise RemoteProtocolError("not a STUN message")
    return kind, transaction


def _unmask(value: bytes, transaction: bytes) -> Endpoint:
    family, size = (value[1], len(value) - 4) if len(value) > 4 else (0, 0)
    if (family, size) not in ((_V4, 4), (_V6, 16)):
        raise RemoteProtocolError("a STUN answer with an address that cannot be read")
    port = int.from_bytes(value[2:4], "big") ^ (_COOKIE >> 16)
    packed = (int.from_bytes(value[4:], "big") ^ _mask(transaction, size)).to_bytes(size, "big")
    if not port:
        raise RemoteProtocolError("a STUN answer with port 0")
    return Endpoint.of((str(ipaddress.ip_address(packed)), port))


def _mask(transaction: bytes, size: int) -> int:
    return int.from_bytes((_COOKIE.to_bytes(4, "big") + transaction)[:size], "big")
