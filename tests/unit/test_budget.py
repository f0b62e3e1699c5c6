"""Bandwidth by a virtual clock: exact in each second, even within it."""

from __future__ import annotations

from collections import Counter

import pytest

from rdpeer.net.budget import Budget, Meter, seconds_to_next_slot


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
