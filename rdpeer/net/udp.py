"""A datagram socket to one server, connected: the kernel drops what comes from anywhere else."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Self

from rdpeer.net.interfaces import address_towards
from rdpeer.values import Endpoint

_MOST_UNREAD = 64
"""Datagrams; more are dropped, as a network may do anyway."""


class Datagrams(asyncio.DatagramProtocol):
    """Made by :meth:`connect`. ``remote`` is the server's endpoint."""

    remote: Endpoint

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport
        self._received: asyncio.Queue[bytes] = asyncio.Queue(_MOST_UNREAD)

    @classmethod
    async def connect(cls, endpoints: Sequence[Endpoint], local_ip: str | None = None) -> Self:
        """To the first of ``endpoints`` that there is a route to, from ``local_ip`` if it is given.

        Raises OSError naming each one tried.
        """
        local = (local_ip, 0) if local_ip else None
        loop = asyncio.get_running_loop()
        failures = []
        for endpoint in endpoints:
            try:
                _, datagrams = await loop.create_datagram_endpoint(cls, local, (endpoint.ip, endpoint.port))
            except OSError as error:
                failures.append(f"{endpoint}: {error.strerror or error}")
            else:
                datagrams.remote = endpoint
                return datagrams
        raise OSError("; ".join(failures))

    @property
    def local(self) -> Endpoint:
        """Our end."""
        return Endpoint.of(self._transport.get_extra_info("sockname"))

    @property
    def is_astray(self) -> bool:
        """Whether the kernel would take another way by now: our address is gone, or there is a new route."""
        return address_towards(self.remote.ip, self.remote.port) != self.local.ip

    def send(self, payload: bytes) -> None:
        """Sends one datagram; never waits, and never fails: what gets lost is asked again."""
        self._transport.sendto(payload)

    async def receive(self) -> bytes:
        """The next datagram."""
        return await self._received.get()

    def close(self) -> None:
        """Safe to call twice."""
        self._transport.abort()

    # what asyncio calls

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        if not self._received.full():
            self._received.put_nowait(data)

    def error_received(self, exc: Exception) -> None:
        """ICMP: refused, unreachable. Anyone on the way may say so; it is no more than no answer."""
