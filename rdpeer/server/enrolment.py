"""Who may register anew: everybody, whom the operator approves, or nobody.

A newcomer is an ID that is not known, or a known one with another key. Where
newcomers have to wait, they are told NOT_DEPLOYED, and ask again every half
minute (docs/PROTOCOL.md 9.2). Keys on the list of the operator pass in any case.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from enum import StrEnum

from rdpeer.server.registry import Registration
from rdpeer.values import PublicKey, printable


class Mode(StrEnum):
    OPEN = "open"
    APPROVE = "approve"
    CLOSED = "closed"

    @classmethod
    def _missing_(cls, value: object) -> Mode:
        raise ValueError(f"{printable(str(value), 60)!r} is none of {', '.join(cls)}")


class Enrolment:
    """At most ``most`` newcomers wait; the one that asked longest ago gives way."""

    def __init__(self, mode: Mode, keys: Iterable[PublicKey], most: int) -> None:
        self.set(mode, keys)
        self._most = most
        self._waiting: OrderedDict[str, Registration] = OrderedDict()

    def set(self, mode: Mode, keys: Iterable[PublicKey]) -> None:
        """From now on."""
        self.mode = mode
        self._keys = {key.raw for key in keys}

    @property
    def waiting(self) -> list[Registration]:
        """Who asked to be approved, the last one last."""
        return list(self._waiting.values())

    def admits(self, newcomer: Registration) -> bool:
        """False for one that has to wait, or to go.

        While one waits, its ID is its uuid's, or its key's where it has proven that: nobody else takes its
        place under the operator's eyes.
        """
        if self.mode is Mode.OPEN or newcomer.pk in self._keys:
            self._waiting.pop(newcomer.id, None)
            return True
        known = self._waiting.get(newcomer.id, newcomer)
        if self.mode is Mode.APPROVE and _is_the_same(known, newcomer):
            self._waiting[newcomer.id] = newcomer
            self._waiting.move_to_end(newcomer.id)
            if len(self._waiting) > self._most:
                self._waiting.popitem(last=False)
        return False

    def take(self, peer_id: str) -> Registration | None:
        """What ``peer_id`` asked for, to be registered now; None if it does not wait."""
        return self._waiting.pop(peer_id, None)


def _is_the_same(known: Registration, newcomer: Registration) -> bool:
    if known.proven and (newcomer.pk != known.pk or not newcomer.proven):
        return False
    return known.uuid == newcomer.uuid
