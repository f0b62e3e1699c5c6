"""Does a server answer at each of its ports? Asked as any peer would, so it works for every server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from rdpeer.errors import RdpeerError
from rdpeer.net.connections import Connection
from rdpeer.net.resolve import resolve
from rdpeer.net.stream_connections import StreamConnection
from rdpeer.net.tls import unverified_tls
from rdpeer.net.transport import websocket
from rdpeer.net.transport.dial import first_connected
from rdpeer.net.udp import Datagrams
from rdpeer.server.limits import MAX_FRAME
from rdpeer.values import Endpoint, ServerAddress, WebAddress
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.messages import parse

_PATIENCE = 3.0
_AGAIN = 0.5
_MOMENT = 0.3
"""Seconds in which a relay that does not serve a leg has closed it."""

_NOBODY = "health-check"
_CLOSED, _ELSE = "it closed the connection", "it answered something else"

Probe = Callable[[ServerAddress], Awaitable[str | None]]
"""What is wrong, None if nothing is; OSError and RdpeerError too say what is wrong."""


def own_address(status: dict[str, Any]) -> ServerAddress:
    """Where the server whose status this is can be asked from its own machine."""
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
    bound = status["bind"][0]
    return ServerAddress(loopback.get(bound, bound), status["port"])


async def check(
    address: ServerAddress, services: list[str], *, tls: bool | None = None
) -> dict[str, str | None]:
    """For each port of ``services`` what is wrong, None where nothing is. ``address`` has the base port.

    ``tls``: whether the WebSocket ports speak it; None where nobody knows, then both are tried.
    """
    probes: list[tuple[str, Probe, ServerAddress]] = []
    if "rendezvous" in services:
        probes += [
            (f"{address.port - 1}/tcp query", _nat_test, address.offset(-1)),
            (f"{address.port}/tcp rendezvous", _nat_test, address),
            (f"{address.port}/udp registration", _registration, address),
            (
                f"{address.port + 2}/tcp rendezvous by WebSocket",
                partial(_web_nat_test, tls),
                address.offset(2),
            ),
        ]
    if "relay" in services:
        probes += [
            (f"{address.port + 1}/tcp relay", _relay, address.offset(1)),
            (f"{address.port + 3}/tcp relay by WebSocket", partial(_web_relay, tls), address.offset(3)),
        ]
    found = await asyncio.gather(*(_outcome(probe, place) for _, probe, place in probes))
    return {name: problem for (name, _, _), problem in zip(probes, found, strict=True)}


async def _outcome(probe: Probe, address: ServerAddress) -> str | None:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await probe(address)
    except TimeoutError:
        return f"no answer within {_PATIENCE:g} s"
    except (OSError, RdpeerError) as error:
        return str(error)


@asynccontextmanager
async def _connection(address: ServerAddress) -> AsyncIterator[Connection]:
    with await first_connected(address) as sock:
        yield Connection(sock, Endpoint.of(sock.getpeername()))


@asynccontextmanager
async def _web_connection(tls: bool | None, address: ServerAddress) -> AsyncIterator[Connection]:
    stream = await _web_stream(tls, address)
    try:
        yield StreamConnection(stream, stream.remote)
    finally:
        stream.abort()


async def _web_stream(tls: bool | None, address: ServerAddress) -> websocket.WebSocketStream:
    place = WebAddress(address.host, address.port, "wss" if tls else "ws")
    trust = unverified_tls() if tls else None
    try:
        return await websocket.connect(place, limit=MAX_FRAME, timeout=_PATIENCE, trust=trust)
    except OSError:
        if tls is not None:
            raise
        return await _web_stream(True, address)


async def _nat_test(address: ServerAddress) -> str | None:
    async with _connection(address) as connection:
        return await _tells_port(connection)


async def _web_nat_test(tls: bool | None, address: ServerAddress) -> str | None:
    async with _web_connection(tls, address) as connection:
        return await _tells_port(connection)


async def _tells_port(connection: Connection) -> str | None:
    question = wire.RendezvousMessage(test_nat_request=wire.TestNatRequest())
    connection.send(question.SerializeToString())
    answer = await connection.receive(MAX_FRAME)
    if answer is None:
        return _CLOSED
    is_one = parse(wire.RendezvousMessage, answer).WhichOneof("union") == "test_nat_response"
    return None if is_one else _ELSE


async def _registration(address: ServerAddress) -> str | None:
    question = wire.RendezvousMessage(register_peer=wire.RegisterPeer(id=_NOBODY))
    datagrams = await Datagrams.connect(await resolve(address))
    try:
        while True:
            datagrams.send(question.SerializeToString())
            try:
                async with asyncio.timeout(_AGAIN):
                    answer = await datagrams.receive()
            except TimeoutError:
                continue  # one of the two was lost
            is_one = parse(wire.RendezvousMessage, answer).WhichOneof("union") == "register_peer_response"
            return None if is_one else _ELSE
    finally:
        datagrams.close()


async def _relay(address: ServerAddress) -> str | None:
    """It answers nothing to a leg, but it waits for what the leg wants, and closes one that ends without."""
    async with _connection(address) as connection:
        if problem := await _says(connection):
            return problem
        connection.end()
        return None if await connection.receive(MAX_FRAME) is None else _ELSE


async def _web_relay(tls: bool | None, address: ServerAddress) -> str | None:
    async with _web_connection(tls, address) as connection:
        return await _says(connection)


async def _says(connection: Connection) -> str | None:
    """What a relay did to a leg that it should have waited for."""
    try:
        async with asyncio.timeout(_MOMENT):
            return _CLOSED if await connection.receive(MAX_FRAME) is None else _ELSE
    except TimeoutError:
        return None
