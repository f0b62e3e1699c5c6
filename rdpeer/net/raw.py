"""A connection without frames: what one is from where a stock port forward begins (docs/PROTOCOL.md 3.7)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from rdpeer.errors import ConnectionLost, RdpeerError
from rdpeer.values import Endpoint

_UNREAD_LIMIT = 512 * 1024  # asyncio stops reading at twice as much
_CLOSE_TIMEOUT = 1.0


class RawStream:
    """A Source (rdpeer.net.pipe) that is written to like a Sink, over ``transport``, which it owns.

    ``rest`` is what was read behind the last frame, ``ended`` whether that was all. What breaks the
    connection is ConnectionLost, so that it can be told from a failure of what it is joined with.
    """

    ends_with_peer = False

    def __init__(self, transport: asyncio.Transport, rest: bytes, *, ended: bool) -> None:
        self._transport = transport
        self._remote = Endpoint.of(transport.get_extra_info("peername"))
        self._reader = asyncio.StreamReader(_UNREAD_LIMIT)
        protocol = asyncio.StreamReaderProtocol(self._reader)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        loop = asyncio.get_running_loop()
        self._writer = asyncio.StreamWriter(transport, protocol, self._reader, loop)
        self._reader.feed_data(rest)
        if ended:
            self._reader.feed_eof()
        else:
            transport.resume_reading()

    def fail(self, error: RdpeerError) -> None:
        """The connection broke before it turned raw: what reads it gets ``error`` behind the rest."""
        self._reader.set_exception(error)

    async def read(self, limit: int) -> bytes:
        """As :meth:`Source.read`, but for ConnectionLost where the connection broke."""
        try:
            return await self._reader.read(limit)
        except OSError as error:
            raise self._lost(error) from error

    async def status(self) -> None:
        """As :meth:`Source.status`: a connection has none."""

    def close(self) -> None:
        """As :meth:`Source.close`. The other direction may go on, so the connection stays open."""

    async def write(self, chunks: Sequence[memoryview]) -> None:
        """As :meth:`Sink.write`: the kernel has them. ConnectionLost where the connection broke."""
        try:
            self._writer.writelines(chunks)
            await self._writer.drain()
        except OSError as error:
            raise self._lost(error) from error

    async def finish(self) -> None:
        """As :meth:`Sink.finish`, and the end of both directions: stock carries none alone.

        What still comes is read and dropped for up to 1 s: with unread bytes the kernel would send RST,
        which may overtake what was just written.
        """
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(_CLOSE_TIMEOUT):
                self._writer.write_eof()
                while await self._reader.read(_UNREAD_LIMIT):
                    pass
        self.abort()

    def abort(self) -> None:
        """As :meth:`Sink.abort`."""
        self._transport.abort()

    def _lost(self, error: OSError) -> ConnectionLost:
        return ConnectionLost(f"the connection to {self._remote} was lost: {error.strerror or error}")
