"""How many bytes may move: so many in each second of the clock, evenly, and no more.

A second has fifty slots, each with its share, so that a limit is a steady
stream and not a burst and a pause. What is left of a slot may be made up for in
the next few: over any second that does not begin with one of the clock's, at
most a tenth more moves than over those that do.

Whoever finds no room waits at the budget that has none, behind those who came
before. With each slot it serves as many as there is room for, and disturbs no
others: thousands of pairs that share a small budget cost no more than a few.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

_SLOTS = 50
_MADE_UP_FOR = 5
_TURNS = 4
_ENDLESS = 1 << 62
"""Bytes a second that nobody reaches: no limit, without a case of its own."""


class Budget:
    """``limit`` bytes a second, at least one; None for no limit."""

    limit: int | None
    turn: int
    """The largest piece: others who use the same budget have their turn in the same slot."""

    def __init__(self, limit: int | None) -> None:
        self._second = 0
        self._used = 0
        self._waiting: deque[Payment] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self.change(limit)

    def change(self, limit: int | None) -> None:
        """From now on; what has moved in this second counts."""
        self.limit = limit
        self._rate = limit or _ENDLESS
        self.turn = max(1, self._rate // _SLOTS // _TURNS)
        self._made_up_for = -(-self._rate // _SLOTS) * _MADE_UP_FOR

    def room(self, now: float) -> int:
        """How many bytes may move now."""
        second, slot = divmod(int(now * _SLOTS), _SLOTS)
        if second != self._second:
            self._second, self._used = second, 0
        due = self._rate * (slot + 1) // _SLOTS
        self._used = max(self._used, due - self._made_up_for)
        return due - self._used

    def spend(self, count: int, now: float) -> None:
        """So many move, for which there is room."""
        self.room(now)
        self._used += count

    def wait(self, payment: Payment) -> None:
        """``payment`` goes on as soon as there is room, and it is its turn."""
        self._waiting.append(payment)
        if self._timer is None:
            self._set_timer()

    def _set_timer(self) -> None:
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(seconds_to_next_slot(loop.time()), self._serve)

    def _serve(self) -> None:
        """Each that is served pays here, or waits at another budget; so this ends."""
        self._timer, loop = None, asyncio.get_running_loop()
        try:
            while self._waiting and self.room(loop.time()) >= min(self._waiting[0].due, self.turn):
                self._waiting.popleft().go_on()
        finally:
            if self._waiting:
                self._set_timer()


class Meter:
    """What two legs have carried, both ways, and what they may: all of ``budgets`` have to have room."""

    carried: int
    """Where nothing is limited, it may be added to without ``charge``."""
    is_free: bool
    """Nothing is limited."""

    def __init__(self, budgets: Sequence[Budget] = ()) -> None:
        self.carried = 0
        self._loop = asyncio.get_running_loop()
        self._budgets = tuple(budgets)
        self.adjust()

    def adjust(self) -> None:
        """To be called where a budget has changed: without a limit, nothing is looked up for a message."""
        self._limits = tuple(budget for budget in self._budgets if budget.limit is not None)
        self._piece = min((budget.turn for budget in self._limits), default=_ENDLESS)
        self.is_free = not self._limits

    def piece(self, most: int) -> int:
        """How much, at most ``most``, is to be read at once."""
        return min(most, self._piece)

    def charge(self, count: int) -> int:
        """Pays for ``count`` bytes that are to be passed on: for all, for none while there is no room, or for
        a piece of them, because a limit has come down since they were read."""
        if self._limits:
            now, count = self._loop.time(), self.piece(count)
            if any(budget.room(now) < count for budget in self._limits):
                return 0
            for budget in self._limits:
                budget.spend(count, now)
        self.carried += count
        return count

    def short(self, count: int) -> Budget | None:
        """The budget that has no room for a piece of ``count`` bytes now, if one has none."""
        now, count = self._loop.time(), self.piece(count)
        return next((budget for budget in self._limits if budget.room(now) < count), None)

    async def spend(self, count: int) -> None:
        """Waits until ``count`` bytes may be passed on."""
        paid = asyncio.Event()
        payment = Payment(self, count, paid.set)
        try:
            await paid.wait()
        finally:
            payment.cancel()


class Payment:
    """For ``due`` bytes that are to be passed on: ``paid`` is called when they may, at once where they may
    already. After ``cancel`` it is not called any more."""

    def __init__(self, meter: Meter, due: int, paid: Callable[[], object]) -> None:
        self.due = due
        self._meter = meter
        self._paid: Callable[[], object] | None = paid
        self.go_on()

    def go_on(self) -> None:
        """Called by the budget that it has waited at."""
        while self.due:
            count = self._meter.charge(self.due)
            self.due -= count
            if not count and (budget := self._meter.short(self.due)):
                budget.wait(self)
                return
        if self._paid is not None:
            self._paid()

    def cancel(self) -> None:
        self.due, self._paid = 0, None


def seconds_to_next_slot(now: float) -> float:
    return (int(now * _SLOTS) + 1) / _SLOTS - now
