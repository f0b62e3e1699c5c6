"""What we may send to a peer because a stranger asked for it.

A peer's address is where a datagram claimed to come from, so it may be a
victim's. Until somebody at that address has answered one of our forwards by
TCP, which cannot be forged, it gets at most five datagrams a second.
"""

from __future__ import annotations

from rdpeer.server.limits import MAX_FORWARD
from rdpeer.server.rates import Recent, Window, network

UNPROVEN_PER_SECOND = 5
_PROVEN_FOR = 600.0


class Forwards:
    """The limits on what is sent on; ``sources``: how many addresses are remembered."""

    def __init__(self, sources: int) -> None:
        self._proven: Recent[str, float] = Recent(sources)
        self._unproven: Window[str] = Window(UNPROVEN_PER_SECOND, 1.0, sources)

    def allow(self, ip: str, payload: bytes, now: float) -> bool:
        if len(payload) > MAX_FORWARD:
            return False
        place = network(ip)
        proven = self._proven.get(place)
        if proven is not None and now - proven < _PROVEN_FOR:
            return True
        return self._unproven.allow(place, now)

    def answered(self, ip: str, now: float) -> None:
        """A TCP connection from ``ip`` carried the answer to a forward."""
        self._proven.store(network(ip), now)
