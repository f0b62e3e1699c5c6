"""Runs one conversation: its commands become sockets, and what happens there becomes its events.

Whatever is waited for (a connection, the next frame of a stream, the next
datagram) is one task, and the task's result is the event. So there is one
loop, one event is handled at a time, and nothing is read from a stream before
the conversation has dealt with what came before.

A stream that Done keeps is handed over unread: conversations keep a stream
from the moment it was opened, and its reader starts only after that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from rdpeer.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError
from rdpeer.net import trace
from rdpeer.net.clock import monotonic
from rdpeer.net.outbound import outbound
from rdpeer.net.resolve import resolve
from rdpeer.net.transport import FrameStream
from rdpeer.net.transport.connect import connect
from rdpeer.net.transport.hole import TcpHole
from rdpeer.net.udp import Datagrams
from rdpeer.protocol.conversation import (
    CloseStream,
    Command,
    Conversation,
    DatagramReceived,
    DeadlineReached,
    Done,
    Event,
    Fail,
    FrameReceived,
    Listen,
    ListenerFailed,
    ListenerOpened,
    OpenStream,
    Rebind,
    Report,
    RouteChanged,
    SendDatagram,
    SendFrame,
    SocketBound,
    SocketFailed,
    Started,
    StoreRecord,
    StreamClosed,
    StreamFailed,
    StreamOpened,
)
from rdpeer.values import Endpoint, ServerAddress

FRAME_LIMIT = 4096
"""Bytes. Rendezvous messages are far shorter, and nobody has proven anything yet (docs/CHANNEL.md 3)."""

_CONNECT_TIMEOUT = 60.0  # a conversation's own deadline comes earlier

_LOOK_AT_ROUTE_EVERY = 5.0  # a peer that has moved is to be back within 20 s

Notify = Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What Done said, and what it keeps: by name, open, and the caller's from here on."""

    value: Any
    streams: dict[str, FrameStream] = field(default_factory=dict)
    listeners: dict[str, TcpHole] = field(default_factory=dict)


async def converse(
    conversation: Conversation, *, report: Notify | None = None, record: Notify | None = None
) -> Outcome:
    """Runs ``conversation`` to its end.

    ``report`` gets the values of its Reports, ``record`` those of its
    StoreRecords, at once and in order. Raises the error of Fail. Everything
    that is not kept is closed when this returns or raises, cancellation
    included.
    """
    driver = _Driver(trace.conversation(conversation), report, record)
    try:
        return await driver.run()
    finally:
        await driver.end()


