"""Tunnels through a proxy: a connected socket goes in, and afterwards leads to where it was asked to.

Names are resolved by the proxy. A proxy's answer is read to its last byte and
not one beyond: a server that speaks first may have spoken already. Nobody vouches
for a proxy, so its answers are bounded, and printed only after
``values.printable``; the caller sets the time that they may take.
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import re
import socket
import struct

from rdpeer.net.outbound import ProxyAddress
from rdpeer.values import ServerAddress, join_host_port, printable

_MAX_HEADER = 8192
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: ([^\r\n]*))?\r?\n")

_VERSION = 5
_CONNECT = 1
_NO_CREDENTIALS, _PASSWORD = 0, 2
_V4, _NAME, _V6 = 1, 3, 4
_ADDRESS_BYTES = {_V4: 4, _V6: 16}
_REFUSALS = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "timed out",
    7: "it cannot connect",
    8: "it does not take this kind of address",
}


async def tunnel(sock: socket.socket, proxy: ProxyAddress, address: ServerAddress) -> None:
    """Has the proxy at the other end of ``sock`` (non-blocking) connect it to ``address``.

    Raises OSError with the reason, where it does not; the socket remains the caller's.
    """
    wire = _Wire(sock)
    if proxy.scheme == "http":
        await _http_connect(wire, proxy, address)
    else:
        await _socks5(wire, proxy, address)


class _Wire:
    """Reads so many bytes and no more."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._sock, data)

    async def exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = await self._loop.sock_recv(self._sock, count - len(data))
            if not piece:
                raise ConnectionResetError("it closed the connection")
            data += piece
        return data


async def _http_connect(wire: _Wire, proxy: ProxyAddress, address: ServerAddress) -> None:
    """RFC 9110, 9.3.6."""
    place = join_host_port(address.host, address.port)
    request = f"CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n"
    if proxy.user:
        credentials = base64.b64encode(f"{proxy.user}:{proxy.password}".encode()).decode()
        request += f"Proxy-Authorization: Basic {credentials}\r\n"
    await wire.send(f"{request}\r\n".encode())
    header = b""
    while not header.endswith((b"\r\n\r\n", b"\n\n")):
        if len(header) == _MAX_HEADER:
            raise OSError("its answer is too long")
        header += await wire.exactly(1)
    status = _STATUS.match(header)
    if status is None:
        raise OSError("it does not speak HTTP")
    if not status[1].startswith(b"2"):
        raise OSError(f"HTTP {printable(b' '.join(filter(None, status.groups())).decode('latin-1'), 80)}")


async def _socks5(wire: _Wire, proxy: ProxyAddress, address: ServerAddress) -> None:
    """RFC 1928 and RFC 1929."""
    methods = [_NO_CREDENTIALS, _PASSWORD] if proxy.user else [_NO_CREDENTIALS]
    await wire.send(bytes([_VERSION, len(methods), *methods]))
    version, method = await wire.exactly(2)
    if version != _VERSION:
        raise OSError("it does not speak SOCKS5")
    if method not in methods:
        raise OSError("it wants other credentials" if proxy.user else "it wants a user and a password")
    if method == _PASSWORD:
        user, password = proxy.user.encode(), proxy.password.encode()
        await wire.send(bytes([1, len(user)]) + user + bytes([len(password)]) + password)
        if (await wire.exactly(2))[1] != 0:
            raise OSError("the user or the password is wrong")
    await wire.send(bytes([_VERSION, _CONNECT, 0]) + _destination(address))
    version, refusal, _, kind = await wire.exactly(4)
    if version != _VERSION:
        raise OSError("it does not speak SOCKS5")
    if refusal:
        raise OSError(_REFUSALS.get(refusal, f"refused with {refusal}"))
    length = (await wire.exactly(1))[0] if kind == _NAME else _ADDRESS_BYTES.get(kind)
    if length is None:
        raise OSError("its answer cannot be read")
    await wire.exactly(length + 2)


def _destination(address: ServerAddress) -> bytes:
    try:
        ip = ipaddress.ip_address(address.host).packed
    except ValueError:
        name = address.host.encode()
        return bytes([_NAME, len(name)]) + name + struct.pack("!H", address.port)
    return bytes([_V4 if len(ip) == 4 else _V6]) + ip + struct.pack("!H", address.port)
