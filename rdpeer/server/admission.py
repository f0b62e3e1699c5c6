"""Who may connect, and for how long one may be silent, without I/O.

Every connection has a number. It is counted from ``admit`` to ``leave``, and
watched from ``admit`` to ``settle``: one that is silent for too long is
``overdue``. A whole frame counts as a sign of life, a byte does not, so nobody
can hold a connection by feeding it slowly.
"""

from __future__ import annotations

from collections import Counter, OrderedDict

from rdpeer.server.rates import network
from rdpeer.values import Endpoint


class Admission:
    """At most ``most`` connections, ``most_per_address`` of them from one address (IPv6: one /64);
    ``patience`` in seconds."""

    def __init__(self, most: int, most_per_address: int, patience: float) -> None:
        self._most = most
        self._most_per_address = most_per_address
        self._patience = patience
        self._places: dict[int, str] = {}
        self._per_place: Counter[str] = Counter()
        self._watched: OrderedDict[int, float] = OrderedDict()
        self._last = 0

    def __len__(self) -> int:
        return len(self._places)

    def admit(self, remote: Endpoint, now: float) -> int | None:
        """The new connection's number, or None where there is no room for it."""
        place = network(remote.ip)
        if len(self._places) >= self._most or self._per_place.get(place, 0) >= self._most_per_address:
            return None
        self._last += 1
        self._places[self._last] = place
        self._per_place[place] += 1
        self._watched[self._last] = now + self._patience
        return self._last

    def heard(self, number: int, now: float) -> None:
        """It sent a whole frame: its time begins anew."""
        self._watched[number] = now + self._patience
        self._watched.move_to_end(number)

    def settle(self, number: int) -> None:
        """It may be silent from here on."""
        self._watched.pop(number, None)

    def leave(self, number: int) -> None:
        """It is closed."""
        self.settle(number)
        place = self._places.pop(number)
        self._per_place[place] -= 1
        if not self._per_place[place]:
            del self._per_place[place]

    def overdue(self, now: float) -> list[int]:
        """Those to be closed; each is named once."""
        late = []
        while self._watched:
            number, deadline = next(iter(self._watched.items()))
            if deadline > now:
                break
            del self._watched[number]
            late.append(number)
        return late
