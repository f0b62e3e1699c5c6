"""Bare clients: they send what they are told, from an address that is chosen, and wait only for so long."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from rdpeer.errors import ConnectionLost
from rdpeer.net.transport.websocket import MAX_MESSAGE, WebSocketStream, connect
from rdpeer.net.udp import Datagrams
from rdpeer.values import Endpoint, WebAddress
from rdpeer.wire.frames import decode_header, encode_frame, header_size


class Silent(Exception):
    """Nothing came in time."""


class Closed(Exception):
    """The other end closed."""


class TcpAsker:
    """One TCP connection: frames, or raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.local = Endpoint.of(writer.get_extra_info("sockname"))

    @classmethod
    async def connect(cls, server: Endpoint, local_ip: str) -> TcpAsker:
        """From ``local_ip``. OSError where there is nobody."""
        return cls(*await asyncio.open_connection(server.ip, server.port, local_addr=(local_ip, 0)))

    def send(self, payload: bytes) -> None:
        self._writer.write(encode_frame(payload))

    def send_raw(self, data: bytes) -> None:
        self._writer.write(data)

    def end(self) -> None:
        """Our direction alone."""
        with suppress(OSError):  # closed by the other end already
            self._writer.write_eof()

    async def hear(self, within: float) -> bytes:
        """The next payload; Silent or Closed where there is none."""
        header = await self.hear_raw(1, within)
        header += await self.hear_raw(header_size(header[0]) - 1, within)
        return await self.hear_raw(decode_header(header), within)

    async def hear_raw(self, count: int, within: float) -> bytes:
        """So many bytes; Silent or Closed where they do not come."""
        try:
            async with asyncio.timeout(within):
                return await self._reader.readexactly(count)
        except TimeoutError:
            raise Silent from None
        except (asyncio.IncompleteReadError, OSError):
            raise Closed from None

    async def close(self) -> None:
        self._writer.close()
        with suppress(OSError):  # closed by the other end already
            await self._writer.wait_closed()


class WebAsker:
    """One WebSocket."""

    def __init__(self, stream: WebSocketStream) -> None:
        self._stream = stream
        self.local = stream.local

    @classmethod
    async def connect(cls, server: Endpoint, local_ip: str, within: float) -> WebAsker:
        """From ``local_ip``. OSError where there is nobody, or no WebSocket."""
        address, local = WebAddress(server.ip, server.port, "ws"), Endpoint(local_ip, 0)
        return cls(await connect(address, limit=MAX_MESSAGE, timeout=within, local=local))

    def send(self, payload: bytes) -> None:
        self._stream.send(payload)

    async def hear(self, within: float) -> bytes:
        """The next message; Silent or Closed where there is none."""
        try:
            async with asyncio.timeout(within):
                payload = await self._stream.receive()
        except TimeoutError:
            raise Silent from None
        except ConnectionLost:
            raise Closed from None
        if payload is None:
            raise Closed
        return payload

    async def close(self) -> None:
        self._stream.abort()


class UdpAsker:
    """One datagram socket."""

    def __init__(self, datagrams: Datagrams) -> None:
        self._datagrams = datagrams
        self.local = datagrams.local

    @classmethod
    async def connect(cls, server: Endpoint, local_ip: str) -> UdpAsker:
        """From ``local_ip``. OSError where there is no route."""
        return cls(await Datagrams.connect([server], local_ip))

    def send(self, payload: bytes) -> None:
        self._datagrams.send(payload)

    async def hear(self, within: float) -> bytes:
        """The next datagram; Silent where there is none."""
        try:
            async with asyncio.timeout(within):
                return await self._datagrams.receive()
        except TimeoutError:
            raise Silent from None

    async def close(self) -> None:
        self._datagrams.close()
