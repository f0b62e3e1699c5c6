"""Bandwidth by a virtual clock: exact in each second, even within it."""

from __future__ import annotations

import asyncio
import functools
from collections import Counter
from collections.abc import Callable

import pytest

from rdpeer.net.budget import Budget, Meter, Payment, seconds_to_next_slot


def greedy(budget: Budget, milliseconds: range, idle: range = range(0)) -> Counter[int]:
    """Takes whatever there is room for, each millisecond that is not idle: how much moved in which one."""
    moved: Counter[int] = Counter()
    for moment in milliseconds:
        if moment in idle:
            continue
        count = budget.room(moment / 1000)
        assert count >= 0
        budget.spend(count, moment / 1000)
        moved[moment] = count
    return moved


@pytest.mark.parametrize("limit", [1, 49, 50, 1000, 12_345_678])
def test_a_second_of_the_clock_has_its_limit_and_no_more(limit: int) -> None:
    moved = greedy(Budget(limit), range(5000))
    for second in range(5):
        assert sum(moved[second * 1000 + n] for n in range(1000)) == limit


@pytest.mark.parametrize("idle", [range(0), range(100, 950), range(500, 1500)])
def test_any_other_second_has_a_tenth_more_at_most(idle: range) -> None:
    limit = 100_000
    moved = greedy(Budget(limit), range(4000), idle)
    for start in range(0, 3000, 7):
        assert sum(moved[start + n] for n in range(1000)) <= limit * 1.1


def test_a_changed_limit_counts_at_once_and_forgets_nothing() -> None:
    budget = Budget(100_000)
    moved = greedy(budget, range(500))
    budget.change(200_000)
    moved += greedy(budget, range(500, 1000))
    assert sum(moved.values()) <= 200_000
    assert sum(greedy(budget, range(1000, 1600)).values()) > 100_000
    budget.change(100_000)
    assert budget.room(1.999) < 0
    assert sum(greedy(budget, range(2000, 3000)).values()) == 100_000


def test_a_limit_may_come_and_go() -> None:
    budget = Budget(None)
    assert budget.room(0.5) > 1 << 40
    budget.change(100_000)
    assert sum(greedy(budget, range(1000, 2000)).values()) == 100_000
    budget.change(None)
    assert budget.room(2.5) > 1 << 40


def test_there_is_room_for_a_piece_in_each_slot() -> None:
    for limit in (1, 7, 50, 999, 10**9):
        budget = Budget(limit)
        for slot in range(500):
            now = slot / 50 + 0.001
            if budget.room(now) >= budget.turn:
                budget.spend(budget.turn, now)
        assert budget.room(9.999) >= 0
        assert budget.turn <= max(1, limit / 200)


@pytest.mark.parametrize(("now", "rest"), [(0.0, 0.02), (10.01, 0.01), (3.999, 0.001)])
def test_the_next_slot_begins_on_the_clock(now: float, rest: float) -> None:
    assert seconds_to_next_slot(now) == pytest.approx(rest)


class Spent(Budget):
    """Remembers what was spent."""

    total = 0

    def spend(self, count: int, now: float) -> None:
        self.total += count
        super().spend(count, now)


async def test_a_meter_charges_all_its_budgets_and_counts() -> None:
    budgets = [Spent(10**9), Spent(10**6)]
    meter = Meter(budgets)
    assert meter.piece(10**6) == budgets[1].turn == 5000
    for _ in range(10):
        await meter.spend(5000)
    assert [meter.carried, *(budget.total for budget in budgets)] == [50_000] * 3


async def test_what_was_a_piece_before_a_limit_came_down_is_waited_for() -> None:
    budget = Spent(10**9)
    meter = Meter([budget])
    piece = meter.piece(10**9)
    budget.change(5 * piece)
    meter.adjust()
    await meter.spend(piece)
    assert (meter.carried, budget.total) == (piece, piece)


async def test_without_budgets_nothing_waits() -> None:
    meter = Meter()
    assert meter.piece(1 << 20) == 1 << 20
    await meter.spend(1 << 40)
    assert meter.carried == 1 << 40


class Gate(Budget):
    """Has room for as much as it was opened for."""

    def __init__(self) -> None:
        super().__init__(10**6)
        self.open = 0
        self._slot = asyncio.Event()

    def room(self, now: float) -> int:
        return self.open

    def spend(self, count: int, now: float) -> None:
        self.open -= count

    def _serve(self) -> None:
        super()._serve()
        self._slot.set()

    async def next_slot(self) -> None:
        """Until those that wait here had their chance."""
        self._slot.clear()
        await self._slot.wait()


async def test_who_waits_is_served_in_turn_and_as_many_as_there_is_room_for() -> None:
    gate = Gate()
    served: list[int] = []
    waiting = [Payment(Meter([gate]), 100, functools.partial(served.append, n)) for n in range(1000)]
    charges = Counter[int]()
    for n, payment in enumerate(waiting):
        payment.go_on = functools.partial(_counted, charges, n, payment.go_on)  # type: ignore[method-assign]
    for so_far in (3, 5, 9):
        gate.open = (so_far - len(served)) * 100 + 50
        await gate.next_slot()
        assert served == list(range(so_far))
        assert sum(charges.values()) == so_far, "nobody else was disturbed"
        gate.open = 0
    for payment in waiting:
        payment.cancel()


def _counted(charges: Counter[int], number: int, go_on: Callable[[], None]) -> None:
    charges[number] += 1
    go_on()


async def test_who_waits_for_another_budget_keeps_nobody_from_this_one() -> None:
    shared, shut = Gate(), Gate()
    served: list[str] = []
    first = Payment(Meter([shared, shut]), 10, functools.partial(served.append, "first"))
    Payment(Meter([shared]), 10, functools.partial(served.append, "second"))
    shared.open = 100
    await shared.next_slot()
    assert served == ["second"]
    shut.open = 100
    await shut.next_slot()
    assert served == ["second", "first"]
    assert (shared.open, shut.open, first.due) == (80, 90, 0)


async def test_who_has_gone_is_passed_over_and_costs_nothing() -> None:
    gate = Gate()
    served: list[int] = []
    gone, here = (Payment(Meter([gate]), 10, functools.partial(served.append, n)) for n in range(2))
    gone.cancel()
    gate.open = 10
    await gate.next_slot()
    assert (served, gate.open, here.due) == ([1], 0, 0)


async def test_what_waits_where_a_limit_comes_down_is_paid_for_in_pieces() -> None:
    gate = Gate()
    meter = Meter([gate])
    payment = Payment(meter, 1000, lambda: None)
    gate.change(200)
    meter.adjust()
    assert meter.piece(1000) == 1
    gate.open = 5
    await gate.next_slot()
    assert (payment.due, gate.open) == (995, 0)
    payment.cancel()


async def test_what_waits_where_a_limit_goes_is_free() -> None:
    budget, paid = Budget(1), asyncio.Event()
    meter = Meter([budget])
    payment = Payment(meter, 1000, paid.set)
    assert payment.due >= 999
    budget.change(None)
    meter.adjust()
    await paid.wait()
    assert meter.carried == 1000
