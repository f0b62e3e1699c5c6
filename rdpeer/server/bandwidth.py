"""How much the relay may carry."""

from __future__ import annotations

from dataclasses import dataclass

from rdpeer.server.blocks import Blocks


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Bytes a second of all pairs together, of one, and of one with a leg in ``slow``; None for no limit.

    ``idle``: a pair that carries nothing for so many seconds is ended.
    """

    total: int | None
    pair: int | None
    slowed: int
    slow: Blocks
    idle: float | None

    def of_pair(self, *remotes: str) -> int | None:
        """What one may carry whose legs come from ``remotes``."""
        is_slow = self.slow.any and any(map(self.slow.has_ip, remotes))
        return min(self.pair or self.slowed, self.slowed) if is_slow else self.pair
