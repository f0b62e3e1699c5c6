"""The congestion window: how it grows, what it takes for congestion, and how little it may become."""

from __future__ import annotations

import pytest

from rdpeer.protocol.congestion import SMALLEST, CongestionWindow

LARGEST = 4096
ROUND_TRIP = 0.05


def grown(to: float) -> CongestionWindow:
    window = CongestionWindow(LARGEST)
    while window.size < to:
        window.acknowledged(1, 0.0, ROUND_TRIP)
    return window


def test_it_doubles_in_a_round_trip_until_something_is_lost_or_it_is_as_large_as_may_be():
    window = CongestionWindow(LARGEST)
    before = window.size
    window.acknowledged(int(before), 0.0, ROUND_TRIP)
    assert window.size == 2 * before
    window.acknowledged(10 * LARGEST, 0.0, ROUND_TRIP)
    assert window.size == LARGEST


def test_two_and_two_of_each_hundred_are_no_congestion_and_one_more_is():
    window = grown(1000)
    window.lost(range(22), 1000, 2000, 0.0)
    assert window.size == 1000
    window.lost([22], 1001, 2001, 0.0)
    assert window.size == pytest.approx(700)


def test_what_is_lost_in_many_round_trips_does_not_add_up():
    window = grown(1000)
    for number in range(100):
        at = 2000 * number
        window.lost(range(at, at + 20), at + 1000, at + 1500, 0.0)
    assert window.size == 1000


def test_it_shrinks_once_for_what_was_sent_before_it_shrank():
    window = grown(1000)
    window.lost(range(100), 100, 1000, 0.0)
    window.lost(range(100, 999), 999, 1400, 0.0)
    window.lost([999], 1200, 1500, 0.0)
    assert window.size == pytest.approx(700)
    window.lost(range(1000, 1100), 1300, 1600, 0.0)
    assert window.size == pytest.approx(490)


def test_it_comes_back_to_where_it_was_lingers_and_searches_beyond():
    window = grown(1000)
    window.lost(range(100), 100, 1000, 0.0)
    sizes = []
    for step in range(400):
        window.acknowledged(int(window.size), step * ROUND_TRIP, ROUND_TRIP)
        sizes.append(window.size)
    assert sizes == sorted(sizes)
    back = next(step for step, size in enumerate(sizes) if size > 995)
    assert 50 < back < 200
    assert sizes[back + 20] - sizes[back] < 20
    assert sizes[-1] > 1200


def test_a_timeout_begins_anew_and_nothing_makes_it_less_than_the_smallest():
    window = grown(1000)
    window.timed_out(5000, 0.0)
    assert window.size == SMALLEST
    for number in range(50):
        window.timed_out(6000 + number, 0.0)
        window.lost(range(7000, 7010), 8000 + number, 9000, 0.0)
    assert window.size == SMALLEST
    window.acknowledged(100, 0.0, ROUND_TRIP)
    assert window.size > SMALLEST
