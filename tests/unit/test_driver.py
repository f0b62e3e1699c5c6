"""The driver: commands become sockets, sockets become events, and nothing stays behind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest

from rdpeer.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError, ServerRefused
from rdpeer.net import driver
from rdpeer.net.driver import FRAME_LIMIT, converse
from rdpeer.net.transport.tcp import TcpListener, TcpStream, connect
from rdpeer.net.udp import Datagrams
from rdpeer.protocol.conversation import (
    CloseStream,
    Command,
    DatagramReceived,
    DeadlineReached,
    Done,
    Event,
    Fail,
    FrameReceived,
    Listen,
    ListenerFailed,
    ListenerOpened,
    OpenStream,
    Rebind,
    Report,
    RouteChanged,
    SendDatagram,
    SendFrame,
    SocketBound,
    SocketFailed,
    Started,
    StoreRecord,
    StreamClosed,
    StreamFailed,
    StreamOpened,
)
from rdpeer.values import Endpoint, Family, ServerAddress

HERE = Endpoint("127.0.0.1", 0)


class Script:
    """A conversation that is a function from an event to commands, and remembers the events."""

    deadline: float | None = None

    def __init__(self, react: Callable[[Event], list[Command]]) -> None:
        self._react = react
        self.events: list[Event] = []

    def handle(self, event: Event, now: float) -> list[Command]:
        self.events.append(event)
        return self._react(event)


def address(listener: TcpListener) -> ServerAddress:
    return ServerAddress(listener.endpoint.ip, listener.endpoint.port)


async def closed_port() -> ServerAddress:
    async with await TcpListener.open(HERE, limit=1) as listener:
        return address(listener)


async def test_frames_go_both_ways_and_reports_come_out() -> None:
    async with await TcpListener.open(HERE, limit=100) as listener:

        async def serve() -> None:
            stream = await listener.accept()
            question = await stream.receive()
            assert question == b"question"
            stream.send(b"answer")
            await stream.close()

        def react(event: Event) -> list[Command]:
            match event:
                case Started():
                    return [OpenStream("s", address(listener))]
                case StreamOpened():
                    return [SendFrame("s", b"question"), Report("asked"), StoreRecord("kept")]
                case StreamClosed():
                    return [Done("over")]
                case _:
                    return []

        script, reports, records = Script(react), [], []
        serving = asyncio.create_task(serve())
        outcome = await converse(script, report=reports.append, record=records.append)
        await serving
        assert (outcome.value, outcome.streams, outcome.listeners) == ("over", {}, {})
        assert (reports, records) == (["asked"], ["kept"])
        assert script.events[2:] == [FrameReceived("s", b"answer"), StreamClosed("s")]


async def test_a_kept_stream_is_handed_over_unread() -> None:
    async with await TcpListener.open(HERE, limit=100) as listener:

        def react(event: Event) -> list[Command]:
            if isinstance(event, Started):
                return [OpenStream("kept", address(listener)), OpenStream("dropped", address(listener))]
            opened = [e for e in script.events if isinstance(e, StreamOpened)]
            return [Done(None, keep=("kept",))] if len(opened) == 2 else []

        script = Script(react)
        running = asyncio.create_task(converse(script))
        ends = [await listener.accept(), await listener.accept()]
        outcome = await running
        kept = outcome.streams["kept"]
        kept_end, dropped_end = sorted(ends, key=lambda end: end.remote != kept.local)
        kept_end.send(b"unread")
        assert await kept.receive() == b"unread"
        assert await _ended(dropped_end)
        await asyncio.gather(kept.close(), kept_end.close())


async def _ended(stream: TcpStream) -> bool:
    """True if nothing more comes, in order or not."""
    try:
        return await stream.receive() is None
    except ConnectionLost:
        return True
    finally:
        await stream.close()


async def test_what_was_sent_before_a_close_is_delivered() -> None:
    async with await TcpListener.open(HERE, limit=FRAME_LIMIT) as listener:

        def react(event: Event) -> list[Command]:
            match event:
                case Started():
                    return [OpenStream("s", address(listener))]
                case StreamOpened():
                    return [SendFrame("s", bytes(4000)), CloseStream("s"), Done(None)]
                case _:
                    return []

        running = asyncio.create_task(converse(Script(react)))
        stream = await listener.accept()
        assert await stream.receive() == bytes(4000)
        assert await stream.receive() is None
        await stream.close()
        await running


async def test_a_connection_that_is_refused() -> None:
    target = await closed_port()

    def react(event: Event) -> list[Command]:
        return [OpenStream("s", target)] if isinstance(event, Started) else [Done(event)]

    outcome = await converse(Script(react))
    assert outcome.value == StreamFailed("s", f"{target}: Connection refused")


async def test_a_listener_beside_a_stream_shares_its_port() -> None:
    async with await TcpListener.open(HERE, limit=100) as listener:

        def react(event: Event) -> list[Command]:
            match event:
                case Started():
                    return [OpenStream("s", address(listener), reuse=True)]
                case StreamOpened():
                    return [Listen("l", beside="s")]
                case ListenerOpened(local=local):
                    return [CloseStream("s"), Done(local, keep=("l",))]
                case _:
                    return []

        running = asyncio.create_task(converse(Script(react)))
        server_end = await listener.accept()
        seen = server_end.remote
        assert await server_end.receive() is None
        await server_end.close()
        outcome = await running
        assert outcome.value == seen
        async with outcome.listeners["l"] as beside:
            caller = await connect(ServerAddress(seen.ip, seen.port), limit=100, timeout=5)
            accepted = await beside.accept()
            await asyncio.gather(caller.close(), accepted.close())


async def test_a_listener_that_cannot_share_the_port() -> None:
    async with await TcpListener.open(HERE, limit=100) as listener:

        def react(event: Event) -> list[Command]:
            match event:
                case Started():
                    return [OpenStream("s", address(listener))]  # without reuse
                case StreamOpened():
                    return [Listen("l", beside="s")]
                case _:
                    return [Done(event)]

        outcome = await converse(Script(react))
        assert isinstance(outcome.value, ListenerFailed)


async def test_an_error_closes_everything() -> None:
    async with await TcpListener.open(HERE, limit=100) as listener:

        def react(event: Event) -> list[Command]:
            if isinstance(event, Started):
                return [OpenStream("s", address(listener))]
            return [Fail(ServerRefused("no"))]

        with pytest.raises(ServerRefused, match="no"):
            await converse(Script(react))
        assert await _ended(await listener.accept())


async def test_a_frame_over_the_limit_names_its_sender() -> None:
    async with await TcpListener.open(HERE, limit=100) as listener:

        def react(event: Event) -> list[Command]:
            return [OpenStream("s", address(listener))] if isinstance(event, Started) else []

        running = asyncio.create_task(converse(Script(react)))
        stream = await listener.accept()
        stream.send(bytes(FRAME_LIMIT + 1))
        with pytest.raises(RemoteProtocolError, match=rf"^127\.0\.0\.1:{listener.endpoint.port}: a frame of"):
            await running
        await stream.close()


async def test_cancelling_closes_everything() -> None:
    async with await TcpListener.open(HERE, limit=100) as listener:

        def react(event: Event) -> list[Command]:
            return [OpenStream("s", address(listener))] if isinstance(event, Started) else []

        running = asyncio.create_task(converse(Script(react)))
        stream = await listener.accept()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await _ended(stream)


async def test_a_deadline_that_has_passed_is_told() -> None:
    script = Script(lambda event: [Done(event)] if isinstance(event, DeadlineReached) else [])
    script.deadline = 0.0
    assert (await converse(script)).value == DeadlineReached()


async def test_a_conversation_that_waits_for_nothing_is_a_bug() -> None:
    with pytest.raises(LocalProtocolError, match="waits for nothing"):
        await converse(Script(lambda event: []))


async def test_datagrams_to_a_server_and_back_and_to_nobody_else() -> None:
    with _udp_socket() as server, _udp_socket() as stranger:
        server_address = ServerAddress(*server.getsockname())
        loop = asyncio.get_running_loop()

        def react(event: Event) -> list[Command]:
            match event:
                case Started():
                    return [Rebind(server_address)]
                case SocketBound():
                    return [SendDatagram(b"ping")]
                case DatagramReceived(b"bye"):
                    return [Done(None)]
                case _:
                    return []

        script = Script(react)
        running = asyncio.create_task(converse(script))
        payload, client = await loop.sock_recvfrom(server, 100)
        assert payload == b"ping"
        stranger.sendto(b"bye", client)
        server.sendto(b"pong", client)
        server.sendto(b"bye", client)
        await running
        remote = Endpoint.of(server.getsockname())
        assert script.events[1:] == [SocketBound(remote), DatagramReceived(b"pong"), DatagramReceived(b"bye")]


async def test_each_rebind_takes_a_new_socket_and_the_next_address(monkeypatch: pytest.MonkeyPatch) -> None:
    endpoints = [Endpoint("127.0.0.1", 9), Endpoint("127.0.0.2", 9)]

    async def two_addresses(address: ServerAddress, family: Family) -> list[Endpoint]:
        return endpoints

    monkeypatch.setattr("rdpeer.net.driver.resolve", two_addresses)
    server = ServerAddress("rs.example", 9)

    def react(event: Event) -> list[Command]:
        return [Done(None)] if len(script.events) == 4 else [Rebind(server)]

    script = Script(react)
    await converse(script)
    assert script.events[1:] == [SocketBound(endpoints[n]) for n in (0, 1, 0)]


async def test_another_way_to_the_server_is_told_until_there_is_a_new_socket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = ServerAddress("127.0.0.1", 9)
    monkeypatch.setattr(driver, "_LOOK_AT_ROUTE_EVERY", 0.001)
    monkeypatch.setattr(Datagrams, "is_astray", True)

    def react(event: Event) -> list[Command]:
        match event:
            case Started():
                return [Rebind(server)]
            case RouteChanged() if len(script.events) > 3:
                monkeypatch.setattr(Datagrams, "is_astray", False)
                return [Done(None)]
        return []

    script = Script(react)
    await converse(script)
    changed = RouteChanged()
    assert script.events == [Started(), SocketBound(Endpoint("127.0.0.1", 9)), changed, changed]


async def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(address: ServerAddress, family: Family) -> list[Endpoint]:
        raise OSError(f"{address}: no such name")

    monkeypatch.setattr("rdpeer.net.driver.resolve", nothing)

    def react(event: Event) -> list[Command]:
        return [Rebind(ServerAddress("rs.example"))] if isinstance(event, Started) else [Done(event)]

    outcome = await converse(Script(react))
    assert outcome.value == SocketFailed("rs.example:21116: no such name")


async def test_a_datagram_without_a_socket_is_a_bug() -> None:
    with pytest.raises(LocalProtocolError, match="before there was a socket"):
        await converse(Script(lambda event: [SendDatagram(b"")]))


def _udp_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock
