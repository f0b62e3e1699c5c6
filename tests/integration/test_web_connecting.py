"""Peers and their server by WebSocket and through proxies, to the end of a connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from parties import Collector, Peers, fails
from proxies import Proxy, running, through
from tls import Tls, trusted

from rdpeer.errors import NoPath, ServerUnreachable
from rdpeer.peer.connect import Way
from rdpeer.server import Server
from rdpeer.values import ServerAddress

Servers = Callable[..., Server]


@pytest.fixture
def tls() -> Iterator[Tls]:
    with trusted() as files:
        yield files


def by_web(server: Server, form: str) -> ServerAddress:
    """The server's address, ``{id}`` and ``{relay}`` being the ports of its two WebSockets."""
    return ServerAddress.parse(form.format(id=server.base + 2, relay=server.base + 3))


FORMS = ["ws://127.0.0.1:{id}", "ws://127.0.0.1:{id}/", "ws://127.0.0.1:{relay}/behind/a/path"]


@pytest.mark.parametrize("form", FORMS)
async def test_an_initiator_by_websocket_meets_one_that_knows_only_tcp(
    server: Servers, peers: Peers, form: str
) -> None:
    async with server() as running_server:
        address = by_web(running_server, form)
        alice, bob = peers("alice", running_server, server=address), peers("bob", running_server)
        async with bob.listening():
            blob = bytes(range(256)) * 4096
            assert await alice.send(blob, bob.id) == blob


async def test_with_tls(server: Servers, peers: Peers, tls: Tls) -> None:
    async with server(tls_cert=tls.cert, tls_key=tls.key) as running_server:
        address = by_web(running_server, "wss://localhost:{id}")
        alice, bob = peers("alice", running_server, server=address), peers("bob", running_server)
        async with bob.listening():
            assert await alice.send(b"sealed twice", bob.id) == b"sealed twice"


async def test_a_port_with_tls_takes_nothing_without(server: Servers, peers: Peers, tls: Tls) -> None:
    async with server(tls_cert=tls.cert, tls_key=tls.key) as running_server:
        alice = peers("alice", running_server, server=by_web(running_server, "ws://127.0.0.1:{id}"))
        with fails(ServerUnreachable, 3, "^cannot reach ws://127"):
            await alice.send(b"", alice.id)


@pytest.mark.parametrize("scheme", ["socks5", "http"])
@pytest.mark.parametrize("form", ["rs.example:{base}", "ws://rs.example:{id}"])
async def test_an_initiator_behind_a_proxy(server: Servers, peers: Peers, scheme: str, form: str) -> None:
    proxy = Proxy(scheme, names={"rs.example": "127.0.0.1"})
    async with server() as running_server, running(proxy):
        base = running_server.base
        address = ServerAddress.parse(form.format(base=base, id=base + 2))
        alice, bob = peers("alice", running_server, server=address), peers("bob", running_server)
        async with bob.listening():
            with through(proxy.url):
                assert await alice.send(b"through", bob.id) == b"through"
        assert len(proxy.asked) == 2
        assert all(place.startswith(("rs.example:", "127.0.0.1:")) for place in proxy.asked)


@pytest.mark.parametrize("form", ["ws://127.0.0.1:{id}", "127.0.0.1"])
async def test_no_direct_path_is_promised(server: Servers, peers: Peers, form: str) -> None:
    async with server() as running_server, running(Proxy("http")) as proxy:
        alice = peers("alice", running_server, server=by_web(running_server, form))
        with through(proxy.url), fails(NoPath, 5, "^no direct path: connections go through a proxy$"):
            await alice.send(b"", alice.id, Collector(), way=Way.DIRECT)


BOTH = ["ws://127.0.0.1:{id}", "ws://127.0.0.1:{relay}/", "wss://localhost:{id}"]


@pytest.mark.parametrize("form", BOTH)
async def test_two_peers_that_have_nothing_but_the_web(
    server: Servers, peers: Peers, tls: Tls, form: str
) -> None:
    options = {"tls_cert": tls.cert, "tls_key": tls.key} if form.startswith("wss") else {}
    async with server(**options) as running_server:
        address = by_web(running_server, form)
        alice, bob = (peers(name, running_server, server=address) for name in ("alice", "bob"))
        async with bob.listening():
            blob = bytes(range(256)) * 4096
            assert await alice.send(blob, bob.id) == blob
            assert await alice.send(b"again", bob.id) == b"again"


async def test_a_listener_on_the_web_and_one_that_knows_only_tcp(server: Servers, peers: Peers) -> None:
    async with server() as running_server:
        alice = peers("alice", running_server)
        bob = peers("bob", running_server, server=by_web(running_server, "ws://127.0.0.1:{id}"))
        async with bob.listening():
            assert await alice.send(b"over", bob.id) == b"over"


async def test_a_reverse_proxys_listener_says_which_relay_others_can_reach(
    server: Servers, peers: Peers
) -> None:
    async with server() as running_server:
        address = by_web(running_server, "ws://127.0.0.1:{id}/")
        relay = ServerAddress.parse_relay(f"ws://127.0.0.1:{running_server.base + 3}")
        alice = peers("alice", running_server)
        bob = peers("bob", running_server, server=address, relay_servers=(relay,))
        async with bob.listening():
            assert await alice.send(b"over", bob.id) == b"over"


@pytest.mark.parametrize("scheme", ["socks5", "http"])
async def test_a_listener_behind_a_proxy(server: Servers, peers: Peers, scheme: str) -> None:
    proxy = Proxy(scheme, names={"rs.example": "127.0.0.1"})
    async with server() as running_server, running(proxy), AsyncExitStack() as stack:
        base = running_server.base
        alice, relay = peers("alice", running_server), ServerAddress("127.0.0.1", base + 1)
        bob = peers("bob", running_server, server=ServerAddress("rs.example", base), relay_servers=(relay,))
        with through(proxy.url):
            await stack.enter_async_context(bob.listening())
        assert await alice.send(b"to the inside", bob.id) == b"to the inside"
        assert proxy.asked == [f"rs.example:{base}", f"rs.example:{base}", f"127.0.0.1:{base + 1}"]
