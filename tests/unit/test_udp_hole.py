"""Holes for datagrams on real sockets: two that meet, and nobody there."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import closing

import pytest

from rdpeer.net.transport.udp_hole import UdpHole
from rdpeer.values import Endpoint
from rdpeer.wire import kcp

LIMIT = 4096
HERE = "127.0.0.1"


async def test_two_holes_meet_whoever_comes_first(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "rdpeer.net.trace")
    near, far = UdpHole.open(HERE), UdpHole.open(HERE)
    there, here = far.endpoint, near.endpoint
    calling = asyncio.create_task(near.connect(there, limit=LIMIT, timeout=10))
    await asyncio.sleep(0)
    left, right = await asyncio.gather(calling, far.accept(here, limit=LIMIT, timeout=10))
    near.close()
    far.close()
    right.send(b"who accepts may speak first")
    assert await left.receive() == b"who accepts may speak first"
    left.abort()
    right.abort()
    assert sorted(record.getMessage() for record in caplog.records) == sorted(
        f"-- udp {remote}: {what}"
        for remote in (here, there)
        for what in ("empty datagrams go there until one comes", "the way is open")
    )


@pytest.mark.parametrize("way", ["connect", "accept"])
async def test_nobody_there(way: str) -> None:
    with closing(UdpHole.open(HERE)) as hole, socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind((HERE, 0))
        there = Endpoint.of(silent.getsockname())
        with pytest.raises(TimeoutError, match=r"127\.0\.0\.1:\d+: no answer by UDP within 0\.1 s"):
            await getattr(hole, way)(there, limit=LIMIT, timeout=0.1)
        silent.setblocking(False)
        assert silent.recv(100) == b""
    assert hole.socket.fileno() == -1


async def test_who_accepts_waits_for_what_is_not_empty_and_hears_strangers_never() -> None:
    with (
        closing(UdpHole.open(HERE)) as hole,
        socket.socket(type=socket.SOCK_DGRAM) as caller,
        socket.socket(type=socket.SOCK_DGRAM) as stranger,
    ):
        for sock in (caller, stranger):
            sock.setblocking(False)
            sock.bind((HERE, 0))
        address = (hole.endpoint.ip, hole.endpoint.port)
        there = Endpoint.of(caller.getsockname())
        accepting = asyncio.create_task(hole.accept(there, limit=LIMIT, timeout=10))
        loop = asyncio.get_running_loop()
        assert await loop.sock_recv(caller, 100) == b""
        syn = kcp.encode_header(kcp.encode_name(7), kcp.SYN)
        for _ in range(50):
            stranger.sendto(syn, address)
            caller.sendto(b"", address)
        caller.sendto(syn, address)
        answer = b""
        while not answer:
            answer = await loop.sock_recv(caller, 100)
        assert answer == kcp.encode_header(kcp.encode_name(7), kcp.SYN | kcp.ACK)
        caller.sendto(kcp.encode_header(kcp.encode_name(7), kcp.ACK | kcp.DATA), address)
        (await accepting).abort()
        with pytest.raises(BlockingIOError):
            stranger.recv(100)


async def test_the_server_is_told_three_times() -> None:
    with closing(UdpHole.open(HERE)) as hole, socket.socket(type=socket.SOCK_DGRAM) as server:
        server.setblocking(False)
        server.bind((HERE, 0))
        await hole.announce(b"here", Endpoint.of(server.getsockname()))
        assert [server.recvfrom(10) for _ in range(3)] == [(b"here", hole.socket.getsockname())] * 3
