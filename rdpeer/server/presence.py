"""What the rules ask of the table of peers: who is known, and where he was last heard.

``rdpeer.server.registry.Registry`` is the one in memory. Whatever else gives these
operations can take its place; the rules change a peer by its methods alone. None of
them may wait: they are called for each datagram (docs/SCALE.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rdpeer.server.registry import Registration, Source


class Known(Protocol):
    """A known peer, as its table has it now."""

    @property
    def registration(self) -> Registration: ...

    @property
    def source(self) -> Source | None:
        """Where it was last heard; None before that, and when it has gone."""

    @property
    def via(self) -> int:
        """The number of our socket that heard it, the only one that its NAT lets through."""

    @property
    def seen(self) -> float:
        """When it was last heard."""

    def is_online(self, now: float, /) -> bool: ...

    def heard(self, source: Source, via: int, now: float, /) -> None:
        """It is there, from now on."""

    def forget(self) -> None:
        """It is offline until it is heard again."""


class Presence(Protocol):
    """The known peers by ID."""

    def __len__(self) -> int: ...

    def get(self, peer_id: str, /) -> Known | None: ...

    def online(self, peer_id: str, now: float, /) -> Known | None:
        """A known peer that was heard lately."""

    def all(self) -> Sequence[Known]:
        """Those that are known now, whatever changes meanwhile."""

    def is_inhabited(self, neighbourhood: str, /) -> bool:
        """Whether a known peer registered from there (``rdpeer.server.registry.neighbourhood``)."""

    def save(self, registration: Registration, /) -> Known:
        """A new peer, or new facts about a known one."""

    def remove(self, peer_id: str, /) -> bool:
        """Forgets a peer; False if it is not known."""
