"""A relay that reads along and meddles with what it carries, frame by frame."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from doubles import Double, Leg

from rdpeer.wire import rendezvous_pb2 as wire

I2R, R2I = "from the initiator", "from the responder"


class Frame(NamedTuple):
    """``pair`` and ``number`` count from 0, ``number`` for each direction."""

    pair: int
    direction: str
    number: int
    payload: bytes


class Close(Exception):
    """Closes the leg that this frame was for, in order; nothing more goes there."""


class Stall(Exception):
    """Nothing more goes in this direction, its end neither."""


Meddle = Callable[[Frame], list[bytes]]


def opposite(direction: str) -> str:
    return R2I if direction is I2R else I2R


def pass_on(frame: Frame) -> list[bytes]:
    return [frame.payload]


@dataclass
class Pair:
    """``legs`` by the direction of what comes from them."""

    number: int = -1
    legs: dict[str, Leg] = field(default_factory=dict)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def send(self, direction: str, payload: bytes) -> None:
        self.legs[opposite(direction)].send(payload)


class MeddlingRelay(Double):
    """``meddle`` says what goes on in place of each frame; ``log`` has what came, ``requests`` who came."""

    def __init__(self, meddle: Meddle = pass_on) -> None:
        super().__init__()
        self.meddle = meddle
        self.log: list[Frame] = []
        self.pairs: list[Pair] = []
        self.requests: list[wire.RequestRelay] = []
        self._waiting: dict[str, Pair] = {}

    def forget(self) -> None:
        """Counts on as from the start, and passes everything on."""
        self.meddle = pass_on
        self.log.clear()
        self.pairs.clear()
        self.requests.clear()

    def frames(self, direction: str, pair: int = 0) -> list[Frame]:
        return [frame for frame in self.log if (frame.pair, frame.direction) == (pair, direction)]

    async def deliver(self, frame: Frame, pair: Pair) -> None:
        for payload in self.meddle(frame):
            pair.send(frame.direction, payload)

    async def serve(self, leg: Leg) -> None:
        if (payload := await leg.receive()) is not None:
            await self._carry(leg, wire.RendezvousMessage.FromString(payload).request_relay)

    async def _carry(self, leg: Leg, request: wire.RequestRelay) -> None:
        self.requests.append(request)
        pair = self._waiting.pop(request.uuid, None)
        if pair is None:
            pair = self._waiting[request.uuid] = Pair()
        pair.legs[I2R if request.id else R2I] = leg
        if len(pair.legs) < 2:
            await pair.over.wait()
            return
        pair.number = len(self.pairs)
        self.pairs.append(pair)
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(pair, I2R))
                pumps.create_task(self._pump(pair, R2I))
        finally:
            pair.over.set()

    async def _pump(self, pair: Pair, direction: str) -> None:
        source, sink = pair.legs[direction], pair.legs[opposite(direction)]
        deliver = self.deliver
        number = 0
        try:
            while (payload := await source.receive()) is not None:
                frame = Frame(pair.number, direction, number, payload)
                number += 1
                self.log.append(frame)
                try:
                    await deliver(frame, pair)
                except Stall:
                    deliver = swallow
            if deliver is not swallow:
                sink.end()
        except Close:
            sink.end()
        except ConnectionError:
            sink.abort()


async def swallow(frame: Frame, pair: Pair) -> None:
    """Nothing goes on."""


# What meddlers do to the frame ``number`` of ``direction``, in the first pair


def meddler(direction: str, number: int, act: Callable[[bytes], list[bytes]]) -> Meddle:
    def meddle(frame: Frame) -> list[bytes]:
        hit = (frame.pair, frame.direction, frame.number) == (0, direction, number)
        return act(frame.payload) if hit else [frame.payload]

    return meddle


def flip(payload: bytes) -> list[bytes]:
    """One bit, in the middle."""
    middle = len(payload) // 2
    return [payload[:middle] + bytes((payload[middle] ^ 1,)) + payload[middle + 1 :]]


def repeat(payload: bytes) -> list[bytes]:
    return [payload, payload]


def skip(payload: bytes) -> list[bytes]:
    return []


def shorten(payload: bytes) -> list[bytes]:
    return [payload[:-1]]


def insert(payload: bytes) -> list[bytes]:
    return [bytes(40), payload]


def close(payload: bytes) -> list[bytes]:
    raise Close


def stall(payload: bytes) -> list[bytes]:
    raise Stall
