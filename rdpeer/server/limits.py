"""Every cap of the server in one place: nothing that a stranger can fill is without one.

The operator may set those of ``Limits`` in the configuration file.
"""

from __future__ import annotations

from dataclasses import dataclass

OFFLINE_AFTER = 30.0
"""Seconds since the last accepted registration after which a peer counts as offline (docs/PROTOCOL.md 0)."""

MAX_DATAGRAM = 1024
"""Bytes; the longest registration that is valid has about 700."""

MAX_FRAME = 4096
"""Bytes of one payload to the rendezvous server, or of the first one to the relay."""

MAX_FORWARD = 600
"""Bytes; the longest datagram that one stranger can make us send to another address."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes of tables (entries) and times (seconds). What does not fit is refused, never queued."""

    peers: int = 200_000
    """Known peers, online or not; about 1 KiB each in memory. A new ID beyond it is told SERVER_ERROR."""

    waiting: int = 1_000
    """Newcomers that wait for the operator's approval; the one that asked longest ago gives way."""

    unsaved: int = 10_000
    """Registrations on their way to the disk; beyond it they are not answered, and come again."""

    sources: int = 100_000
    """Addresses whose rates are watched; the one heard of longest ago is forgotten first."""

    questions: int = 20_000
    """Requests for a peer that have no answer yet; the oldest gives way."""

    questions_per_connection: int = 4
    """Of those, with one initiator; a fifth ends the connection."""

    connections: int = 16_384
    """TCP connections, each of the rendezvous server and the relay; less where the system has fewer files."""

    connections_per_address: int = 4_096
    """Of those, from one address (IPv6: one /64)."""

    tokens: int = 100_000
    """Pairing tokens that were used and may not come again yet; the oldest is forgotten first."""

    frame_timeout: float = 30.0
    """A connection that has not sent a whole frame for so long is closed."""

    pairing_timeout: float = 30.0
    """A relay leg whose other one does not come is closed."""

    token_rest: float = 60.0
    """A token that made a pair is refused for so long."""

    answer_timeout: float = 30.0
    """An answer to a request for a peer that comes later than this is not passed on."""

    @property
    def undecided(self) -> int:
        """Connections that have not said yet by HTTP which service they want; it takes them a moment."""
        return max(1, self.connections // 4)

    @property
    def keep_alive(self) -> int:
        """Seconds between heartbeats to a peer that is registered over a connection: it answers each, in
        time for ``frame_timeout``."""
        return max(1, min(20, int(self.frame_timeout * 2 / 3)))
