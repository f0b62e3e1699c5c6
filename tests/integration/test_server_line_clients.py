"""Registration over TCP and WebSocket at the bundled server: greeting, sealing, heartbeats, notifications."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from bare_clients import Stream, message, until

from rdpeer.crypto.keys import ExchangeKey, open_signed
from rdpeer.crypto.stock import StockChannel
from rdpeer.net.transport.websocket import WebSocketStream, connect
from rdpeer.server import Server
from rdpeer.values import WebAddress
from rdpeer.wire import rendezvous_pb2 as wire

MakeServer = Callable[..., Server]
PEER = "612345678"
REGISTER = message(register_pk=wire.RegisterPk(id=PEER, uuid=b"uuid", pk=bytes(32))).SerializeToString()


class Web:
    """A WebSocket with the words of a Stream."""

    def __init__(self, stream: WebSocketStream) -> None:
        self.send = stream.send
        self._stream = stream

    async def hear(self) -> bytes:
        payload = await self._stream.receive()
        assert payload is not None
        return payload

    async def ended(self) -> bool:
        return await self._stream.receive() is None


@asynccontextmanager
async def line(server: Server, kind: str) -> AsyncIterator[Stream | Web]:
    if kind == "tcp":
        async with Stream(server.base) as stream:
            yield stream
        return
    web = await connect(WebAddress("127.0.0.1", server.base + 2, "ws"), limit=4096, timeout=10)
    yield Web(web)
    web.abort()


async def registered(client: Stream | Web) -> wire.RegisterPkResponse:
    client.send(REGISTER)
    return wire.RendezvousMessage.FromString(await client.hear()).register_pk_response


async def is_online(server: Server) -> bool:
    async with Stream(server.base - 1) as asker:
        asker.send(message(online_request=wire.OnlineRequest(peers=[PEER])))
        return (await asker.hear_message()).online_response.states == b"\x80"


def punch(server: Server) -> wire.RendezvousMessage:
    request = wire.PunchHoleRequest(id=PEER, licence_key=server.key.text, force_relay=True)
    return message(punch_hole_request=request)


@pytest.mark.parametrize("kind", ["tcp", "ws"])
async def test_a_registration_is_logged_with_what_carried_it(
    server: MakeServer, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with server() as running, line(running, kind) as peer:
        await registered(peer)
        assert f"127.0.0.1 register accepted id={PEER} why=OK path={kind}" in caplog.messages


@pytest.mark.parametrize("kind", ["tcp", "ws"])
async def test_a_peer_on_a_line_is_online_is_told_and_goes_with_it(server: MakeServer, kind: str) -> None:
    async with server() as running:
        async with line(running, kind) as peer:
            assert (await registered(peer)).keep_alive == 20
            assert await is_online(running)
            async with Stream(running.base) as asker:
                asker.send(punch(running))
                asked = wire.RendezvousMessage.FromString(await peer.hear()).punch_hole
                assert asked.force_relay
                async with Stream(running.base) as answer:
                    response = wire.RelayResponse(
                        socket_addr=asked.socket_addr, id=PEER, uuid="t", version="1"
                    )
                    answer.send(message(relay_response=response))
                    assert (await asker.hear_message()).relay_response.uuid == "t"
        await until(lambda: running.connections == 0)
        assert not await is_online(running)


@pytest.mark.parametrize("kind", ["tcp", "ws"])
async def test_heartbeats_keep_a_line_and_silence_ends_it(server: MakeServer, kind: str) -> None:
    async with server() as running, line(running, kind) as peer:
        await registered(peer)
        now = asyncio.get_running_loop().time()
        running.sweep(now + 20.5)
        assert await peer.hear() == b""
        running.sweep(now + 30.5)
        await until(lambda: running.connections == 0)
        assert not await is_online(running)


@pytest.mark.parametrize("kind", ["tcp", "ws"])
async def test_a_heartbeat_of_nobodys_line_ends_it(server: MakeServer, kind: str) -> None:
    async with server() as running, line(running, kind) as peer:
        peer.send(b"")
        assert await peer.ended()


@pytest.mark.parametrize("kind", ["tcp", "ws"])
async def test_heartbeats_keep_who_sent_a_health_check(server: MakeServer, kind: str) -> None:
    refused = message(punch_hole_request=wire.PunchHoleRequest(id=PEER)).SerializeToString()
    async with server() as running, line(running, kind) as client:
        client.send(message(hc=wire.HealthCheck(token="token")).SerializeToString())
        client.send(refused)
        assert wire.RendezvousMessage.FromString(await client.hear()).HasField("punch_hole_response")
        now = asyncio.get_running_loop().time()
        running.sweep(now + 20.5)
        assert await client.hear() == b""
        client.send(b"")
        client.send(refused)
        assert wire.RendezvousMessage.FromString(await client.hear()).HasField("punch_hole_response")
        running.sweep(asyncio.get_running_loop().time() + 30.5)
        await until(lambda: running.connections == 0)


async def exchange(server: Server, peer: Stream) -> StockChannel:
    """What a client does that waits for the server's greeting."""
    greeting = (await peer.hear_message()).key_exchange
    theirs = open_signed(server.key, greeting.keys[0])
    assert theirs is not None
    assert len(greeting.keys) == 1
    ours = ExchangeKey.generate()
    keys = [ours.public, ours.seal_session_key(bytes(32), theirs)]
    peer.send(message(key_exchange=wire.KeyExchange(keys=keys)))
    return StockChannel(bytes(32))


async def test_who_is_silent_is_greeted_and_may_speak_sealed(server: MakeServer) -> None:
    async with server() as running, Stream(running.base) as peer:
        channel = await exchange(running, peer)
        peer.send(channel.seal(REGISTER))
        answer = wire.RendezvousMessage.FromString(channel.open(await peer.hear()))
        assert answer.register_pk_response.keep_alive == 20
        peer.send(b"")
        async with Stream(running.base) as asker:
            asker.send(punch(running))
            notified = wire.RendezvousMessage.FromString(channel.open(await peer.hear()))
            assert notified.HasField("punch_hole")


async def test_after_the_exchange_nothing_is_taken_in_clear(server: MakeServer) -> None:
    async with server() as running, Stream(running.base) as peer:
        await exchange(running, peer)
        peer.send(REGISTER)
        assert await peer.ended()


async def test_one_that_was_greeted_may_go_on_in_clear(server: MakeServer) -> None:
    async with server() as running, Stream(running.base) as peer:
        assert (await peer.hear_message()).HasField("key_exchange")
        assert (await registered(peer)).keep_alive == 20


@pytest.mark.parametrize("keys", [[], [bytes(32)], [bytes(32), bytes(48)], [b"x", bytes(48)], [b""] * 9])
async def test_an_exchange_that_is_none_ends_the_connection(server: MakeServer, keys: list[bytes]) -> None:
    async with server() as running, Stream(running.base) as peer:
        await peer.hear()
        peer.send(message(key_exchange=wire.KeyExchange(keys=keys)))
        assert await peer.ended()


async def test_nobody_begins_an_exchange_but_the_server(server: MakeServer) -> None:
    async with server() as running, Stream(running.base) as peer:
        ours = ExchangeKey.generate()
        keys = [ours.public, bytes(48)]
        peer.send(message(key_exchange=wire.KeyExchange(keys=keys)))
        assert await peer.ended()
