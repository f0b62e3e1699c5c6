"""Rates: who did something how often. Without a clock; every table forgets its oldest entry when full."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def network(ip: str) -> str:
    """Whom a rate counts for: an IPv4 address, or the /64 of an IPv6 one, which one household owns whole."""
    address = ipaddress.ip_address(ip.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return str(address.ipv4_mapped)
        return str(ipaddress.IPv6Address(int(address) >> 64 << 64)) + "/64"
    return str(address)


class Recent(Generic[K, V]):
    """A table of at most ``size`` entries; storing one makes it the newest, and the oldest falls out."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: K) -> V | None:
        return self._entries.get(key)

    def store(self, key: K, value: V) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)


class Rows(Generic[K]):
    """At most ``longest`` in a row, where a row is what follows the one before within ``gap`` seconds.

    What is refused does not prolong its row: whoever keeps trying is served again ``gap`` seconds after
    the last one that was served.
    """

    def __init__(self, longest: int, gap: float, size: int) -> None:
        self._longest = longest
        self._gap = gap
        self._rows: Recent[K, tuple[int, float]] = Recent(size)

    def allow(self, key: K, now: float) -> bool:
        count, last = self._rows.get(key) or (0, now)
        if now - last > self._gap:
            count = 0
        if count >= self._longest:
            return False
        self._rows.store(key, (count + 1, now))
        return True


class Distinct(Generic[K]):
    """At most ``most`` different items from one source in ``period`` seconds; known items are free."""

    def __init__(self, most: int, period: float, size: int) -> None:
        self._most = most
        self._period = period
        self._seen: Recent[K, tuple[float, set[str]]] = Recent(size)

    def allow(self, source: K, item: str, now: float) -> bool:
        since, items = self._seen.get(source) or (now, set())
        if now - since >= self._period:
            since, items = now, set()
        if item not in items and len(items) >= self._most:
            return False
        items.add(item)
        self._seen.store(source, (since, items))
        return True


class Window(Generic[K]):
    """At most ``most`` in any ``period`` seconds."""

    def __init__(self, most: int, period: float, size: int) -> None:
        self._most = most
        self._period = period
        self._times: Recent[K, tuple[float, ...]] = Recent(size)

    def allow(self, key: K, now: float) -> bool:
        times = self._times.get(key) or ()
        if len(times) == self._most and now - times[0] < self._period:
            return False
        self._times.store(key, (*times[-self._most + 1 :], now))
        return True
