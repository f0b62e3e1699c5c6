"""How many bytes may move: so many in each second of the clock, evenly, and no more.

A second has fifty slots, each with its share, so that a limit is a steady
stream and not a burst and a pause. What is left of a slot may be made up for in
the next few: over any second that does not begin with one of the clock's, at
most a tenth more moves than over those that do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

_SLOTS = 50
_MADE_UP_FOR = 5
_TURNS = 4


class Budget:
    """``limit`` bytes a second, at least one."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.turn = max(1, limit // _SLOTS // _TURNS)
        """The largest piece: others who use the same budget have their turn in the same slot."""
        self._made_up_for = -(-limit // _SLOTS) * _MADE_UP_FOR
        self._second = 0
        self._used = 0

    def room(self, now: float) -> int:
        """How many bytes may move now."""
        second, slot = divmod(int(now * _SLOTS), _SLOTS)
        if second != self._second:
            self._second, self._used = second, 0
        due = self.limit * (slot + 1) // _SLOTS
        self._used = max(self._used, due - self._made_up_for)
        return due - self._used

    def spend(self, count: int, now: float) -> None:
        """So many move, for which there is room."""
        self.room(now)
        self._used += count


class Meter:
    """What two legs have carried, both ways, and what they may: all of ``budgets`` have to have room."""

    def __init__(self, budgets: Sequence[Budget] = ()) -> None:
        self.carried = 0
        self._loop = asyncio.get_running_loop()
        self.last = self._loop.time()
        """When the last of it moved, in the loop's time."""
        self._budgets = tuple(budgets)

    def piece(self, most: int) -> int:
        """How much, at most ``most``, is to be read at once."""
        return min(most, *(budget.turn for budget in self._budgets)) if self._budgets else most

    def charge(self, count: int) -> float:
        """``count`` bytes, a piece at most, are to be passed on: 0 where they may, else the seconds after
        which to ask again."""
        now = self._loop.time()
        if self._budgets:
            if any(budget.room(now) < count for budget in self._budgets):
                return seconds_to_next_slot(now)
            for budget in self._budgets:
                budget.spend(count, now)
        self.carried += count
        self.last = now
        return 0.0

    async def spend(self, count: int) -> None:
        """Waits until ``count`` bytes, a piece at most, may be passed on."""
        wait = self.charge(count)
        while wait:
            await asyncio.sleep(wait)
            wait = self.charge(count)


def seconds_to_next_slot(now: float) -> float:
    return (int(now * _SLOTS) + 1) / _SLOTS - now
