"""Two servers asked the same: what is compared, and that ours answers like itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pytest
from bare_clients import HOST
from tls import trusted

from rdpeer.errors import ServerUnreachable, UsageError
from rdpeer.server import Limits, Server
from rdpeer.server import compare_cases as cases
from rdpeer.server.compare import Case, Outcome, compare
from rdpeer.server.compare_cases import by_tcp, by_udp, connecting, registration, relay, slow, web
from rdpeer.values import ServerAddress, ServerLink

MakeServer = Callable[..., Server]


PUNCHED = "A hears PunchHoleResponse(socket_addr=B, pk=signed B's key, nat_type=0, is_udp=True)"


async def outcomes(first: Server, second: Server, chosen: Sequence[Case]) -> dict[str, Outcome]:
    """By name; the two of them have different keys and ports."""
    found = [outcome async for outcome in compare((first.link, second.link), (HOST, HOST), chosen)]
    return {outcome.name: outcome for outcome in found}


async def test_what_differs_is_shown_and_what_is_alike_is_not(server: MakeServer) -> None:
    chosen = (registration.first_registration, connecting.connecting, relay.half_close)
    async with server() as plain, server(always_use_relay=True) as relaying:
        found = await outcomes(plain, relaying, chosen)
    assert {name: outcome.same for name, outcome in found.items()} == {
        "first-registration": True,
        "connecting": False,
        "half-close": True,
    }
    assert found["first-registration"].what == "A peer that is not known registers, and stays online."
    assert found["first-registration"].first == [
        "B says RegisterPeer(id=B's)",
        "B hears RegisterPeerResponse(request_pk=True)",
        "B says RegisterPk(id=B's, uuid=its uuid, pk=its pk)",
        "B hears RegisterPkResponse()",
        "B says RegisterPeer(id=B's, serial=3)",
        "B hears RegisterPeerResponse()",
    ]
    asked = "A says PunchHoleRequest(id=B's, nat_type=1, licence_key=the key)"
    assert found["connecting"].first == [
        asked,
        "B hears FetchLocalAddr(socket_addr=A)",
        "B's says LocalAddr(socket_addr=A, local_addr=another endpoint, id=B's, version=1)",
        "A hears PunchHoleResponse(socket_addr=another endpoint, pk=signed B's key, is_local=True)",
        "B's is closed",
    ]
    assert found["connecting"].second[:2] == [
        asked,
        "B hears PunchHole(socket_addr=A, nat_type=2, force_relay=True)",
    ]


async def test_what_cannot_be_asked_is_told_before_anything_is_compared(server: MakeServer) -> None:
    async with server() as running:
        nobody = dataclasses.replace(running.link, server=ServerAddress(HOST, 1))
        with pytest.raises(ServerUnreachable, match=rf"cannot reach {HOST}:1: Connection refused"):
            await anext(compare((running.link, nobody), (HOST, HOST), cases.CASES))
        with pytest.raises(UsageError, match=r"192\.0\.2\.1 is not an address of this machine"):
            await anext(compare((running.link, running.link), (HOST, "192.0.2.1"), cases.CASES))


async def test_a_link_needs_a_key(server: MakeServer) -> None:
    async with server() as running:
        bare = ServerLink(running.link.server)
        with pytest.raises(UsageError, match="has no key"):
            _ = [outcome async for outcome in compare((running.link, bare), (HOST, HOST), cases.CASES)]


async def test_each_case_finds_what_it_asks_for(server: MakeServer) -> None:
    """Those that take long wait for limits that are shorter here."""
    chosen = (
        by_tcp.saying_nothing,
        by_tcp.health_check_by_tcp,
        connecting.hole_punched_by_udp,
        by_udp.stun_by_udp,
        web.connecting_by_websocket,
        web.registration_by_websocket,
        web.nothing_by_websocket,
        web.relayed_by_websocket,
        slow.silent_connections,
        slow.parked_leg,
        slow.silent_websocket,
        slow.registration_of_many,
    )
    limits = Limits(frame_timeout=1.0, pairing_timeout=1.0)
    async with server(limits=limits) as first, server(limits=limits) as second:
        found = await outcomes(first, second, chosen)
    assert {name: outcome.first[-1] for name, outcome in found.items()} == {
        "saying-nothing": "A hears KeyExchange(keys=1 of them)",
        "health-check-by-tcp": "A hears nothing",
        "hole-punched-by-udp": PUNCHED,
        "stun-by-udp": "A hears what is no message",
        "connecting-by-websocket": "B hears PunchHole(socket_addr=A, nat_type=1)",
        "registration-by-websocket": "B hears nothing",
        "nothing-by-websocket": "A is closed",
        "relayed-by-websocket": "one leg hears TestNatRequest()",
        "silent-connections": "a leg is closed",
        "parked-leg": "a leg is closed",
        "silent-websocket": "A is closed",
        "registration-of-many": "B hears RegisterPkResponse(result=4)",
    }


async def test_a_server_without_plain_websockets_can_be_compared_too(server: MakeServer) -> None:
    with trusted() as files:
        async with server(tls_cert=files.cert, tls_key=files.key) as running:
            found = await outcomes(running, running, [web.relayed_by_websocket])
    assert found["relayed-by-websocket"].first == [
        "one leg finds no WebSocket",
        "a connection was closed too early",
    ]


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_ours_answers_like_itself(server: MakeServer) -> None:
    limits, chosen = Limits(frame_timeout=3.0, pairing_timeout=1.0), cases.CASES + cases.SLOW_CASES
    async with server(limits=limits) as first, server(limits=limits) as second:
        found = await outcomes(first, second, chosen)
    assert [outcome for outcome in found.values() if not outcome.same] == []
    assert len(found) == len(chosen)
