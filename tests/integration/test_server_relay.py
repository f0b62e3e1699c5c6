"""The relay over real sockets, with each of its pumps."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import socket
import struct
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
from bare_clients import Stream, message, until

from rdpeer.server import Server
from rdpeer.wire import rendezvous_pb2 as wire

MakeServer = Callable[..., Server]

needs_splice = pytest.mark.skipif(not hasattr(os, "splice"), reason="Linux")
PUMPS = [
    "copy",
    pytest.param("splice", marks=needs_splice),
    pytest.param("splice", marks=[needs_splice, pytest.mark.prompt_loop], id="splice, prompt loop"),
]
both_pumps = pytest.mark.parametrize("pump", PUMPS)

MIB = 1024 * 1024


def arrive(leg: Stream, server: Server, token: str = "token", key: str | None = None) -> None:
    key = server.key.text if key is None else key
    leg.send(message(request_relay=wire.RequestRelay(uuid=token, licence_key=key)))


@both_pumps
async def test_each_half_closes_by_itself_in_either_order(server: MakeServer, pump: str) -> None:
    async with server(pump=pump) as running:
        for first in (0, 1):
            async with Stream(running.base + 1) as one, Stream(running.base + 1) as two:
                legs = (one, two)
                for leg in legs:
                    arrive(leg, running, f"token {first}")
                early, late = legs[first], legs[1 - first]
                early.writer.write(b"question")
                early.writer.write_eof()
                assert await late.reader.read() == b"question"
                late.writer.write(b"answer")
                late.writer.write_eof()
                assert await early.reader.read() == b"answer"
        await until(lambda: running.connections == 0)


@both_pumps
async def test_what_follows_the_first_frame_is_delivered(server: MakeServer, pump: str) -> None:
    async with server(pump=pump) as running, Stream(running.base + 1) as one, Stream(running.base + 1) as two:
        for leg, text in ((one, b"\x00 from one"), (two, b"\xff from two")):
            arrive(leg, running)
            leg.writer.write(text)
        assert await two.reader.readexactly(10) == b"\x00 from one"
        assert await one.reader.readexactly(10) == b"\xff from two"


@both_pumps
async def test_bulk_arrives_whole_both_ways(server: MakeServer, pump: str) -> None:
    block = os.urandom(MIB)
    expected = hashlib.sha256(block * 64).digest()

    async def send(leg: Stream) -> None:
        for _ in range(64):
            leg.writer.write(block)
            await leg.writer.drain()
        leg.writer.write_eof()

    async def digest(leg: Stream) -> bytes:
        total = hashlib.sha256()
        while piece := await leg.reader.read(MIB):
            total.update(piece)
        return total.digest()

    async with server(pump=pump) as running, Stream(running.base + 1) as one, Stream(running.base + 1) as two:
        arrive(one, running)
        arrive(two, running)
        results = await asyncio.gather(send(one), send(two), digest(one), digest(two))
    assert results[2:] == [expected, expected]


@both_pumps
async def test_a_reader_that_stops_stops_the_writer(server: MakeServer, pump: str) -> None:
    offered = 256 * MIB
    async with server(pump=pump) as running:
        async with Stream(running.base + 1) as writer, Stream(running.base + 1) as reader:
            arrive(writer, running)
            arrive(reader, running)
            reader.writer.write(b"!")
            assert await writer.reader.readexactly(1) == b"!"  # joined
            reader.writer.transport.pause_reading()  # type: ignore[attr-defined]
            taken = await taken_until_blocked(writer, offered)
            assert taken < offered
            async with Stream(running.base) as other:  # the server itself goes on
                other.send(message(test_nat_request=wire.TestNatRequest()))
                assert (await other.hear_message()).test_nat_response.port
            writer.writer.transport.abort()
            reader.writer.transport.abort()
        await until(lambda: running.connections == 0)


async def taken_until_blocked(leg: Stream, offered: int) -> int:
    """Offers bytes until the transport's buffer does not drain though the loop turned often."""
    taken = 0
    leg.writer.transport.set_write_buffer_limits(0)
    while taken < offered:
        leg.writer.write(bytes(MIB))
        taken += MIB
        for _ in range(2000):
            if not leg.writer.transport.get_write_buffer_size():
                break
            await asyncio.sleep(0)
        else:
            return taken
    return taken


