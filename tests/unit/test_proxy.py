"""Connections through proxies: what is asked of them, and what they may answer."""

from __future__ import annotations

import asyncio
import socket

import pytest
from proxies import Proxy, listening, running, through

from rdpeer.net.transport.tcp import TcpListener, connect
from rdpeer.values import Endpoint, ServerAddress


@pytest.mark.parametrize("scheme", ["socks5", "http"])
@pytest.mark.parametrize("user", ["", "me"])
async def test_a_name_is_resolved_by_the_proxy(scheme: str, user: str) -> None:
    proxy = Proxy(scheme, user, "s%cret:@ /" if user else "", names={"only.there.example": "127.0.0.1"})
    async with running(proxy), await TcpListener.open(Endpoint("127.0.0.1", 0), limit=100) as there:
        port = there.endpoint.port
        url = proxy.url.replace("s%cret:@ /", "s%25cret%3A%40%20%2F")
        with through(url):
            near = await connect(ServerAddress("only.there.example", port), limit=100, timeout=10)
        far = await there.accept()
        far.send(b"the server speaks first")
        assert await near.receive() == b"the server speaks first"
        near.send(b"and is answered")
        assert await far.receive() == b"and is answered"
        await asyncio.gather(near.close(), far.close())
        assert proxy.asked == [f"only.there.example:{port}"]


@pytest.mark.parametrize("scheme", ["socks5", "http"])
async def test_literals_travel_as_they_are(scheme: str) -> None:
    async with running(Proxy(scheme)) as proxy:
        for literal in ("127.0.0.1", "::1"):
            with through(proxy.url), pytest.raises(OSError):
                await connect(ServerAddress(literal, 1), limit=100, timeout=10)
        assert proxy.asked == ["127.0.0.1:1", "::1:1"]


@pytest.mark.parametrize(
    ("scheme", "credentials", "reason"),
    [
        ("socks5", "", "it wants a user and a password"),
        ("socks5", "me:wrong@", "the user or the password is wrong"),
        ("http", "", "HTTP 407 Proxy Authentication Required"),
        ("http", "me:wrong@", "HTTP 407 Proxy Authentication Required"),
    ],
)
async def test_credentials_that_do_not_pass(scheme: str, credentials: str, reason: str) -> None:
    async with running(Proxy(scheme, "me", "right")) as proxy:
        url = f"{scheme}://{credentials}127.0.0.1:{proxy.port}"
        with through(url), pytest.raises(OSError) as failed:
            await connect(ServerAddress("rs.example"), limit=100, timeout=10)
        assert str(failed.value).startswith("rs.example:21116: the proxy ")
        assert str(failed.value).endswith(f": {reason}")
        assert "wrong@" not in str(failed.value)
        assert proxy.asked == []


async def test_a_proxy_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with through(f"socks5://127.0.0.1:{port}"), pytest.raises(OSError) as failed:
        await connect(ServerAddress("rs.example"), limit=100, timeout=10)
    expected = f"rs.example:21116: the proxy cannot be reached: 127.0.0.1:{port}: Connection refused"
    assert str(failed.value) == expected


ANSWERS = [
    ("socks5", b"\x05\x00\x05\x02\x00\x01", "not allowed by its rules"),
    ("socks5", b"\x05\x00\x05\x63\x00\x01", "refused with 99"),
    ("socks5", b"\x05\x00\x05\x00\x00\x09", "its answer cannot be read"),
    ("socks5", b"\x05\x00\x04\x00\x00\x01", "it does not speak SOCKS5"),
    ("socks5", b"\x05\xff", "it wants a user and a password"),
    ("socks5", b"\x05\x02", "it wants a user and a password"),
    ("socks5", b"HTTP/1.1 400 Bad Request\r\n\r\n", "it does not speak SOCKS5"),
    ("socks5", b"\x05\x00\x05\x00\x00\x03\xffshort", "it closed the connection"),
    ("socks5", b"", "it closed the connection"),
    ("http", b"HTTP/1.1 403 \x1b[31mNo\x07\r\n\r\n", "HTTP 403 ?[31mNo?"),
    ("http", b"HTTP/1.1 503 " + b"x" * 500 + b"\r\n\r\n", "HTTP 503 " + "x" * 76 + "..."),
    ("http", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2000, "its answer is too long"),
    ("http", b"SSH-2.0-OpenSSH\r\n\r\n", "it does not speak HTTP"),
    ("http", b"HTTP/1.1 20\r\n\r\n", "it does not speak HTTP"),
    ("http", b"HTTP/1.1 200 OK\r\n", "it closed the connection"),
]


@pytest.mark.parametrize(("scheme", "answer", "reason"), ANSWERS, ids=range(len(ANSWERS)))
async def test_whatever_a_proxy_answers_is_one_line(scheme: str, answer: bytes, reason: str) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.write_eof()
        await reader.read()

    async with listening(serve) as port:
        with through(f"{scheme}://127.0.0.1:{port}"), pytest.raises(OSError) as failed:
            await connect(ServerAddress("rs.example"), limit=100, timeout=10)
    assert str(failed.value).endswith(f": {reason}")
    assert str(failed.value).isprintable()


@pytest.mark.parametrize("scheme", ["socks5", "http"])
async def test_a_proxy_that_is_silent_is_waited_for_no_longer_than_told(scheme: str) -> None:
    async def serve(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    async with listening(serve) as port:
        with through(f"{scheme}://127.0.0.1:{port}"), pytest.raises(TimeoutError):
            await connect(ServerAddress("rs.example"), limit=100, timeout=0.1)
