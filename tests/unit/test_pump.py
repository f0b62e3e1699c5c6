"""What moves bytes between two sockets, each way of doing it: nothing lost, unpaid or left open."""

from __future__ import annotations

import asyncio
import fcntl
import os
import random
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from rdpeer.net.budget import Budget, Meter
from rdpeer.net.pump import Pump, PumpName, make_pump

needs_splice = pytest.mark.skipif(not hasattr(os, "splice"), reason="Linux")
SPLICES = [
    pytest.param("splice", marks=needs_splice),
    pytest.param("splice", marks=[needs_splice, pytest.mark.prompt_loop], id="splice, prompt loop"),
]
each_pump = pytest.mark.parametrize("name", ["copy", *SPLICES])
each_splice = pytest.mark.parametrize("name", SPLICES)
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no /proc")

KIB = 1024


class Toll(Budget):
    """Lets pass what was allowed, and counts it."""

    def __init__(self, turn: int) -> None:
        super().__init__(10**9)
        self.turn = turn
        self.allowed = self.paid = 0
        self._asked = asyncio.Event()

    async def refuses(self) -> None:
        """Waits until somebody asked, once more, and there was no room."""
        self._asked.clear()
        await self._asked.wait()

    def room(self, now: float) -> int:
        if self.paid == self.allowed:
            self._asked.set()
        return self.allowed - self.paid

    def spend(self, count: int, now: float) -> None:
        self.paid += count


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        far = socket.create_connection(listener.getsockname())
        near, _ = listener.accept()
    for sock in (near, far):
        sock.setblocking(False)
    return near, far


class Way:
    """One direction that is carried: what is sent at ``entrance`` comes out at ``exit``."""

    def __init__(self, pump: Pump, meter: Meter) -> None:
        self.source, self.entrance = tcp_pair()
        self.sink, self.exit = tcp_pair()
        self.carrying = asyncio.create_task(pump.carry(self.source, self.sink, meter))

    async def hear(self, count: int) -> bytes:
        loop, heard = asyncio.get_running_loop(), b""
        while len(heard) < count:
            piece = await loop.sock_recv(self.exit, count - len(heard))
            assert piece
            heard += piece
        return heard

    async def fill(self) -> int:
        """Sends until nothing moves any more: how much was taken."""
        taken = quiet = 0
        while quiet < 200:
            try:
                taken += self.entrance.send(bytes(256 * KIB))
                quiet = 0
            except BlockingIOError:
                quiet += 1
            await asyncio.sleep(0)
        return taken

    async def stop(self) -> None:
        self.carrying.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await self.carrying
        for sock in (self.source, self.entrance, self.sink, self.exit):
            sock.close()


@asynccontextmanager
async def carried(name: PumpName, *budgets: Budget) -> AsyncIterator[Way]:
    pump = make_pump(name)
    way = Way(pump, Meter(budgets))
    try:
        yield way
    finally:
        await way.stop()
        pump.close()


@each_pump
async def test_nothing_passes_that_was_not_paid_for(name: PumpName) -> None:
    toll, text = Toll(10), bytes(range(50))
    async with carried(name, toll) as way:
        way.entrance.send(text)
        heard = b""
        for allowed in (10, 20, 30, 50):
            toll.allowed = allowed
            heard += await way.hear(allowed - len(heard))
            assert heard == text[:allowed]
            if allowed < len(text):
                await toll.refuses()
            with pytest.raises(BlockingIOError):
                way.exit.recv(1)
        assert toll.paid == 50


@each_pump
async def test_what_was_read_before_the_limit_came_down_is_paid_for_in_pieces(name: PumpName) -> None:
    toll = Toll(100)
    async with carried(name, toll) as way:
        way.entrance.send(bytes(100))
        await toll.refuses()  # it is held now
        toll.turn = 30
        way_meter(way).adjust()
        toll.allowed = 90
        await toll.refuses()
        assert toll.paid == 90
        toll.allowed = 100
        assert await way.hear(100) == bytes(100)
        assert toll.paid == 100


def way_meter(way: Way) -> Meter:
    """The one that was given to ``carry``."""
    return way.carrying.get_coro().cr_frame.f_locals["meter"]  # type: ignore[union-attr]


@each_pump
async def test_urgent_data_delays_nothing(name: PumpName) -> None:
    async with carried(name) as way:
        way.entrance.send(b"before")
        way.entrance.send(b"!", socket.MSG_OOB)
        way.entrance.send(b"after")
        assert await way.hear(11) == b"beforeafter"
        way.entrance.shutdown(socket.SHUT_WR)
        await way.carrying