async def test_strangers_are_refused(server: MakeServer) -> None:
    async with server() as running:
        for token, key in (("t", ""), ("t", "another key"), ("", None), ("x" * 129, None)):
            async with Stream(running.base + 1) as leg:
                arrive(leg, running, token, key)
                assert await leg.ended()


async def test_a_token_makes_one_pair(server: MakeServer) -> None:
    async with server() as running, Stream(running.base + 1) as one, Stream(running.base + 1) as two:
        arrive(one, running)
        arrive(two, running)
        async with Stream(running.base + 1) as third:
            one.writer.write(b"x")
            await two.reader.readexactly(1)
            arrive(third, running)
            assert await third.ended()


async def test_a_leg_whose_other_does_not_come_is_closed(server: MakeServer) -> None:
    async with server() as running, Stream(running.base + 1) as leg:
        arrive(leg, running)
        await until(lambda: running.parked == 1)
        now = asyncio.get_running_loop().time()
        running.sweep(now + 29)
        assert running.connections == 1
        running.sweep(now + 31)
        assert await leg.ended()


@both_pumps
async def test_a_broken_leg_ends_the_other(server: MakeServer, pump: str) -> None:
    async with server(pump=pump) as running:
        async with Stream(running.base + 1) as one, Stream(running.base + 1) as two:
            arrive(one, running)
            arrive(two, running)
            one.writer.write(b"x")
            await two.reader.readexactly(1)
            one.writer.transport.abort()
            two.writer.write(b"y")
            assert await two.ended()
            two.writer.write_eof()
        await until(lambda: running.connections == 0)


@both_pumps
async def test_a_message_each_way_in_turns_many_times(server: MakeServer, pump: str) -> None:
    async with server(pump=pump) as running, Stream(running.base + 1) as one, Stream(running.base + 1) as two:
        arrive(one, running)
        arrive(two, running)
        for number in range(300):
            text = b"%6d" % number
            one.writer.write(text)
            assert await two.reader.readexactly(6) == text
            two.writer.write(text[::-1])
            assert await one.reader.readexactly(6) == text[::-1]
        (pair,) = running.pairs
        assert pair.meter.carried == 300 * 12


