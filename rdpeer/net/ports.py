"""The server's ports: a set of sockets at fixed distances from one base, at several addresses.

    base - 1  TCP   NAT test and online query
    base      TCP   rendezvous
    base      UDP   registration
    base + 1  TCP   relay
    base + 2  TCP   rendezvous by WebSocket
    base + 3  TCP   relay by WebSocket

IPv4 and IPv6 are bound apart (IPV6_V6ONLY): each datagram is then answered by
the socket that received it, and a machine without one of them serves the other.
"""

from __future__ import annotations

import errno
import os
import secrets
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from rdpeer.errors import UsageError
from rdpeer.net.connections import Listener
from rdpeer.net.interfaces import address_towards
from rdpeer.values import Endpoint, join_host_port

Service = Literal["rendezvous", "relay"]

_BACKLOG = 1024
_ATTEMPTS = 100
_GUESSES = range(20_000, 32_000)  # below the ports that systems give to outgoing connections


@dataclass(slots=True)
class ServerPorts:
    """Bound sockets; each list has one entry for every address that could be bound."""

    base: int
    addresses: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Those that could not, with the reason."""

    query: list[Listener] = field(default_factory=list)
    rendezvous: list[Listener] = field(default_factory=list)
    relay: list[Listener] = field(default_factory=list)
    web_rendezvous: list[Listener] = field(default_factory=list)
    web_relay: list[Listener] = field(default_factory=list)
    datagrams: list[socket.socket] = field(default_factory=list)

    def close(self) -> None:
        web = (*self.web_rendezvous, *self.web_relay)
        for sock in (*self.query, *self.rendezvous, *self.relay, *web, *self.datagrams):
            sock.close()


class _PortTaken(Exception):
    """Which one stands in the text."""


def bind_ports(addresses: Sequence[str], base: int, only: Service | None = None) -> ServerPorts:
    """Binds the set at every one of ``addresses`` (IP literals); ``base`` 0 finds one that is free at all.

    ``only`` leaves out the ports of the other service.

    An address that this machine does not have is left out, unless it is the only one.
    UsageError, naming address and port, where nothing can be bound or a port is taken.
    """
    if base:
        try:
            return _bind_all(addresses, base, only)
        except _PortTaken as taken:
            raise UsageError(
                str(taken), hint="is another server running? --port chooses another set"
            ) from None
    for _ in range(_ATTEMPTS):
        try:
            return _bind_all(addresses, _GUESSES.start + secrets.randbelow(len(_GUESSES)), only)
        except _PortTaken:
            continue
    raise UsageError("cannot find free ports")


def listen_locally(address: Endpoint) -> Listener:
    """Listens at a loopback address, for this machine alone; UsageError where that cannot be."""
    if not address.address.is_loopback:
        raise UsageError(f"{address} is not a loopback address", hint="others would read it; use a proxy")
    try:
        return _bind(address.ip, address.port, socket.SOCK_STREAM)
    except _PortTaken as taken:
        raise UsageError(str(taken)) from None
    except OSError as error:
        raise UsageError(f"cannot listen at {address}: {error.strerror}") from None


def local_address(addresses: Sequence[str]) -> str:
    """The bound address that another machine would use: the one of the default route where all are bound.

    The loopback address where there is nothing better. Sends nothing.
    """
    for wildcard, probe in (("0.0.0.0", "192.0.2.1"), ("::", "2001:db8::1")):  # noqa: S104 - compared, not bound
        if wildcard in addresses and (found := address_towards(probe)):
            return found
    return next((address for address in addresses if address not in ("0.0.0.0", "::")), "127.0.0.1")  # noqa: S104


def allow_descriptors(wanted: int) -> int:
    """Raises the process's limit of open files towards ``wanted``; returns how many there may be."""
    try:
        import resource
    except ImportError:  # Windows: sockets have no such limit there
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return wanted if soft == resource.RLIM_INFINITY else min(wanted, soft)


def _bind_all(addresses: Sequence[str], base: int, only: Service | None) -> ServerPorts:
    ports = ServerPorts(base)
    try:
        for address in addresses:
            try:
                _bind_at(ports, address, only)
            except OSError as error:
                ports.left_out.append(f"{join_host_port(address, base)} ({error.strerror})")
        if not ports.addresses:
            raise UsageError(f"cannot listen at {', '.join(ports.left_out)}")
    except BaseException:
        ports.close()
        raise
    return ports


def _bind_at(ports: ServerPorts, address: str, only: Service | None) -> None:
    """All that are wanted, or none. Adds them to ``ports``."""
    rendezvous: list[tuple[list[socket.socket], int, socket.SocketKind]] = [
        (ports.query, ports.base - 1, socket.SOCK_STREAM),
        (ports.rendezvous, ports.base, socket.SOCK_STREAM),
        (ports.web_rendezvous, ports.base + 2, socket.SOCK_STREAM),
        (ports.datagrams, ports.base, socket.SOCK_DGRAM),
    ]
    relay = [
        (ports.relay, ports.base + 1, socket.SOCK_STREAM),
        (ports.web_relay, ports.base + 3, socket.SOCK_STREAM),
    ]
    wanted = {"rendezvous": rendezvous, "relay": relay, None: rendezvous + relay}[only]
    made: list[socket.socket] = []
    try:
        for _, port, kind in wanted:
            made.append(_bind(address, port, kind))
    except BaseException:
        for sock in made:
            sock.close()
        raise
    for (bound, _, _), sock in zip(wanted, made, strict=True):
        bound.append(sock)
    ports.addresses.append(address)


def _bind(address: str, port: int, kind: socket.SocketKind) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM and os.name == "posix":
            sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
            )  # past TIME_WAIT; on Windows it would steal
        sock.bind((address, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            name = "TCP" if kind == socket.SOCK_STREAM else "UDP"
            raise _PortTaken(f"{name} port {port} at {address} is taken") from None
        raise
    return sock
