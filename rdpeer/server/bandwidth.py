"""How much the relay may carry."""

from __future__ import annotations

from dataclasses import dataclass

from rdpeer.net.budget import Budget
from rdpeer.server.blocks import Blocks


@dataclass(slots=True)
class Bandwidth:
    """Bytes a second of all pairs together, of one, and of one with a leg in ``slow``; None for no limit.

    ``idle``: a pair that carries nothing for so many seconds is ended.
    """

    total: Budget | None
    pair: int | None
    slowed: int
    slow: Blocks
    idle: float | None

    def budgets(self, *remotes: str) -> list[Budget]:
        """Those of a new pair whose legs come from ``remotes``."""
        budgets = [self.total] if self.total else []
        if self.pair:
            budgets.append(Budget(self.pair))
        if self.slow.any and any(map(self.slow.has_ip, remotes)):
            budgets.append(Budget(self.slowed))
        return budgets
