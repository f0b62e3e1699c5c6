"""Does a server answer at each of its ports? Asked as any peer would, so it works for every server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from rdpeer.net.connections import Connection
from rdpeer.net.resolve import resolve
from rdpeer.net.transport.dial import first_connected
from rdpeer.net.udp import Datagrams
from rdpeer.server.limits import MAX_FRAME
from rdpeer.values import ServerAddress
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.messages import parse

_PATIENCE = 3.0
_AGAIN = 0.5
_NOBODY = "health-check"

Probe = Callable[[ServerAddress], Awaitable[str | None]]
"""What is wrong, None if nothing is; OSError too says what is wrong."""


def own_address(status: dict[str, Any]) -> ServerAddress:
    """Where the server whose status this is can be asked from its own machine."""
    loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
    bound = status["bind"][0]
    return ServerAddress(loopback.get(bound, bound), status["port"])


async def check(address: ServerAddress, services: list[str]) -> dict[str, str | None]:
    """For each port of ``services`` what is wrong, None where nothing is. ``address`` has the base port."""
    probes: list[tuple[str, Probe, ServerAddress]] = []
    if "rendezvous" in services:
        probes += [
            (f"{address.port - 1}/tcp query", _nat_test, address.offset(-1)),
            (f"{address.port}/tcp rendezvous", _nat_test, address),
            (f"{address.port}/udp registration", _registration, address),
        ]
    if "relay" in services:
        probes.append((f"{address.port + 1}/tcp relay", _connects, address.offset(1)))
    found = await asyncio.gather(*(_outcome(probe, place) for _, probe, place in probes))
    return {name: problem for (name, _, _), problem in zip(probes, found, strict=True)}


async def _outcome(probe: Probe, address: ServerAddress) -> str | None:
    try:
        async with asyncio.timeout(_PATIENCE):
            return await probe(address)
    except TimeoutError:
        return f"no answer within {_PATIENCE:g} s"
    except OSError as error:
        return str(error)


async def _nat_test(address: ServerAddress) -> str | None:
    sock = await first_connected(address)
    with sock:
        connection = Connection(sock, (await resolve(address))[0])
        question = wire.RendezvousMessage(test_nat_request=wire.TestNatRequest())
        connection.send(question.SerializeToString())
        answer = await connection.receive(MAX_FRAME)
        if answer is None:
            return "it closed the connection"
        is_one = parse(wire.RendezvousMessage, answer).WhichOneof("union") == "test_nat_response"
        return None if is_one else "it answered something else"


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
            return None if is_one else "it answered something else"
    finally:
        datagrams.close()


async def _connects(address: ServerAddress) -> str | None:
    (await first_connected(address)).close()
    return None
