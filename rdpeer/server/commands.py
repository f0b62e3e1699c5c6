"""What the broker is told and what it says: callers, and commands to the driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from rdpeer.server.registry import Source
from rdpeer.values import Endpoint


class Caller(NamedTuple):
    """Whose message it is: the number of its connection, and where that comes from."""

    connection: int
    remote: Endpoint


@dataclass(frozen=True, slots=True)
class Send:
    """One frame to a connection; nothing if it is gone."""

    connection: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Notify:
    """One datagram to a registered peer, through our socket number ``via``."""

    source: Source
    via: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """Close the connection whose message this was, after what was sent."""


Command = Send | Notify | Close
