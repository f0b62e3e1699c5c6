"""Stock desktops that come to a listener with ``--allow-stock``: their login, and the bytes behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from rdpeer.errors import ConnectionLost, NoPath
from rdpeer.net import trace, tunnel
from rdpeer.net.clock import monotonic
from rdpeer.net.raw import RawStream
from rdpeer.net.target import SocketTarget
from rdpeer.net.transport import FrameStream
from rdpeer.net.transport.tcp import TcpStream
from rdpeer.protocol.handshake import Send
from rdpeer.protocol.login import MAX_PAYLOAD
from rdpeer.protocol.visit import Guessed, Passed, TurnedAway, TurnedRaw, Visit, VisitEvent

TARGET_TIMEOUT = 3.0
"""Seconds for the connection to the target, as stock has it: its initiator waits for the answer."""

IDLE = 3600.0
"""Seconds without a byte either way after which a tunnel ends, as stock has it."""

Report = Callable[[str], None]


class Reception:
    """One visitor's way in. ``report`` is told each decision in a line, behind who it is about."""

    def __init__(self, stream: FrameStream, visit: Visit, path: str, report: Report) -> None:
        self._stream = stream
        self._visit = visit
        self._path = path
        self._report = report
        visit.on_message = trace.messages(stream)

    def __str__(self) -> str:
        return f"{self._visit.visitor or 'somebody'} (stock), {self._path}"

    async def login(self) -> bool:
        """Whether the visitor has given the password; every wrong one is reported.

        Raises NoPath, DeadlineExceeded, ConnectionLost, RemoteProtocolError.
        """
        if not isinstance(self._stream, TcpStream):
            raise NoPath("it came in a way that cannot turn raw")
        self._stream.limit = MAX_PAYLOAD
        self._stream.step()
        events = self._sent(self._visit.start())
        while True:
            for event in events:
                if isinstance(event, Guessed | TurnedAway):
                    self._tell(f"denied, {event.why}")
                if isinstance(event, Passed | TurnedAway):
                    return isinstance(event, Passed)
            events = await self._next()

    async def tunnel(self) -> None:
        """Connects to the target, lets the visitor in, and carries its bytes to their end.

        Raises as :meth:`login`, and OSError where the target broke.
        """
        try:
            target = await SocketTarget.connect(self._visit.target, timeout=TARGET_TIMEOUT)
        except OSError as error:
            self._sent(self._visit.turn_away())
            self._tell(f"refused, the target cannot be reached: {error}")
            await self._stream.close()
            return
        try:
            raw = await self._let_in()
        except BaseException:
            target.abort()
            raise
        await tunnel.join(raw, target, idle=IDLE)

    async def _let_in(self) -> RawStream:
        events = self._sent(self._visit.welcome())
        self._tell("accepted by stock password")
        while not any(isinstance(event, TurnedRaw) for event in events):
            events = await self._next()
        assert isinstance(self._stream, TcpStream)  # noqa: S101 - others were refused
        return await self._stream.turn_raw()

    async def _next(self) -> list[VisitEvent]:
        """What the next frame means, or the passing of time."""
        try:
            async with asyncio.timeout(self._visit.deadline - monotonic()):
                await self._stream.drain()
                payload = await self._stream.receive()
        except TimeoutError:
            return self._sent(self._visit.handle_timeout(monotonic()))
        if payload is None:
            raise ConnectionLost("the desktop closed the connection before it was let in")
        return self._sent(self._visit.receive(payload, monotonic()))

    def _sent(self, events: Sequence[VisitEvent]) -> list[VisitEvent]:
        """Sends what is to be sent; the rest is for the caller."""
        for event in events:
            if isinstance(event, Send):
                self._stream.send(event.payload)
        return [event for event in events if not isinstance(event, Send)]

    def _tell(self, what: str) -> None:
        self._report(f"{self}: {what}")
