"""Proxies, as small as they can be: SOCKS5 and HTTP CONNECT, on loopback, written from their RFCs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from rdpeer.net import outbound
from rdpeer.net.outbound import Outbound, ProxyAddress

Reader, Writer = asyncio.StreamReader, asyncio.StreamWriter


@dataclass
class Proxy:
    """``asked`` has each place that it was to connect to, as it was named; ``names`` is its own DNS."""

    scheme: str
    user: str = ""
    password: str = ""
    names: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        credentials = f"{self.user}:{self.password}@" if self.user else ""
        return f"{self.scheme}://{credentials}127.0.0.1:{self.port}"

    async def connect(self, reader: Reader, writer: Writer) -> tuple[Reader, Writer] | None:
        """Where the client wants to go, or None: it has been told why not."""
        return await (self._http if self.scheme == "http" else self._socks)(reader, writer)

    async def _socks(self, reader: Reader, writer: Writer) -> tuple[Reader, Writer] | None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        method = 2 if self.user else 0
        writer.write(bytes([5, method if method in methods else 255]))
        if method not in methods:
            return None
        if self.user:
            _, length = await reader.readexactly(2)
            user = await reader.readexactly(length)
            password = await reader.readexactly((await reader.readexactly(1))[0])
            right = (user.decode(), password.decode()) == (self.user, self.password)
            writer.write(bytes([1, not right]))
            if not right:
                return None
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        there = await self._go(host, port)
        writer.write(bytes([5, 0 if there else 5, 0, 1]) + bytes(6))
        return there

    async def _http(self, reader: Reader, writer: Writer) -> tuple[Reader, Writer] | None:
        request, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        method, place, _ = request.split()
        wanted = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        if self.user and f"Proxy-Authorization: Basic {wanted}" not in headers:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return None
        host, _, port = place.rpartition(":")
        there = await self._go(host.strip("[]"), int(port)) if method == "CONNECT" else None
        writer.write(
            b"HTTP/1.1 200 OK\r\nVia: test\r\n\r\n" if there else b"HTTP/1.1 502 Bad Gateway\r\n\r\n"
        )
        return there

    async def _go(self, host: str, port: int) -> tuple[Reader, Writer] | None:
        self.asked.append(f"{host}:{port}")
        try:
            return await asyncio.open_connection(self.names.get(host, host), port)
        except OSError:
            return None


async def _carry(reader: Reader, writer: Writer) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


@asynccontextmanager
async def listening(serve: Callable[[Reader, Writer], Awaitable[None]]) -> AsyncIterator[int]:
    """Serves each connection until it has ended; the port."""
    tasks: set[asyncio.Task[None]] = set()

    def accepted(reader: Reader, writer: Writer) -> None:
        async def visit() -> None:
            try:
                await serve(reader, writer)
            except (OSError, EOFError):
                pass
            finally:
                writer.close()

        tasks.add(asyncio.create_task(visit()))

    server = await asyncio.start_server(accepted, "127.0.0.1")
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def running(proxy: Proxy) -> AsyncIterator[Proxy]:
    async def serve(reader: Reader, writer: Writer) -> None:
        if (there := await proxy.connect(reader, writer)) is None:
            return
        far_reader, far_writer = there
        try:
            await asyncio.gather(_carry(reader, far_writer), _carry(far_reader, writer))
        finally:
            far_writer.close()

    async with listening(serve) as proxy.port:
        yield proxy


@contextlib.contextmanager
def through(url: str):
    """Whatever is dialled inside goes through the proxy at ``url``."""
    token = outbound.use(Outbound(proxy=ProxyAddress.parse(url)))
    try:
        yield
    finally:
        outbound.restore(token)