class _Driver:
    def __init__(self, conversation: Conversation, report: Notify | None, record: Notify | None) -> None:
        self._conversation = conversation
        self._report = report
        self._record = record
        self._waiting: dict[tuple[str, str], asyncio.Task[Event]] = {}
        self._leaving: set[asyncio.Task[Any]] = set()
        self._streams: dict[str, FrameStream] = {}
        self._listeners: dict[str, TcpHole] = {}
        self._datagrams: Datagrams | None = None
        self._tried: Endpoint | None = None
        self._done: Done | None = None

    async def run(self) -> Outcome:
        self._handle(Started())
        while self._done is None:
            self._handle(await self._next_event())
        await asyncio.gather(*self._leaving, return_exceptions=True)
        keep = self._done.keep
        return Outcome(
            self._done.value,
            {name: self._streams.pop(name) for name in keep if name in self._streams},
            {name: self._listeners.pop(name) for name in keep if name in self._listeners},
        )

    async def end(self) -> None:
        """Drops all that is still there."""
        for key in list(self._waiting):
            self._forget(*key)
        for task in self._leaving:
            task.cancel()
        try:
            await asyncio.gather(*self._leaving, return_exceptions=True)
        finally:  # cancelled once more, perhaps
            self._close()

    def _close(self) -> None:
        for stream in self._streams.values():
            stream.abort()
        for listener in self._listeners.values():
            listener.close()
        if self._datagrams is not None:
            self._datagrams.close()

    # Events

    async def _next_event(self) -> Event:
        """One at a time, the deadline first: no flood of events may put it off."""
        while True:
            deadline = self._conversation.deadline
            if deadline is not None and deadline <= monotonic():
                return DeadlineReached()
            if not self._waiting and deadline is None:
                raise LocalProtocolError("the conversation waits for nothing")
            await self._something_happens(None if deadline is None else deadline - monotonic())
            for key, task in self._waiting.items():
                if task.done():
                    del self._waiting[key]
                    return task.result()

    async def _something_happens(self, timeout: float | None) -> None:
        if self._waiting:
            await asyncio.wait(self._waiting.values(), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(timeout or 0)

    def _handle(self, event: Event) -> None:
        for command in self._conversation.handle(event, monotonic()):
            self._perform(command)
        if isinstance(event, StreamClosed) and event.stream in self._streams:
            self._streams.pop(event.stream).abort()
        self._read_on()

    def _read_on(self) -> None:
        if self._done is not None:
            return
        for name, stream in self._streams.items():
            if ("stream", name) not in self._waiting:
                self._wait("stream", name, _frame(name, stream))
        if self._datagrams is not None and ("socket", "") not in self._waiting:
            self._wait("socket", "", _datagram(self._datagrams))

    def _wait(self, kind: str, name: str, happening: Coroutine[Any, Any, Event]) -> None:
        self._waiting[kind, name] = asyncio.create_task(happening)

    def _forget(self, kind: str, name: str) -> None:
        if (task := self._waiting.pop((kind, name), None)) is not None:
            task.cancel()
            self._leave(task)

    def _leave(self, task: asyncio.Task[Any]) -> None:
        """Lets ``task`` come to its end by itself; it is waited for when the conversation is over."""
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    # Commands

    def _perform(self, command: Command) -> None:
        match command:
            case SendDatagram(payload):
                self._bound().send(payload)
            case Rebind(server):
                self._rebind(server)
            case OpenStream(name, address, reuse, beside):
                local = self._streams[beside].local if beside else None
                self._wait("stream", name, self._open(name, address, reuse, local))
            case Listen(name, beside, dial):
                self._wait("listener", name, self._listen(name, self._streams[beside].local, dial))
            case SendFrame(name, payload):
                self._streams[name].send(payload)
            case CloseStream(name):
                self._forget("stream", name)
                self._leave(asyncio.create_task(self._streams.pop(name).close()))
            case Report(what):
                if self._report is not None:
                    self._report(what)
            case StoreRecord(record):
                if self._record is not None:
                    self._record(record)
            case Done():
                self._done = command
            case Fail(error):
                raise error

    def _bound(self) -> Datagrams:
        if self._datagrams is None:
            raise LocalProtocolError("a datagram was sent before there was a socket")
        return self._datagrams

    def _rebind(self, server: ServerAddress) -> None:
        self._forget("socket", "")
        if self._datagrams is not None:
            self._datagrams.close()
            self._datagrams = None
        self._wait("socket", "", self._bind(server))

    async def _bind(self, server: ServerAddress) -> Event:
        try:
            if outbound().proxy:
                raise OSError(f"{server}: no datagram passes a proxy")
            endpoints = _after(self._tried, await resolve(server, outbound().family))
            self._datagrams = await Datagrams.connect(endpoints)
        except OSError as error:
            return SocketFailed(str(error))
        self._tried = self._datagrams.remote
        return SocketBound(self._tried)

    async def _open(self, name: str, address: ServerAddress, reuse: bool, local: Endpoint | None) -> Event:
        try:
            stream = await connect(
                address, limit=FRAME_LIMIT, timeout=_CONNECT_TIMEOUT, local_port_reuse=reuse, local=local
            )
        except OSError as error:
            return StreamFailed(name, str(error))
        self._streams[name] = stream
        return StreamOpened(name, stream.local, None if outbound().proxy else stream.remote)

    async def _listen(self, name: str, endpoint: Endpoint, dial: Endpoint | None) -> Event:
        try:
            listener = await TcpHole.open(endpoint, limit=FRAME_LIMIT)
        except OSError as error:
            return ListenerFailed(name, str(error))
        self._listeners[name] = listener
        if dial:
            await listener.dial(dial)
        return ListenerOpened(name, listener.endpoint)


async def _frame(name: str, stream: FrameStream) -> Event:
    try:
        payload = await stream.receive()
    except ConnectionLost:
        return StreamClosed(name)
    except RemoteProtocolError as error:
        raise RemoteProtocolError(f"{stream.remote}: {error}") from None
    return StreamClosed(name) if payload is None else FrameReceived(name, payload)


async def _datagram(datagrams: Datagrams) -> Event:
    """The next one; or, while none comes, that it cannot come any more."""
    while True:
        try:
            async with asyncio.timeout(_LOOK_AT_ROUTE_EVERY):
                return DatagramReceived(await datagrams.receive())
        except TimeoutError:
            if datagrams.is_astray:
                return RouteChanged()


def _after(tried: Endpoint | None, endpoints: list[Endpoint]) -> list[Endpoint]:
    """``endpoints`` from the one behind ``tried`` on, around to it: what did not answer comes last."""
    if tried not in endpoints:
        return endpoints
    start = endpoints.index(tried) + 1
    return endpoints[start:] + endpoints[:start]
