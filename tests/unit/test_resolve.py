"""Names to addresses."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from rdpeer.net.resolve import resolve
from rdpeer.values import Endpoint, Family, ServerAddress


def answers(*found: tuple[int, str]) -> Any:
    def getaddrinfo(host: str, port: int, *, family: int, type: int) -> list[Any]:  # noqa: A002 - as in socket
        return [(kind, type, 17, "", (ip, port)) for kind, ip in found]

    return getaddrinfo


async def test_a_literal_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "getaddrinfo")
    assert await resolve(ServerAddress("192.0.2.1", 5)) == [Endpoint("192.0.2.1", 5)]
    assert await resolve(ServerAddress("2001:db8::1", 5)) == [Endpoint("2001:db8::1", 5)]


async def test_all_addresses_in_their_order_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET6, "2001:db8::1"), (socket.AF_INET, "192.0.2.1"), (socket.AF_INET, "192.0.2.1")]
    monkeypatch.setattr(socket, "getaddrinfo", answers(*found))
    assert await resolve(ServerAddress("rs.example", 5)) == [
        Endpoint("2001:db8::1", 5),
        Endpoint("192.0.2.1", 5),
    ]


async def test_a_name_that_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(OSError, match=r"^rs\.example:5: Name or service not known$"):
        await resolve(ServerAddress("rs.example", 5))


async def test_a_name_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", answers())
    with pytest.raises(OSError, match="no address"):
        await resolve(ServerAddress("rs.example", 5))


async def test_one_family_alone_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def unknown(host: str, port: int, *, family: int, **_: object) -> None:
        asked.append(family)
        raise socket.gaierror(socket.EAI_NODATA, "No address associated with hostname")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    for family in (Family.V4, Family.V6):
        reason = f"^rs.example:5: no IPv{family} address: No address associated with hostname$"
        with pytest.raises(OSError, match=reason):
            await resolve(ServerAddress("rs.example", 5), family)
    assert asked == [socket.AF_INET, socket.AF_INET6]


@pytest.mark.parametrize(("host", "family"), [("192.0.2.1", Family.V6), ("2001:db8::1", Family.V4)])
async def test_a_literal_of_the_other_family(host: str, family: Family) -> None:
    with pytest.raises(OSError, match=f"not an IPv{family} address$"):
        await resolve(ServerAddress(host, 5), family)


@pytest.mark.parametrize("host", ["a..b", "a" * 64 + ".example"])
async def test_a_name_that_cannot_be_one(host: str) -> None:
    with pytest.raises(OSError, match="not a host name"):
        await resolve(ServerAddress(host, 5))


async def test_a_look_up_that_hangs_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    entered, release = threading.Event(), threading.Event()

    def hanging(*args: object, **kwargs: object) -> list[object]:
        entered.set()
        release.wait()
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    looking = asyncio.create_task(resolve(ServerAddress("rs.example", 5)))
    await asyncio.to_thread(entered.wait)
    looking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await looking
    release.set()
