"""``rdpeer server --trace``: what the server hears and says, on each of its sockets."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from bare_clients import Datagrams, Stream, message
from parties import Peers
from proxies import Proxy, through
from proxies import running as proxied

from rdpeer.peer.online import online
from rdpeer.peer.register import register
from rdpeer.server import Server
from rdpeer.values import PeerAddress, ServerAddress
from rdpeer.wire import rendezvous_pb2 as wire

PEER = "612345678"


async def test_each_message_is_told_once(
    server: Callable[..., Server], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdpeer.server.rendezvous.GREET_AFTER", 30.0)  # this machine may be slow
    caplog.set_level(logging.DEBUG, "rdpeer.net.trace")
    async with server() as running:
        with Datagrams(running) as peer:
            await peer.register(PEER)
            async with Stream(running.base) as asker:
                key = running.key.text
                asker.send(
                    message(punch_hole_request=wire.PunchHoleRequest(id=PEER, licence_key=key, version="1"))
                )
                assert (await peer.hear()).HasField("fetch_local_addr")
            async with Stream(running.base - 1) as asker:
                asker.send(message(online_request=wire.OnlineRequest(peers=[PEER])))
                await asker.hear_message()
    told = [record.getMessage() for record in caplog.records if record.name == "rdpeer.net.trace"]
    assert [(line[:2], line.split()[1], line.split(": ")[1].split()[0]) for line in told] == [
        ("<-", "udp", "RegisterPk"),
        ("->", "udp", "RegisterPkResponse"),
        ("<-", "tcp", "PunchHoleRequest"),
        ("->", "udp", "FetchLocalAddr"),
        ("<-", "tcp", "OnlineRequest"),
        ("->", "tcp", "OnlineResponse"),
    ]


async def test_what_is_sealed_is_told_in_clear(
    server: Callable[..., Server],
    peers: Peers,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A registration by TCP, through a proxy: the server offers to seal it, and the peer takes it."""
    monkeypatch.setattr("rdpeer.protocol.line_registration.GREETING_WITHIN", 30.0)
    caplog.set_level(logging.DEBUG, "rdpeer.net.trace")
    async with server() as running, proxied(Proxy("socks5")) as proxy:
        bob = peers("bob", running)
        with through(proxy.url):
            await register(bob.profile, bob.settings, lambda _: None, once=True)
    told = [record.getMessage() for record in caplog.records if record.name == "rdpeer.net.trace"]
    said = [(line[:2], line.split(": ")[1].split()[0]) for line in told if line[:2] != "--"]
    expected = ["KeyExchange"] * 2 + ["RegisterPk"] * 2 + ["RegisterPkResponse"] * 2  # the second is signed
    for direction in ("->", "<-"):
        names = [name for towards, name in said if towards == direction]
        assert sorted(names) == expected
        assert names[0] == "KeyExchange"


async def test_a_websocket_s_messages_are_told_at_both_ends(
    server: Callable[..., Server], peers: Peers, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "rdpeer.net.trace")
    async with server() as running:
        address = ServerAddress.parse(f"ws://127.0.0.1:{running.base + 2}")
        alice = peers("alice", running, server=address)
        await online(alice.settings, [PeerAddress(alice.id)])
    told = [record.getMessage() for record in caplog.records if record.name == "rdpeer.net.trace"]
    messages = sorted((line[:2], line.split()[1], line.split(": ")[1].split()[0]) for line in told)
    assert messages == [
        ("--", "ws", "connected"),
        ("->", "ws", "OnlineRequest"),
        ("->", "ws", "OnlineResponse"),
        ("<-", "ws", "OnlineRequest"),
        ("<-", "ws", "OnlineResponse"),
    ]
