"""Endpoints as they stand in messages: mangled (docs/PROTOCOL.md 10.2).

The mangling hides nothing; it keeps address rewriting middleboxes from finding
an address in the payload. IPv4, with ``tm`` any 32-bit number, ``ip`` the four
octets read little endian, as one little-endian integer without its trailing
zero bytes:

    ((ip + tm) << 49) | (tm << 17) | (port + (tm & 0xFFFF))

IPv6: the sixteen octets, then the port, little endian: 18 bytes.
"""

from __future__ import annotations

import ipaddress

from rdpeer.errors import RemoteProtocolError
from rdpeer.values import Endpoint

_V4_BYTES = 16
_V6_BYTES = 18


def mangle(endpoint: Endpoint, tm: int) -> bytes:
    """``endpoint`` for a message; ``tm`` is any number from 0 to 2**32 - 1 (unused for IPv6)."""
    address = ipaddress.ip_address(endpoint.ip)
    if isinstance(address, ipaddress.IPv6Address):
        return address.packed + endpoint.port.to_bytes(2, "little")
    ip = int.from_bytes(address.packed, "little")
    value = (ip + tm) << 49 | tm << 17 | (endpoint.port + (tm & 0xFFFF))
    return value.to_bytes(_V4_BYTES, "little").rstrip(b"\0")


def unmangle(data: bytes) -> Endpoint | None:
    """The endpoint in ``data``; None where it says that there is none (empty, or port 0).

    All arithmetic is modulo 2**32 and 2**16: hostile input gives some address,
    never an exception of its own. Raises RemoteProtocolError for a length that
    no sender makes.
    """
    if len(data) > _V4_BYTES:
        if len(data) != _V6_BYTES:
            raise RemoteProtocolError(f"{len(data)} bytes are not a mangled endpoint")
        address = ipaddress.IPv6Address(data[:16])
        port = int.from_bytes(data[16:], "little")
        return Endpoint.of((str(address), port)) if port else None
    value = int.from_bytes(data, "little")
    tm = value >> 17 & 0xFFFFFFFF
    ip = (value >> 49) - tm & 0xFFFFFFFF
    port = (value & 0xFFFFFF) - (tm & 0xFFFF) & 0xFFFF
    if not port:
        return None
    return Endpoint(str(ipaddress.IPv4Address(ip.to_bytes(4, "little"))), port)
