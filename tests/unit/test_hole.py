"""A port that listens and dials at the same time: whichever end comes first, there is one connection."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from rdpeer.net.transport import hole as module
from rdpeer.net.transport.dial import connected
from rdpeer.net.transport.hole import TcpHole, dial_until_heard
from rdpeer.net.transport.tcp import TcpListener, TcpStream, connect
from rdpeer.values import Endpoint, ServerAddress

HERE = Endpoint("127.0.0.1", 0)


@asynccontextmanager
async def holes(count: int) -> AsyncIterator[list[TcpHole]]:
    opened = [await TcpHole.open(HERE, limit=100) for _ in range(count)]
    try:
        yield opened
    finally:
        for hole in opened:
            hole.close()
        await asyncio.sleep(0)


async def joined(one: TcpStream, other: TcpStream) -> bool:
    """Whether the two are ends of one connection, which they are no more afterwards."""
    one.send(b"here")
    heard = await other.receive()
    one.abort()
    other.abort()
    return heard == b"here" and (one.local, one.remote) == (other.remote, other.local)


async def test_one_end_dials_and_the_other_takes_it() -> None:
    async with holes(2) as (near, far):
        await near.dial(far.endpoint)
        assert await joined(await near.accept(), await far.accept())


async def test_both_ends_dial_and_meet_in_one_connection() -> None:
    async with holes(2) as (near, far):
        await near.dial(far.endpoint)
        await far.dial(near.endpoint)
        assert await joined(await near.accept(), await far.accept())
        assert "address" in far.failure  # taken: the other's connection came first


async def test_what_is_refused_is_said_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY_AFTER", 0)
    monkeypatch.setattr(module, "MOST_TRIES", 3)
    async with await TcpListener.open(HERE, limit=100) as gone:
        nobody = gone.endpoint
    told: list[OSError] = []
    with pytest.raises(ConnectionRefusedError):
        await dial_until_heard(nobody, limit=100, refused=told.append)
    assert list(map(str, told)) == [f"{nobody}: Connection refused"] * 2


async def test_a_stranger_may_come_too() -> None:
    async with holes(2) as (near, far):
        where = ServerAddress(near.endpoint.ip, near.endpoint.port)
        stranger = await connect(where, limit=100, timeout=5)
        assert await joined(await near.accept(), stranger)
        await near.dial(far.endpoint)
        assert await joined(await near.accept(), await far.accept())


async def test_a_refusal_means_not_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    refused = asyncio.Event()

    async def watched(endpoint: Endpoint, **options: Any) -> socket.socket:
        try:
            return await connected(endpoint, **options)
        except ConnectionRefusedError:
            refused.set()
            raise

    monkeypatch.setattr(module, "connected", watched)
    monkeypatch.setattr(module, "RETRY_AFTER", 0)
    monkeypatch.setattr(module, "MOST_TRIES", 1_000_000)
    async with await TcpListener.open(HERE, limit=100) as gone:
        later = gone.endpoint
    async with holes(1) as (near,):
        await near.dial(later)
        await refused.wait()
        async with await TcpListener.open(later, limit=100) as far:
            assert await joined(await near.accept(), await far.accept())


async def test_who_refuses_for_ever_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is somebody else's word: it gets a bounded number of packets."""
    tries: list[Endpoint] = []

    async def refuse(endpoint: Endpoint, **_: object) -> socket.socket:
        tries.append(endpoint)
        raise ConnectionRefusedError(f"{endpoint}: Connection refused")

    monkeypatch.setattr(module, "connected", refuse)
    monkeypatch.setattr(module, "RETRY_AFTER", 0)
    there = Endpoint("203.0.113.9", 9)
    with pytest.raises(ConnectionRefusedError, match=r"203\.0\.113\.9:9: Connection refused"):
        await dial_until_heard(there, limit=100)
    assert tries == [there] * module.MOST_TRIES


async def test_what_cannot_be_dialled_is_said_and_the_port_still_listens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def unreachable(endpoint: Endpoint, **_: object) -> socket.socket:
        raise OSError(errno.ENETUNREACH, "no route")

    monkeypatch.setattr(module, "connected", unreachable)
    async with holes(1) as (near,):
        await near.dial(Endpoint("203.0.113.9", 9))
        stranger = await connect(ServerAddress("127.0.0.1", near.endpoint.port), limit=100, timeout=5)
        assert await joined(await near.accept(), stranger)
        assert "no route" in near.failure


async def test_dialling_again_forgets_why_it_failed_before(monkeypatch: pytest.MonkeyPatch) -> None:
    reachable = False

    async def at_last(endpoint: Endpoint, **_: object) -> socket.socket:
        if not reachable:
            raise OSError(errno.ENETUNREACH, "no route")
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    monkeypatch.setattr(module, "connected", at_last)
    there = Endpoint("203.0.113.9", 9)
    async with holes(1) as (near,):
        await near.dial(there)
        assert "no route" in near.failure
        reachable = True
        await near.dial(there)
        assert not near.failure


async def test_closing_gives_up_what_is_pending() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as deaf:
        async with holes(1) as (near,):
            await near.dial(Endpoint("127.0.0.1", deaf.getsockname()[1]))
            port = near.endpoint.port
        with socket.create_server(("127.0.0.1", port)):
            pass  # the port is free again