@each_pump
async def test_random_sizes_arrive_whole_through_small_buffers(name: PumpName) -> None:
    draw = random.Random(5)
    pieces = [draw.randbytes(draw.choice((1, 7, 4096, 65_537, 300_000))) for _ in range(40)]
    async with carried(name) as way:
        for sock in (way.source, way.sink, way.exit):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * KIB)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * KIB)

        async def send() -> None:
            for piece in pieces:
                await asyncio.get_running_loop().sock_sendall(way.entrance, piece)

        sending = asyncio.create_task(send())
        assert await way.hear(sum(map(len, pieces))) == b"".join(pieces)
        await sending


@each_pump
async def test_messages_that_a_full_sink_does_not_take_follow_in_order(name: PumpName) -> None:
    sent = b""
    async with carried(name) as way:
        for sock in (way.sink, way.exit):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * KIB)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 * KIB)
        for number in range(200):  # each by itself, many more than fit
            message = b"%04d" % number * 250
            way.entrance.send(message)
            sent += message
            for _ in range(4):
                await asyncio.sleep(0)
        assert await way.hear(len(sent)) == sent
        way.entrance.send(b"the next one")
        assert await way.hear(12) == b"the next one"


@each_pump
async def test_messages_and_masses_in_turn_arrive_whole(name: PumpName) -> None:
    async with carried(name) as way:
        for size in (1, 4095, 4096, 4097, 1, 200 * KIB, 1, 4096, 1, 4095):
            text = os.urandom(size)
            sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(way.entrance, text))
            assert await way.hear(size) == text
            await sending


@each_pump
async def test_a_sink_that_breaks_while_it_is_full_is_an_error(name: PumpName) -> None:
    async with carried(name) as way:
        assert await way.fill()
        way.exit.close()  # what it has not read makes this a reset
        with pytest.raises(OSError, match=r"."):
            await way.carrying


@each_splice
async def test_a_sink_that_only_claims_to_take_more_takes_no_core(
    name: PumpName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is where the system has no memory left for what is sent."""
    splice, calls = os.splice, [0]

    def refused(source: int, sink: int, count: int, **options: int) -> int:
        if sink != way.sink.fileno():
            return splice(source, sink, count, **options)
        calls[0] += 1
        raise BlockingIOError

    async with carried(name) as way:
        with monkeypatch.context() as patch:
            patch.setattr(os, "splice", refused)
            way.entrance.send(bytes(8 * KIB))  # more than a message
            for _ in range(1000):
                await asyncio.sleep(0)
        assert 0 < calls[0] < 10
        assert await way.hear(8 * KIB) == bytes(8 * KIB)


@needs_proc
@each_pump
@pytest.mark.parametrize("state", ["idle", "full", "unpaid", "ended", "broken"])
async def test_no_descriptor_is_left_in_whatever_state_it_ends(name: PumpName, state: str) -> None:
    before = descriptors()
    for _ in range(3):
        async with carried(name, *([Toll(10)] if state == "unpaid" else [])) as way:
            way.entrance.send(b"x")
            if state != "unpaid":
                assert await way.hear(1) == b"x"
            if state == "full":
                await way.fill()
            if state == "ended":
                way.entrance.shutdown(socket.SHUT_WR)
                await way.carrying
            if state == "broken":
                way.entrance.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                way.entrance.close()
                with pytest.raises(OSError, match=r"."):
                    await way.carrying
    assert descriptors() == before


@needs_proc
@each_splice
async def test_pipes_are_used_again_and_only_some_are_kept(name: PumpName) -> None:
    pump, before = make_pump(name), descriptors()
    tolls = [Toll(10) for _ in range(30)]
    ways = [Way(pump, Meter([toll])) for toll in tolls]
    for way, toll in zip(ways, tolls, strict=True):
        way.entrance.send(b"x")
        await toll.refuses()
    assert descriptors() == before + 30 * 4 + 30 * 2  # each holds its byte in a pipe
    for way, toll in zip(ways, tolls, strict=True):
        toll.allowed = 10**9
        assert await way.hear(1) == b"x"
    assert descriptors() <= before + 30 * 4 + 16 * 2
    for _ in range(3):  # one after the other needs none anew
        for way in ways:
            way.entrance.send(b"y")
            assert await way.hear(1) == b"y"
    assert descriptors() <= before + 30 * 4 + 16 * 2
    for way in ways:
        await way.stop()
    pump.close()
    assert descriptors() == before


@each_splice
async def test_where_no_larger_pipe_is_to_be_had_the_usual_one_does(
    name: PumpName, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(fcntl, "fcntl", refused)
    text = os.urandom(500 * KIB)
    async with carried(name) as way:
        sending = asyncio.create_task(asyncio.get_running_loop().sock_sendall(way.entrance, text))
        assert await way.hear(len(text)) == text
        await sending


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
