"""The datagram socket of a peer."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from rdpeer.net.udp import Datagrams
from rdpeer.values import Endpoint


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        yield sock


async def test_it_goes_on_to_an_address_with_a_route(server: socket.socket) -> None:
    here = Endpoint.of(server.getsockname())
    datagrams = await Datagrams.connect([Endpoint("255.255.255.255", 9), here])  # needs SO_BROADCAST
    assert datagrams.remote == here
    datagrams.send(b"x")
    assert await asyncio.get_running_loop().sock_recvfrom(server, 10) == (
        b"x",
        (datagrams.local.ip, datagrams.local.port),
    )
    datagrams.close()


async def test_it_is_astray_when_the_kernel_would_take_another_way(
    server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    datagrams = await Datagrams.connect([Endpoint.of(server.getsockname())])
    assert not datagrams.is_astray
    for elsewhere in ("192.0.2.7", None):
        monkeypatch.setattr("rdpeer.net.udp.address_towards", lambda ip, port, to=elsewhere: to)
        assert datagrams.is_astray
    datagrams.close()


async def test_no_address_with_a_route_names_each() -> None:
    nowhere = Endpoint("255.255.255.255", 9)
    with pytest.raises(OSError, match=r"255\.255\.255\.255:9: .+; 255\.255\.255\.255:9: "):
        await Datagrams.connect([nowhere, nowhere])


async def test_a_flood_is_bounded(server: socket.socket) -> None:
    datagrams = await Datagrams.connect([Endpoint.of(server.getsockname())])
    for number in range(200):
        datagrams.datagram_received(bytes([number]), None)
    assert [await datagrams.receive() for _ in range(64)] == [bytes([number]) for number in range(64)]
    datagrams.close()


async def test_a_port_that_nobody_listens_at_is_no_more_than_silence() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        endpoint = Endpoint.of(sock.getsockname())
    datagrams = await Datagrams.connect([endpoint])
    datagrams.send(b"x")
    datagrams.send(b"x")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((endpoint.ip, endpoint.port))
        sock.sendto(b"here", (datagrams.local.ip, datagrams.local.port))
        assert await datagrams.receive() == b"here"
    datagrams.close()
    datagrams.close()
