"""The NAT probe, against the bundled server: no NAT is between the two."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from parties import fails

from rdpeer.errors import NoPath, UsageError
from rdpeer.peer.nat import nat
from rdpeer.protocol.nat import Mapping
from rdpeer.server import Server
from rdpeer.settings import Settings
from rdpeer.values import Endpoint, WebAddress


async def test_the_bundled_server_tells_that_there_is_no_nat(server: Callable[..., Server]) -> None:
    async with server() as running:
        view = await nat(Settings(server=running.link.server))
    found = view.tcp
    assert view.udp == (Endpoint("127.0.0.1", view.udp_port),)
    assert found.mapping is Mapping.ASYMMETRIC
    assert found.ports == (found.local.port, found.local.port)
    assert found.external == found.local
    assert found.translates is False


async def test_without_a_server_there_is_nobody_to_ask() -> None:
    with pytest.raises(UsageError, match="no server"):
        await nat(Settings())


async def test_by_websocket_no_nat_matters() -> None:
    with fails(NoPath, 5, "no direct path, whatever the NAT does: the server is reached by WebSocket"):
        await nat(Settings(server=WebAddress.parse_url("wss://rs.example")))
