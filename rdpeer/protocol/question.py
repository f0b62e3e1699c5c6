"""One question to the rendezvous server, on a TCP connection of its own.

A server answers a request at most once, and what it answers to a second one on
the same connection nobody can tell (docs/PROTOCOL.md 9.3, 13); so each question
gets its connection. What all questions share is here: connecting, asking again
on silence, skipping the one KeyExchange with which some servers begin, and what
to call the server when it does not do its part.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from rdpeer.errors import (
    LocalProtocolError,
    RdpeerError,
    RemoteProtocolError,
    ServerRefused,
    ServerUnreachable,
)
from rdpeer.protocol.conversation import (
    Command,
    DeadlineReached,
    Event,
    Fail,
    FrameReceived,
    OpenStream,
    SendFrame,
    Started,
    StreamClosed,
    StreamFailed,
    StreamOpened,
)
from rdpeer.protocol.places import not_reached, place
from rdpeer.values import Endpoint, ServerAddress, ServerKey
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.messages import parse

CONNECT_TIMEOUT = 15.0
"""Seconds in which a server or relay must have taken our connection."""

SERVER = "server"
"""The name of the stream to the rendezvous server."""


@dataclass(frozen=True, slots=True)
class RendezvousServer:
    """A rendezvous server as it is configured. ``key_origin`` says where its key was set, for people."""

    address: ServerAddress
    key: ServerKey | None = None
    key_origin: str = ""

    @property
    def licence_key(self) -> str:
        """What is shown to the server and its relay; empty where no key is configured."""
        return str(self.key or "")


class Question(ABC):
    """The part of a conversation that asks. A subclass says what, and what the answer means.

    ``waits``: the request is sent that many times, each time waiting so many
    seconds. ``expected``: the members of RendezvousMessage that are an answer.
    ``reuse``: whether others are to share the local port of the connection.
    """

    waits: tuple[float, ...]
    expected: tuple[str, ...]
    reuse: bool = False

    def __init__(self, address: ServerAddress) -> None:
        self._address = address
        self._local: Endpoint | None = None
        self._remote: Endpoint | None = None
        self._sent = 0
        self._greeted = False
        self._deadline: float | None = None

    @property
    def deadline(self) -> float | None:
        """Monotonic seconds; None before the start."""
        return self._deadline

    def handle(self, event: Event, now: float) -> list[Command]:
        match event:
            case Started():
                self._deadline = now + CONNECT_TIMEOUT
                return [OpenStream(SERVER, self._address, self.reuse)]
            case StreamOpened(local=local, remote=remote):
                self._local, self._remote = local, remote
                return self._opened(now)
            case FrameReceived(payload=payload):
                return self._received(payload, now)
            case StreamFailed(reason=reason):
                return [Fail(not_reached(self._address, reason))]
            case StreamClosed():
                return [Fail(self._closed())]
            case DeadlineReached():
                return self._time_up(now)
            case _:
                raise LocalProtocolError(f"a question has no use for {type(event).__name__}")

    def _opened(self, now: float) -> list[Command]:
        """The server is reached. What comes before the question, at last :meth:`_ask`."""
        return self._ask(now)

    @abstractmethod
    def _request(self) -> pb.RendezvousMessage: ...

    @abstractmethod
    def _answered(self, message: pb.RendezvousMessage, now: float) -> list[Command]: ...

    @abstractmethod
    def _silent(self) -> RdpeerError:
        """The error when nothing was answered to the last request."""

    def _closed(self) -> RdpeerError:
        """The error when the connection ends without an answer."""
        return ServerRefused(f"{self._where} closed the connection without an answer")

    @property
    def _where(self) -> str:
        return place(self._address, self._remote)

    def _ask(self, now: float) -> list[Command]:
        self._deadline = now + self.waits[self._sent]
        self._sent += 1
        return [SendFrame(SERVER, self._request().SerializeToString())]

    def _time_up(self, now: float) -> list[Command]:
        if not self._sent:
            return [Fail(ServerUnreachable(f"no answer from {self._address} for {CONNECT_TIMEOUT:.0f} s"))]
        if self._sent == len(self.waits):
            return [Fail(self._silent())]
        return self._ask(now)

    def _received(self, payload: bytes, now: float) -> list[Command]:
        try:
            message = parse(pb.RendezvousMessage, payload)
        except RemoteProtocolError as error:
            return [Fail(RemoteProtocolError(f"{self._where} sent what cannot be read: {error}"))]
        kind = message.WhichOneof("union")
        if kind in self.expected:
            return self._answered(message, now)
        if kind == "key_exchange" and not self._greeted:
            self._greeted = True
            return []
        return [Fail(RemoteProtocolError(f"{self._where} answered with {kind or 'an unknown message'}"))]
