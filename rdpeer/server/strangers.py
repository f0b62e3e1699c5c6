"""How much may be sent by UDP to where nobody is known.

A datagram's source can be forged, and then our answer hits whoever is there.
It is never longer than the question; and where no peer is registered in the
whole neighbourhood, which a flood with forged sources hits and our peers do
not, it is also rare.
"""

from __future__ import annotations

from rdpeer.server.presence import Presence
from rdpeer.server.rates import Window
from rdpeer.server.registry import neighbourhood

ANSWERS_PER_SECOND = 20


class Strangers:
    """``sources``: how many neighbourhoods are remembered."""

    def __init__(self, registry: Presence, sources: int) -> None:
        self._registry = registry
        self._answers: Window[str] = Window(ANSWERS_PER_SECOND, 1.0, sources)

    def may_hear(self, ip: str, now: float) -> bool:
        """Whether an answer may be sent to ``ip``, as the socket functions have it; counts it."""
        place = neighbourhood(ip)
        return self._registry.is_inhabited(place) or self._answers.allow(place, now)
