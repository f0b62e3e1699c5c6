"""Checks: finding an address at which datagrams get through both ways (docs/CHANNEL.md 6.1).

Both ends send checks to each other's candidates, at the same time: the first ones open the way
through the senders' own NATs, later ones come through. A check that is valid is answered to where
it came from. So an address that has answered us works both ways, and one that only checked us
works towards us at least.

    A's NAT  |  B's NAT
    check ---|-> dropped                    A's NAT now lets in what comes from B
             |       <-|--- check           B's NAT now lets in what comes from A
    answer --|---------|->                  B knows: it works; and A checks once more, at once
    check ---|---------|->
             |       <-|--- answer          A knows, too

That last check is what ends it well where one end began so much later that the other's
schedule was over. No address gets more than 20 datagrams, whatever it sends.
"""

from __future__ import annotations

from collections.abc import Iterable

from rdpeer.crypto.move_key import TAG_BYTES, MoveKey, same
from rdpeer.values import Endpoint

CHECK_BYTES = 1 + TAG_BYTES
"""Fewer than the header of the reliable stream has: it ignores them (docs/PROTOCOL.md 1.1)."""

MOST_DATAGRAMS = 20
"""To one address."""

_MOST_STRANGERS = 8
_AFTER = (0.0, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0)  # seconds from one check to the next

Datagram = tuple[Endpoint, bytes]


class _Address:
    __slots__ = ("checked", "checks", "due", "sent")

    def __init__(self, now: float) -> None:
        self.sent = 0
        self.checks = 0
        self.due: float | None = now
        self.checked = False


class Checks:
    """One end's, to ``targets``. ``now`` is monotonic seconds."""

    def __init__(self, key: MoveKey, targets: Iterable[Endpoint], now: float) -> None:
        self._check = b"\1" + key.tag(b"check", ours=True)
        self._answer = b"\2" + key.tag(b"answer", ours=True)
        self._their_check = b"\1" + key.tag(b"check", ours=False)
        self._their_answer = b"\2" + key.tag(b"answer", ours=False)
        self._addresses = {endpoint: _Address(now) for endpoint in targets}
        self._room = len(self._addresses) + _MOST_STRANGERS
        self.working: list[Endpoint] = []
        """What answered our checks, in that order."""

    @property
    def deadline(self) -> float | None:
        """When to call ``due``; None when all checks are out."""
        return min((one.due for one in self._addresses.values() if one.due is not None), default=None)

    def due(self, now: float) -> list[Datagram]:
        """The checks to send now."""
        return [
            self._scheduled(endpoint, address, now)
            for endpoint, address in self._addresses.items()
            if address.due is not None and address.due <= now
        ]

    def receive(self, datagram: bytes, source: Endpoint, now: float) -> list[Datagram]:
        """What to send because of ``datagram``; nothing where it is no valid check of the other end."""
        if len(datagram) != CHECK_BYTES:
            return []
        if same(datagram, self._their_check):
            return self._checked_by(source, now)
        if same(datagram, self._their_answer) and self._asked(source) and source not in self.working:
            self.working.append(source)
            self._addresses[source].due = None
        return []

    def was_checked_by(self, source: Endpoint) -> bool:
        """Whether a valid check came from there: the other end is, or was, behind it."""
        address = self._addresses.get(source)
        return address is not None and address.checked

    def _scheduled(self, endpoint: Endpoint, address: _Address, now: float) -> Datagram:
        address.checks += 1
        address.sent += 1
        address.due = now + _AFTER[address.checks] if address.checks < len(_AFTER) else None
        return endpoint, self._check

    def _checked_by(self, source: Endpoint, now: float) -> list[Datagram]:
        address = self._addresses.get(source)
        if address is None:
            if len(self._addresses) >= self._room:
                return []
            address = self._addresses[source] = _Address(now)
        address.checked = True
        said = [self._answer] if source in self.working else [self._answer, self._check]
        said = said[: MOST_DATAGRAMS - _left_for(address) - address.sent]
        address.sent += len(said)
        return [(source, datagram) for datagram in said]

    def _asked(self, source: Endpoint) -> bool:
        address = self._addresses.get(source)
        return address is not None and address.sent > 0


def _left_for(address: _Address) -> int:
    """Datagrams that the schedule still needs."""
    return len(_AFTER) - address.checks if address.due is not None else 0
