"""A network on a virtual clock that loses, doubles and reorders datagrams as its seed says."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class End(Protocol):
    """What is attached to the network: as rdpeer.protocol.kcp_connection.KcpConnection."""

    @property
    def deadline(self) -> float: ...

    def receive(self, datagram: bytes, now: float) -> None: ...

    def poll(self, now: float) -> list[bytes]: ...


@dataclass
class Weather:
    """Chances from 0 to 1; ``delay`` in seconds, each datagram's is between it and ``delay + jitter``."""

    loss: float = 0.0
    doubling: float = 0.0
    delay: float = 0.01
    jitter: float = 0.0


class LossyNetwork:
    """Carries datagrams between two ends. ``now``: its clock."""

    def __init__(self, left: End, right: End, weather: Weather, seed: int = 1) -> None:
        self.now = 1000.0
        self.carried = 0
        self.longest = 0
        self._ends = (left, right)
        self._weather = weather
        self._random = random.Random(seed)
        self._under_way: list[tuple[float, int, int, bytes]] = []

    def run(self, done: Callable[[], bool], *, at_most: float = 600.0) -> bool:
        """Lets time pass until ``done``; False if it was not after ``at_most`` seconds."""
        end = self.now + at_most
        self._settle()
        while not done():
            when = min(*(side.deadline for side in self._ends), self._next_arrival())
            if when > end:
                self.now = end
                return False
            self.now = max(self.now, when)
            self._deliver()
            self._settle()
        return True

    def _next_arrival(self) -> float:
        return self._under_way[0][0] if self._under_way else math.inf

    def _deliver(self) -> None:
        while self._under_way and self._under_way[0][0] <= self.now:
            _, _, to, datagram = heapq.heappop(self._under_way)
            self._ends[to].receive(datagram, self.now)

    def _settle(self) -> None:
        for side, end in enumerate(self._ends):
            for datagram in end.poll(self.now):
                self.longest = max(self.longest, len(datagram))
                self._send(1 - side, datagram)

    def _send(self, to: int, datagram: bytes) -> None:
        copies = 2 if self._random.random() < self._weather.doubling else 1
        for _ in range(copies):
            if self._random.random() >= self._weather.loss:
                self.carried += 1
                arrival = self.now + self._weather.delay + self._random.random() * self._weather.jitter
                heapq.heappush(self._under_way, (arrival, self.carried, to, datagram))
