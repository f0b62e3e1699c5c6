"""What every conversation is made of: events in, commands out, one deadline.

A conversation is a state machine without I/O. Its driver (``rdpeer.net.driver``)
tells it what happened, in the past tense, and does what it says, in the
imperative, in the order given:

    commands = conversation.handle(event, now)

``now`` is a monotonic time in seconds; a conversation never reads a clock. It
shows one ``deadline``; when that time has come the driver sends DeadlineReached.
It ends with Done or Fail, after which it is not to be used.

Streams and listeners have names, chosen by the conversation, unique in it.
Anything still open at the end is closed, but for what Done keeps.

None of these is ever changed, though they are not frozen: freezing doubles what
making a class costs, and the first byte waits for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rdpeer.errors import RdpeerError
from rdpeer.values import Endpoint, ServerAddress

# Events


@dataclass(slots=True)
class Started:
    """The first event of every conversation."""


@dataclass(slots=True)
class SocketBound:
    """A Rebind is done: datagrams go to, and are heard from, ``remote`` alone."""

    remote: Endpoint


@dataclass(slots=True)
class SocketFailed:
    """A Rebind did not succeed: the name was not resolved, or no address of it can be used."""

    reason: str


@dataclass(slots=True)
class RouteChanged:
    """The way to the server is another one, or none, than when the socket was bound: it is of no use any
    more. Said every few seconds until a Rebind."""


@dataclass(slots=True)
class DatagramReceived:
    """From the server's own address; others are dropped by the driver."""

    payload: bytes


@dataclass(slots=True)
class StreamOpened:
    """``remote`` is None where a proxy hides it."""

    stream: str
    local: Endpoint
    remote: Endpoint | None


@dataclass(slots=True)
class StreamFailed:
    """An OpenStream did not succeed."""

    stream: str
    reason: str


@dataclass(slots=True)
class FrameReceived:
    stream: str
    payload: bytes


@dataclass(slots=True)
class StreamClosed:
    """By the other end, in order or not; not sent for a CloseStream of our own."""

    stream: str


@dataclass(slots=True)
class ListenerOpened:
    listener: str
    local: Endpoint


@dataclass(slots=True)
class ListenerFailed:
    """A Listen did not succeed."""

    listener: str
    reason: str


@dataclass(slots=True)
class DeadlineReached:
    """The deadline shown has passed."""


Event = (
    Started
    | SocketBound
    | SocketFailed
    | RouteChanged
    | DatagramReceived
    | StreamOpened
    | StreamFailed
    | FrameReceived
    | StreamClosed
    | ListenerOpened
    | ListenerFailed
    | DeadlineReached
)

# Commands


@dataclass(slots=True)
class SendDatagram:
    """To the endpoint that the last SocketBound named."""

    payload: bytes


@dataclass(slots=True)
class Rebind:
    """Resolve the server's name anew and use a new datagram socket from here on.

    The first one opens the socket. Where the name has several addresses, each
    further one goes on to the next of them.
    """

    server: ServerAddress


@dataclass(slots=True)
class OpenStream:
    """Connect by TCP. ``reuse``: bind so that others can share the local port; ``beside``: share that of
    the open stream of this name, which was opened with ``reuse``."""

    stream: str
    address: ServerAddress
    reuse: bool = False
    beside: str | None = None


@dataclass(slots=True)
class Listen:
    """Accept connections at the local endpoint of an open stream (opened with ``reuse``).

    ``dial``: connect from there, too; what comes of it is accepted like the rest.
    ListenerOpened, before which the first SYN has left, or ListenerFailed tells how it went.
    """

    listener: str
    beside: str
    dial: Endpoint | None = None


@dataclass(slots=True)
class SendFrame:
    stream: str
    payload: bytes


@dataclass(slots=True)
class CloseStream:
    """What was sent is still delivered."""

    stream: str


@dataclass(slots=True)
class Report:
    """Something that a person, a log or the use case wants to know: a value of the conversation's own."""

    what: object


@dataclass(slots=True)
class StoreRecord:
    """Something to be remembered beyond this process."""

    record: object


@dataclass(slots=True)
class Done:
    """The end, with its result; the streams and listeners named in ``keep`` go to the caller, still open."""

    value: object
    keep: tuple[str, ...] = ()


@dataclass(slots=True)
class Fail:
    """The end, with the error to raise."""

    error: RdpeerError


Command = (
    SendDatagram | Rebind | OpenStream | Listen | SendFrame | CloseStream | Report | StoreRecord | Done | Fail
)


class Conversation(Protocol):
    @property
    def deadline(self) -> float | None:
        """Monotonic seconds; None while nothing is waited for."""

    def handle(self, event: Event, now: float) -> list[Command]: ...
