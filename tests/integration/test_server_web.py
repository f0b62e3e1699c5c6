"""The bundled server's WebSockets: what it lets in, as whom, and what its relay makes of them."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import tls
from bare_clients import Datagrams, Stream, message, until

from rdpeer.errors import ConnectionLost
from rdpeer.net.transport.websocket import MAX_MESSAGE, WebSocketStream, connect
from rdpeer.server import Server, ServerOptions
from rdpeer.server.limits import MAX_FRAME, Limits
from rdpeer.values import WebAddress
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.endpoints import unmangle
from rdpeer.wire.frames import encode_frame

MakeServer = Callable[..., Server]
RENDEZVOUS, RELAY = 2, 3
HELLO = (
    b"GET %s HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n%s\r\n"
)
TEST_NAT = message(test_nat_request=wire.TestNatRequest())


@asynccontextmanager
async def web(server: Server, port: int = RENDEZVOUS, path: str = "") -> AsyncIterator[WebSocketStream]:
    address = WebAddress("127.0.0.1", server.base + port, "ws", path)
    stream = await connect(address, limit=MAX_MESSAGE, timeout=10)
    try:
        yield stream
    finally:
        stream.abort()


async def hear(stream: WebSocketStream) -> wire.RendezvousMessage:
    payload = await stream.receive()
    assert payload is not None
    return wire.RendezvousMessage.FromString(payload)


async def ended(stream: WebSocketStream) -> bool:
    """Nothing comes but the end."""
    try:
        return await stream.receive() is None
    except ConnectionLost:
        return True


def arrive(server: Server, token: str = "token") -> bytes:
    request = wire.RequestRelay(uuid=token, licence_key=server.key.text)
    return message(request_relay=request).SerializeToString()


@pytest.mark.parametrize(
    ("port", "path"),
    [(RENDEZVOUS, ""), (RENDEZVOUS, "/any/thing"), (RENDEZVOUS, "/ws/id"), (RELAY, "/x/ws/id")],
)
async def test_the_rendezvous_server_answers_at_both_ports(server: MakeServer, port: int, path: str) -> None:
    async with server() as running, web(running, port, path) as stream:
        stream.send(TEST_NAT.SerializeToString())
        assert (await hear(stream)).test_nat_response.port == stream.local.port
        assert await ended(stream)
        await until(lambda: running.connections == 0)


async def test_who_is_online_can_be_asked_by_websocket(server: MakeServer) -> None:
    async with server() as running:
        with Datagrams(running) as peer:
            await peer.register("612345678")
        async with web(running) as stream:
            stream.send(
                message(online_request=wire.OnlineRequest(peers=["1", "612345678"])).SerializeToString()
            )
            assert (await hear(stream)).online_response.states == b"\x40"


async def test_who_came_by_websocket_is_logged_so(
    server: MakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    punch = message(punch_hole_request=wire.PunchHoleRequest(id="612345678", licence_key="wrong"))
    for question in (TEST_NAT, punch):
        async with server() as running, web(running) as stream:
            stream.send(question.SerializeToString())
            await hear(stream)
    async with server() as running, web(running, RELAY) as stream:
        request = wire.RequestRelay(id="612345678", uuid="t", licence_key="wrong")
        stream.send(message(request_relay=request).SerializeToString())
        assert await ended(stream)
    assert [line.partition(" ")[2] for line in caplog.messages if "path=" in line] == [
        "query answered why=test_nat_request path=ws",
        "connect refused id=612345678 why=LICENSE_MISMATCH path=ws",
        'leg refused id=612345678 why="a request for a relay without the key" path=ws',
    ]


async def test_text_is_ignored_and_an_empty_message_ends_the_connection(server: MakeServer) -> None:
    async with server() as running, web(running) as stream:
        stream._protocol.send_text(b"\x0a\x00")
        stream.send(b"")
        assert await ended(stream)


@pytest.mark.parametrize("port", [RENDEZVOUS, RELAY])
async def test_a_first_message_over_the_limit_is_refused(server: MakeServer, port: int) -> None:
    async with server() as running, web(running, port) as stream:
        stream.send(bytes(MAX_FRAME + 1))
        assert await ended(stream)
        await until(lambda: running.connections == 0)


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", b"HTTP/1.1 426 Upgrade Required\r\n"),
        (b"POST /ws/id HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello", b""),
        (b"GET /ws/id HTTP/1.1\r\n" + b"X: y\r\n" * 500 + b"\r\n", b""),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", b""),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500) + b"\r\n\r\n", b""),
        (b"\x00\xff" * 50_000, b""),
        (b"", b""),
    ],
)
async def test_what_is_no_websocket_is_turned_away(server: MakeServer, said: bytes, answer: bytes) -> None:
    async with server() as running:
        for port in (RENDEZVOUS, RELAY):
            async with Stream(running.base + port) as client:
                client.writer.write(said)
                client.writer.write_eof()
                try:
                    assert (await client.reader.read()).startswith(answer)
                except ConnectionResetError:
                    assert not answer
        await until(lambda: running.connections == 0)


@pytest.mark.parametrize("secure", [False, True])
async def test_who_leaves_right_behind_his_request_does_no_harm(server: MakeServer, secure: bool) -> None:
    with tls.trusted() as files:
        options = {"tls_cert": files.cert, "tls_key": files.key} if secure else {}
        async with server(**options) as running:
            async with Stream(running.base + RENDEZVOUS) as client:
                await _say_and_leave(client, HELLO % (b"/", b""), files if secure else None)
                with suppress(ConnectionResetError):
                    await client.reader.read()
            await until(lambda: running.connections == 0)
            async with Stream(running.base) as other:
                other.send(TEST_NAT)
                assert (await other.hear_message()).HasField("test_nat_response")


async def _say_and_leave(client: Stream, said: bytes, files: tls.Tls | None) -> None:
    """Both in one segment."""
    if files is None:
        client.writer.write(said)
        client.writer.write_eof()
        return
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = ssl.create_default_context(cafile=files.ca).wrap_bio(
        incoming, outgoing, server_hostname="localhost"
    )
    while True:
        try:
            ours.do_handshake()
            break
        except ssl.SSLWantReadError:
            client.writer.write(outgoing.read())
            incoming.write(await client.reader.read(65536))
    ours.write(said)
    with suppress(ssl.SSLWantReadError):
        ours.unwrap()
    client.writer.write(outgoing.read())


@pytest.mark.parametrize("said", [b"", b"GET /ws/id HTTP/1.1\r\nHost: h\r\n"])
async def test_who_is_slow_to_say_what_he_wants_is_not_waited_for(server: MakeServer, said: bytes) -> None:
    async with server(limits=Limits(frame_timeout=0.2)) as running, Stream(running.base + RELAY) as client:
        client.writer.write(said)
        assert await client.ended()


@pytest.mark.parametrize("port", [RENDEZVOUS, RELAY])
async def test_who_is_slow_to_send_a_message_is_not_waited_for(server: MakeServer, port: int) -> None:
    """A byte is no sign of life."""
    async with server() as running, Stream(running.base + port) as client:
        client.writer.write(HELLO % (b"/", b""))
        await client.reader.readuntil(b"\r\n\r\n")
        await until(lambda: running.connections == 1)
        admitted = asyncio.get_running_loop().time()
        for byte in (0x82, 0xFE, 0x01, 0x00):  # the header of a message of 256 bytes
            client.writer.write(bytes([byte]))
            async with Stream(running.base) as other:  # when it is answered, the byte has been read
                other.send(TEST_NAT)
                await other.hear_message()
        running.sweep(admitted + 30)
        assert await client.ended()


async def test_one_address_takes_so_many_places_and_no_more(server: MakeServer) -> None:
    async with (
        server(limits=Limits(connections_per_address=2)) as running,
        web(running),
        web(running),
        Stream(running.base + RENDEZVOUS) as third,
    ):
        third.writer.write(HELLO % (b"/", b""))
        with suppress(ConnectionResetError):
            await third.reader.read()
        assert running.connections == 2


async def test_those_who_have_not_said_what_they_want_are_counted_too(server: MakeServer) -> None:
    async with (
        server(limits=Limits(connections_per_address=1)) as running,
        Stream(running.base + RENDEZVOUS),
        Stream(running.base + RELAY) as second,
    ):
        assert await second.ended()


async def test_who_was_turned_away_counts_until_he_goes(server: MakeServer) -> None:
    async with (
        server(limits=Limits(connections_per_address=1)) as running,
        Stream(running.base + RENDEZVOUS) as first,
    ):
        first.writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await first.reader.readline()).startswith(b"HTTP/1.1 426 ")
        async with Stream(running.base + RELAY) as second:
            second.writer.write(HELLO % (b"/", b""))
            with suppress(ConnectionResetError):
                assert await second.reader.read(1) == b""


@pytest.mark.parametrize(
    ("trusted", "header", "let_in"),
    [
        ("127.0.0.1", b"X-Forwarded-For: 192.0.2.66\r\n", False),
        ("127.0.0.1", b"X-Forwarded-For: 192.0.2.66\r\nX-Forwarded-For: 198.51.100.1\r\n", True),
        ("127.0.0.1", b"X-Forwarded-For: 192.0.2.66, 127.0.0.1\r\n", False),
        ("127.0.0.1", b"X-Real-IP: 192.0.2.66\r\n", True),
        ("10.0.0.0/8", b"X-Forwarded-For: 192.0.2.66\r\n", True),
    ],
)
async def test_who_is_blocked_is_blocked_behind_a_proxy_too(
    server: MakeServer, tmp_path, trusted: str, header: bytes, let_in: bool
) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("192.0.2.66\n")
    frame = TEST_NAT.SerializeToString()
    async with (
        server(blocklist=blocked, trust_proxy=(trusted,)) as running,
        Stream(running.base + RENDEZVOUS) as client,
    ):
        client.writer.write(HELLO % (b"/ws/id", header))
        await client.reader.readuntil(b"\r\n\r\n")
        client.writer.write(bytes([0x82, 0x80 | len(frame)]) + bytes(4) + frame)
        assert (await client.ended()) is not let_in


async def test_a_reload_says_which_proxies_are_trusted(tmp_path: Path) -> None:
    options = ServerOptions(tmp_path, 0, ("127.0.0.1",))
    async with Server(options, lambda: options) as running:
        for trusted, client in (((), "127.0.0.1"), (("127.0.0.1",), "192.0.2.66"), ((), "127.0.0.1")):
            options = dataclasses.replace(options, trust_proxy=trusted)
            running.reload()
            async with Stream(running.base + RENDEZVOUS) as asker:
                asker.writer.write(HELLO % (b"/ws/id", b"X-Forwarded-For: 192.0.2.66\r\n"))
                await asker.reader.readuntil(b"\r\n\r\n")
                frame = TEST_NAT.SerializeToString()
                asker.writer.write(bytes([0x82, 0x80 | len(frame)]) + bytes(4) + frame)
                _, size = await asker.reader.readexactly(2)
                answer = wire.RendezvousMessage.FromString(await asker.reader.readexactly(size))
            assert unmangle(answer.test_nat_response.socket_addr).ip == client


LEGS = [(True, True), (True, False), (False, True)]


class Leg:
    """One leg of the relay, of either kind: what is sent and heard are payloads."""

    def __init__(self, carrier: WebSocketStream | Stream) -> None:
        self.carrier = carrier

    def send(self, payload: bytes) -> None:
        self.carrier.send(payload)

    async def hear(self) -> bytes | None:
        if isinstance(self.carrier, WebSocketStream):
            return await self.carrier.receive()
        try:
            return await self.carrier.hear()
        except asyncio.IncompleteReadError:
            return None

    async def close(self) -> None:
        if isinstance(self.carrier, WebSocketStream):
            await self.carrier.close()
        else:
            self.carrier.writer.close()


@asynccontextmanager
async def legs(server: Server, *kinds: bool) -> AsyncIterator[list[Leg]]:
    """Joined at the relay; True is a WebSocket."""
    async with (
        web(server, RELAY) if kinds[0] else Stream(server.base + 1) as first,
        web(server, RENDEZVOUS, "/ws/relay") if kinds[1] else Stream(server.base + 1) as second,
    ):
        pair = [Leg(first), Leg(second)]
        for leg in pair:
            leg.send(arrive(server))
        for here, there in (pair, reversed(pair)):
            here.send(b"hello")
            assert await there.hear() == b"hello"
        yield pair


@pytest.mark.parametrize("kinds", LEGS)
async def test_a_message_is_a_frame_whatever_carries_it(server: MakeServer, kinds: tuple[bool, bool]) -> None:
    payloads = [b"x", bytes(MAX_FRAME + 1), bytes(300_000), b"last"]
    async with server() as running, legs(running, *kinds) as (one, two):
        for here, there in ((one, two), (two, one)):
            for payload in payloads:
                here.send(payload)
            assert [await there.hear() for _ in payloads] == payloads


@pytest.mark.parametrize("kinds", LEGS)
async def test_heartbeats_and_text_end_at_the_relay(server: MakeServer, kinds: tuple[bool, bool]) -> None:
    async with server() as running, legs(running, *kinds) as (one, two):
        for here, there in ((one, two), (two, one)):
            here.send(b"")
            if isinstance(here.carrier, WebSocketStream):
                here.carrier._protocol.send_text(b"text")
            here.send(b"payload")
            assert await there.hear() == b"payload"


@pytest.mark.parametrize("kinds", LEGS)
async def test_what_was_said_before_the_end_is_delivered(
    server: MakeServer, kinds: tuple[bool, bool]
) -> None:
    async with server() as running, legs(running, *kinds) as (one, two):
        for _ in range(10):
            one.send(bytes(100_000))
        closing = asyncio.create_task(one.close())
        heard = 0
        while (payload := await two.hear()) is not None:
            heard += len(payload)
        assert heard == 1_000_000
        await closing
        await until(lambda: running.connections == 0)


@pytest.mark.parametrize("kinds", LEGS)
async def test_a_reader_that_stands_still_stops_its_writer(
    server: MakeServer, kinds: tuple[bool, bool]
) -> None:
    async with server() as running, legs(running, *kinds) as (one, two):
        sent = 0
        for _ in range(1000):  # 64 MB
            one.send(bytes(64 * 1024))
            drain = one.carrier.drain() if kinds[0] else one.carrier.writer.drain()
            draining = asyncio.ensure_future(drain)
            await asyncio.wait([draining], timeout=0.3)
            if not draining.done():
                break
            sent += 1
        else:
            pytest.fail("nothing held the writer back")
        for _ in range(sent):
            assert await two.hear() == bytes(64 * 1024)
        await draining


async def test_raw_bytes_on_a_framed_leg_end_the_pair(
    server: MakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with server() as running, legs(running, True, False) as (one, two):
        two.carrier.writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        assert await one.hear() is None
        await until(lambda: running.connections == 0)
    assert 'pair broken why="a frame of 189928660 bytes is over the limit' in caplog.text


@pytest.mark.parametrize("kinds", LEGS)
async def test_an_idle_pair_ends_when_it_is_told_to(server: MakeServer, kinds: tuple[bool, bool]) -> None:
    async with server(relay_idle=60.0) as running, legs(running, *kinds) as (one, two):
        now = asyncio.get_running_loop().time()
        running.sweep(now)  # what joined them was heard
        running.sweep(now + 50)
        assert running.connections == 2
        running.sweep(now + 70)
        await until(lambda: running.connections == 0)
        for leg in (one, two):
            if isinstance(leg.carrier, WebSocketStream):
                assert await ended(leg.carrier)


@pytest.mark.parametrize("kinds", LEGS)
async def test_a_leg_that_breaks_takes_the_other_with_it(
    server: MakeServer, kinds: tuple[bool, bool]
) -> None:
    async with server() as running, legs(running, *kinds) as (one, two):
        if isinstance(one.carrier, WebSocketStream):
            one.carrier.abort()
        else:
            one.carrier.writer.transport.abort()
        assert await two.hear() is None
        await until(lambda: running.connections == 0)


async def test_a_leg_says_its_request_first(server: MakeServer) -> None:
    async with server() as running, web(running, RELAY) as stream:
        stream.send(b"\x0a")
        assert await ended(stream)


async def test_a_parked_leg_holds_back_what_comes_early(server: MakeServer) -> None:
    async with server() as running, web(running, RELAY) as early:
        early.send(arrive(running))
        early.send(b"early")
        await until(lambda: running.parked == 1)
        async with Stream(running.base + 1) as late:
            late.send(arrive(running))
            assert await late.hear() == b"early"


def test_the_frame_of_a_heartbeat_is_one_byte() -> None:
    assert encode_frame(b"") == b"\x00"
