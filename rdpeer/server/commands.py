"""What the broker is told and what it says: callers, and commands to the driver."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from rdpeer.server.registry import Line, Source
from rdpeer.values import Endpoint
from rdpeer.wire.rendezvous_pb2 import RendezvousMessage


class Caller(NamedTuple):
    """Whose message it is: the number of its connection, where that comes from, and what carries it."""

    connection: int
    remote: Endpoint
    path: str = "tcp"

    @property
    def line(self) -> Line:
        """What the connection is once a peer is registered over it."""
        return Line(self.remote.ip, self.remote.port, self.connection, self.path)


@dataclass(frozen=True, slots=True)
class Send:
    """One frame to a connection; nothing if it is gone."""

    connection: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Notify:
    """To a registered peer: one datagram through our socket number ``via``, or one frame on its line."""

    source: Source
    via: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Register:
    """A registration over ``line``: RegisterPeer or RegisterPk."""

    line: Line
    message: RendezvousMessage


@dataclass(frozen=True, slots=True)
class Keep:
    """The connection is not to be closed for its silence while it answers our heartbeats."""

    connection: int


@dataclass(frozen=True, slots=True)
class Seal:
    """The answer to our KeyExchange: from here on the connection is sealed (docs/PROTOCOL.md 2.4)."""

    connection: int
    keys: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection whose message this was, after what was sent."""


Command = Send | Notify | Register | Keep | Seal | Close
