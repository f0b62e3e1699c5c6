"""What Prometheus reads, and the page that it reads it from."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from exhaustion import out_of_descriptors

from rdpeer.errors import UsageError
from rdpeer.net.page import serve_page
from rdpeer.net.ports import listen_locally
from rdpeer.server.metrics import render
from rdpeer.values import Endpoint

STATUS = {
    "peers": 3, "online": 2, "waiting": 1, "connections": 4, "pairs": 1, "parked": 0,
    "relayed_bytes": 5, "keep_alives": 6, "started": 7.5,
    "requests": {"register accepted": 8, "connect passed on": 9},
    "limits": {"connections": 16, "token_rest": 60.0},
    "relay_servers": {"relay.example:21117": False},
}  # fmt: skip


def test_each_metric_has_its_type_and_value() -> None:
    lines = render(STATUS).splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert samples == [
        "rdpeer_peers 3",
        "rdpeer_peers_online 2",
        "rdpeer_peers_waiting 1",
        "rdpeer_connections 4",
        "rdpeer_relay_pairs 1",
        "rdpeer_relay_parked_legs 0",
        "rdpeer_relay_bytes_total 5",
        "rdpeer_keep_alives_total 6",
        "rdpeer_start_time_seconds 7.5",
        'rdpeer_requests_total{what="connect",decision="passed on"} 9',
        'rdpeer_requests_total{what="register",decision="accepted"} 8',
        'rdpeer_limit{name="connections"} 16',
        'rdpeer_limit{name="token_rest"} 60.0',
        'rdpeer_relay_server_up{relay="relay.example:21117"} 0',
    ]
    names = {sample.partition("{")[0].partition(" ")[0] for sample in samples}
    assert {line.split()[2] for line in lines if line.startswith("# TYPE")} == names
    assert {line.split()[2] for line in lines if line.startswith("# HELP")} == names


@asynccontextmanager
async def page(render: Callable[[], str] = lambda: "text\n") -> AsyncIterator[int]:
    with listen_locally(Endpoint("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(serve_page(listener, "/metrics", render))
        yield listener.getsockname()[1]
        serving.cancel()
        await asyncio.wait([serving])


async def get(port: int, request: bytes) -> tuple[bytes, bytes]:
    """Status line and body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    if not request.endswith(b"\r\n\r\n"):
        writer.write_eof()
    try:
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    except ConnectionResetError:
        head, body = b"", b""
    writer.close()
    return head.partition(b"\r\n")[0], body


async def test_it_is_there_again_when_descriptors_are(monkeypatch: pytest.MonkeyPatch) -> None:
    out_of_descriptors(monkeypatch)
    async with page() as port:
        assert await get(port, b"GET /metrics HTTP/1.1\r\n\r\n") == (b"HTTP/1.1 200 OK", b"text\n")


async def test_the_page_is_there_and_no_other() -> None:
    async with page() as port:
        assert await get(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n") == (b"HTTP/1.1 200 OK", b"text\n")
        assert await get(port, b"GET /metrics?x=1 HTTP/1.0\r\n\r\n") == (b"HTTP/1.1 200 OK", b"text\n")
        assert (await get(port, b"GET / HTTP/1.1\r\n\r\n"))[0] == b"HTTP/1.1 404 Not Found"
        assert (await get(port, b"POST /metrics HTTP/1.1\r\n\r\n"))[0] == b"HTTP/1.1 405 Method Not Allowed"
        for nonsense in (b"", b"\xff" * 20_000, b"GET /metrics"):
            assert await get(port, nonsense) == (b"", b"")
        assert (await get(port, b"GET /metrics HTTP/1.1\r\n\r\n"))[1] == b"text\n"


async def test_a_page_that_cannot_be_made_is_told_and_survived(caplog: pytest.LogCaptureFixture) -> None:
    texts = iter(["text\n"])
    async with page(lambda: render({}) if caplog.text == "" else next(texts)) as port:
        assert await get(port, b"GET /metrics HTTP/1.1\r\n\r\n") == (b"", b"")
        assert (await get(port, b"GET /metrics HTTP/1.1\r\n\r\n"))[1] == b"text\n"
    assert "KeyError" in caplog.text


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "::"])
def test_others_shall_not_read_it(address: str) -> None:
    with pytest.raises(UsageError, match="is not a loopback address"):
        listen_locally(Endpoint(address, 0))


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"TCP port {port} at 127.0.0.1 is taken"):
            listen_locally(Endpoint("127.0.0.1", port))