@needs_splice
@pytest.mark.parametrize("loop", ["usual", pytest.param("prompt", marks=pytest.mark.prompt_loop)])
async def test_without_a_descriptor_for_a_pipe_one_pair_ends_and_others_come(
    server: MakeServer, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    def exhausted(flags: int) -> tuple[int, int]:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with server(pump="splice") as running:
        with monkeypatch.context() as patch:
            patch.setattr(os, "pipe2", exhausted)
            async with Stream(running.base + 1) as one, Stream(running.base + 1) as two:
                arrive(one, running)
                arrive(two, running)
                one.writer.write(bytes(MIB))
                assert len(await two.reader.read()) < MIB
        await until(lambda: running.connections == 0)
        async with Stream(running.base + 1) as one, Stream(running.base + 1) as two:
            arrive(one, running, "another")
            arrive(two, running, "another")
            one.writer.write(b"x")
            assert await two.reader.readexactly(1) == b"x"


@both_pumps
async def test_a_dead_leg_that_nobody_reads_or_writes_ends_the_other(
    server: MakeServer, pump: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has ended its own direction, and the other end says nothing."""
    monkeypatch.setattr("rdpeer.net.pump._LOOK_AFTER", 0.05)  # only to be quick
    async with (
        server(pump=pump) as running,
        Stream(running.base + 1) as dead,
        Stream(running.base + 1) as alive,
    ):
        arrive(dead, running)
        arrive(alive, running)
        dead.writer.write(b"question")
        dead.writer.write_eof()
        assert await alive.reader.read() == b"question"
        assert len(running.pairs) == 1
        reset(dead)
        await until(lambda: running.connections == 0)


def reset(leg: Stream) -> None:
    """As a machine does that has come up again."""
    linger = struct.pack("ii", 1, 0)
    leg.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    leg.writer.transport.abort()


async def test_the_system_asks_an_idle_leg_whether_it_is_there(server: MakeServer) -> None:
    """Each minute, and gives it up after four more questions, 15 s apart."""
    async with server() as running, Stream(running.base + 1) as one, Stream(running.base + 1) as two:
        arrive(one, running)
        arrive(two, running)
        await until(lambda: len(running.pairs) == 1)
        (pair,) = running.pairs
        for leg in (pair.first.socket, pair.second.socket):
            assert leg.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
                if hasattr(socket, name):
                    assert leg.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) == value


async def test_stopping_ends_parked_and_joined_legs(server: MakeServer) -> None:
    async with server() as running:
        one, two, parked = (Stream(running.base + 1) for _ in range(3))
        for leg, token in ((one, "a"), (two, "a"), (parked, "b")):
            await leg.__aenter__()
            arrive(leg, running, token)
        one.writer.write(b"x")
        await two.reader.readexactly(1)
        await until(lambda: running.parked == 1)
    for leg in (one, two, parked):
        assert await leg.ended()
        await leg.__aexit__(None, None, None)


@needs_splice
@pytest.mark.parametrize("loop", ["usual", pytest.param("prompt", marks=pytest.mark.prompt_loop)])
async def test_a_stop_closes_nothing_that_is_still_worked_with(
    server: MakeServer, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    """A number that was closed may be another file's by then."""
    splice, astray = os.splice, []

    def checked(source: int, sink: int, *rest: Any, **options: Any) -> int:
        try:
            os.fstat(source), os.fstat(sink)
        except OSError as error:
            astray.append(error)
        return splice(source, sink, *rest, **options)

    monkeypatch.setattr(os, "splice", checked)

    async def send(leg: Stream) -> None:
        with suppress(OSError):
            while True:
                leg.writer.write(bytes(64 * 1024))
                await leg.writer.drain()

    async def take(leg: Stream) -> None:
        with suppress(OSError):
            while await leg.reader.read(MIB):
                pass

    async with AsyncExitStack() as legs:
        async with server(pump="splice") as running:
            pairs = []
            for number in range(4):
                pair = [await legs.enter_async_context(Stream(running.base + 1)) for _ in range(2)]
                for leg in pair:
                    arrive(leg, running, f"token {number}")
                pairs.append(pair)
            busy = [asyncio.create_task(work(leg)) for pair in pairs for leg in pair for work in (send, take)]
            await until(lambda: len(running.pairs) == 4 and all(p.meter.carried > MIB for p in running.pairs))
        for task in busy:
            task.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
    assert not astray


@both_pumps
async def test_a_limited_pair_gets_everything_in_the_end(
    server: MakeServer, tmp_path: Path, pump: str
) -> None:
    (tmp_path / "blacklist.txt").write_text("127.0.0.1\n")
    limits = {"single_bandwidth": 400.0, "total_bandwidth": 300.0, "limit_speed": 200.0}
    async with server(pump=pump, data_dir=tmp_path, **limits) as running:
        async with Stream(running.base + 1) as one, Stream(running.base + 1) as two:
            arrive(one, running)
            arrive(two, running)
            one.writer.write(bytes(MIB))
            two.writer.write(b"\xff" * MIB)
            assert await one.reader.readexactly(MIB) == b"\xff" * MIB
            assert await two.reader.readexactly(MIB) == bytes(MIB)
            (pair,) = running.pairs
            assert pair.meter.carried == 2 * MIB
            assert pair.budget.limit == 200 * MIB // 8
        await until(lambda: not running.pairs)


@both_pumps
async def test_an_idle_pair_ends_where_the_operator_says_so(server: MakeServer, pump: str) -> None:
    async with (
        server(pump=pump, relay_idle=100.0) as running,
        Stream(running.base + 1) as one,
        Stream(running.base + 1) as two,
    ):
        arrive(one, running)
        arrive(two, running)
        one.writer.write(b"!")
        assert await two.reader.readexactly(1) == b"!"
        (pair,) = running.pairs
        running.sweep(pair.last + 99.9)
        assert running.pairs == [pair]
        running.sweep(pair.last + 100.1)  # 100.0 may be rounded down
        assert await one.ended()
        assert await two.ended()
