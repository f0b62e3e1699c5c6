"""How much a pair of the relay may carry: by either leg."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rdpeer.net.budget import Budget, Meter
from rdpeer.server.bandwidth import Bandwidth
from rdpeer.server.blocks import Blocks
from rdpeer.server.relay import Pair
from rdpeer.values import Endpoint

SLOW, OTHER = Endpoint("192.0.2.7", 1), Endpoint("192.0.2.8", 2)


@pytest.mark.parametrize(
    ("first", "second", "limit"),
    [(OTHER, OTHER, 500), (SLOW, OTHER, 100), (OTHER, SLOW, 100), (SLOW, SLOW, 100)],
)
async def test_a_pair_is_as_slow_as_its_slower_leg(first: Endpoint, second: Endpoint, limit: int) -> None:
    bandwidth = Bandwidth(None, pair=500, slowed=100, slow=Blocks(["192.0.2.7"]), idle=None)
    budget = Budget(None)
    meter = Meter([budget])
    legs = [SimpleNamespace(remote=remote) for remote in (first, second)]
    pair = Pair(*legs, "an id", 0.0, budget, meter, 0.0)  # type: ignore[arg-type]
    assert meter.piece(10**6) == 10**6
    pair.limit(bandwidth)
    assert budget.limit == limit
    assert meter.piece(10**6) == budget.turn
