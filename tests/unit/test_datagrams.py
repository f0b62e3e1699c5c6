"""The socket that answers datagrams: one by one, and in rows."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from rdpeer.net.datagrams import DatagramSocket

both_ways = pytest.mark.parametrize("in_rows", [False, True], ids=["one by one", "in rows"])
needs_rows = pytest.mark.skipif(sys.platform != "linux", reason="Linux has these calls")
v4_and_v6 = pytest.mark.parametrize(
    "address",
    ["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6"))],
)


def bound(address: str) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, 0))
    return sock


@asynccontextmanager
async def serving(
    answer: Callable[[bytes, Any, float], bytes | None], *, in_rows: bool, address: str = "127.0.0.1"
) -> AsyncIterator[tuple[socket.socket, DatagramSocket]]:
    """Somebody who asks, and the socket that is asked."""
    sock = bound(address)
    served = DatagramSocket(sock, in_rows=in_rows)
    task = asyncio.create_task(served.serve(answer))
    with bound(address) as asker:
        asker.connect(sock.getsockname())
        asker.setblocking(False)
        try:
            yield asker, served
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            served.close()


async def hear(asker: socket.socket, count: int) -> list[bytes]:
    loop = asyncio.get_running_loop()
    return [await loop.sock_recv(asker, 4096) for _ in range(count)]


@both_ways
@v4_and_v6
async def test_each_is_told_with_its_source_and_answered(in_rows: bool, address: str) -> None:
    sources = []

    def answer(datagram: bytes, source: Any, now: float) -> bytes:
        sources.append(source)
        return datagram[::-1]

    async with serving(answer, in_rows=in_rows, address=address) as (asker, _):
        for text in (b"one", b"", b"three"):
            asker.send(text)
            assert await hear(asker, 1) == [text[::-1]]
        assert set(sources) == {asker.getsockname()}


@both_ways
async def test_many_at_once_are_answered_in_order_whatever_they_get(in_rows: bool) -> None:
    same, other = b"the same for many", b"another"

    def answer(datagram: bytes, source: Any, now: float) -> bytes | None:
        number = int(datagram)
        if number % 7 == 0:
            return None
        return other if number % 10 == 0 else str(number).encode() if number % 11 == 0 else same

    expected = [reply for n in range(200) if (reply := answer(str(n).encode(), None, 0.0)) is not None]
    async with serving(answer, in_rows=in_rows) as (asker, _):
        for number in range(200):
            asker.send(str(number).encode())
        assert await hear(asker, len(expected)) == expected


@both_ways
async def test_each_source_gets_its_own_answer(in_rows: bool) -> None:
    same = b"for everybody"
    async with serving(lambda datagram, source, now: same, in_rows=in_rows) as (asker, _):
        others = [bound("127.0.0.1") for _ in range(100)]
        for other in others:
            other.sendto(b"question", asker.getpeername())
        for other in others:
            other.setblocking(False)
            assert await hear(other, 1) == [same]
            other.close()


@both_ways
async def test_a_longer_one_than_anything_worth_an_answer_comes_cut(in_rows: bool) -> None:
    async with serving(lambda datagram, *_: str(len(datagram)).encode(), in_rows=in_rows) as (asker, _):
        asker.send(bytes(9000))
        asker.send(bytes(2047))
        assert await hear(asker, 2) == [b"2048", b"2047"]


@needs_rows
def test_an_answer_that_cannot_be_sent_is_lost_and_none_of_its_row() -> None:
    from rdpeer.net.rows import Rows

    with bound("127.0.0.1") as sock, bound("127.0.0.1") as asker:
        sock.setblocking(False)
        asker.connect(sock.getsockname())
        asker.settimeout(10)
        rows, calls = Rows(sock), []
        send = rows._send

        def fail_at_the_third(descriptor: int, first: int, count: int, flags: int) -> int:
            calls.append(count)
            if len(calls) == 1:
                return send(descriptor, first, 2, flags)
            return -1 if len(calls) == 2 else send(descriptor, first, count, flags)

        rows._send = fail_at_the_third
        for number in range(5):
            asker.send(b"%d" % number)
        assert rows.drain(lambda *_: b"same", 0.0, 100)
        assert calls == [5, 3, 2]
        assert [asker.recv(10) for _ in range(4)] == [b"same"] * 4
        asker.setblocking(False)
        with pytest.raises(BlockingIOError):
            asker.recv(10)


@both_ways
@pytest.mark.parametrize("loop", ["usual", pytest.param("prompt", marks=pytest.mark.prompt_loop)])
async def test_what_has_not_an_answer_at_once_has_one_later(in_rows: bool, loop: str) -> None:
    """The answer may leave something for the event loop, which has its turn."""
    running = asyncio.get_running_loop()

    def answer(datagram: bytes, source: Any, now: float) -> None:
        running.call_soon(lambda: served.send(b"later", source))

    async with serving(answer, in_rows=in_rows) as (asker, served):
        asker.send(b"question")
        async with asyncio.timeout(10):  # nothing else would ever wake the loop
            assert await hear(asker, 1) == [b"later"]


@both_ways
async def test_somebody_who_is_gone_does_not_keep_others_from_their_answer(in_rows: bool) -> None:
    async with serving(lambda *_: b"answer", in_rows=in_rows) as (asker, _):
        gone = bound("127.0.0.1")
        gone.sendto(b"question", asker.getpeername())
        gone.close()
        asker.send(b"question")
        assert await hear(asker, 1) == [b"answer"]


@needs_rows
def test_an_answer_that_is_too_long_is_a_bug_and_harms_no_other() -> None:
    from rdpeer.net.rows import Rows

    with bound("127.0.0.1") as sock, bound("127.0.0.1") as asker:
        sock.setblocking(False)
        asker.connect(sock.getsockname())
        asker.settimeout(10)
        rows = Rows(sock)
        asker.send(b"question")
        with pytest.raises(ValueError, match=r"."):
            rows.drain(lambda *_: bytes(2049), 0.0, 100)
        asker.send(b"question")
        assert rows.drain(lambda *_: b"short", 0.0, 100)
        assert asker.recv(100) == b"short"


@needs_rows
def test_rows_are_used_where_they_are_to_be_had() -> None:
    from rdpeer.net.rows import can_row

    with bound("127.0.0.1") as v4:
        assert can_row(v4)
    if socket.has_ipv6:
        with bound("::1") as v6:
            assert not can_row(v6)
