"""Against KCP's own C code, under the header written once more from docs/PROTOCOL.md 1.1 and 1.2."""

from __future__ import annotations

import math
import random
import struct

import pytest
from lossy_network import LossyNetwork, Weather

from rdpeer.protocol.kcp_connection import KcpConnection

siokcp = pytest.importorskip("siokcp", reason="siokcp has wheels for CPython 3.11 to 3.13 only")

SYN, SYN_ACK, DATA = 0x01, 0x03, 0x0A
CONVERSATION = 0xFEDCBA98


class Stock:
    """One end as kcp-sys is set up (docs/PROTOCOL.md 1.4), but that its SYN is repeated too.

    The connector names itself; an acceptor echoes whatever name it was called by.
    """

    def __init__(self, *, connects: bool, stream: int = 1) -> None:
        self.name = struct.pack("<III", CONVERSATION, 0, 0) if connects else b""
        self.kcp = self._make() if connects else None
        self.stream = stream
        self.established = False
        self.waiting = b""
        self.heard = bytearray()
        self._outbox: list[bytes] = []
        self._syn_at = 1000.0 if connects else math.inf
        self._next_update = math.inf

    def _make(self):
        kcp = siokcp.KCPConnection(int.from_bytes(self.name[:4], "little"), self._output, lambda text: None)
        kcp.setmtu(1200)
        kcp.wndsize(1024, 1024)
        kcp.nodelay(1, 10, 2, 1)
        return kcp

    def _output(self, data: bytes) -> int:
        self._outbox.append(self.name + struct.pack("<BB", DATA, 0) + data)
        return 0

    @property
    def deadline(self) -> float:
        return min(self._syn_at, self._next_update)

    def receive(self, datagram: bytes, now: float) -> None:
        name, flags = datagram[:12], datagram[12]
        if flags == SYN and not self.name:
            self.name = name
            self.kcp = self._make()
        if flags == SYN and not self.established:
            self._outbox.append(self.name + b"\x03\0")
        elif flags == SYN_ACK and not self.established:
            self._outbox.append(self.name + b"\x0a\0")
            self._establish(now)
        elif flags == DATA and name == self.name:
            if not self.established:
                self._establish(now)
            if datagram[14:]:
                self.kcp.receive_data(datagram[14:])
                self._next_update = now

    def _establish(self, now: float) -> None:
        self.established, self._syn_at, self._next_update = True, math.inf, now
        self.kcp.stream = self.stream

    def poll(self, now: float) -> list[bytes]:
        if now >= self._syn_at:
            self._syn_at = now + 0.2
            self._outbox.append(self.name + b"\x01\0")
        if self.established:
            self._run(now)
        outbox, self._outbox = self._outbox, []
        return outbox

    def _run(self, now: float) -> None:
        while self.waiting and self.kcp.waitsnd() < 2048:
            self.kcp.send(self.waiting[:10_000])
            self.waiting = self.waiting[10_000:]
        milliseconds = int(now * 1000)
        self.kcp.update(milliseconds)
        while (data := self.kcp.next_event()) is not None:
            self.heard += data
        self._next_update = now + max(self.kcp.check(milliseconds) - milliseconds, 1) / 1000

    def close(self) -> None:
        """It cannot be collected while it calls back."""
        if self.kcp is not None:
            self.kcp.send_cb = None


@pytest.mark.parametrize("stock_connects", [True, False], ids=["stock connects", "stock accepts"])
@pytest.mark.parametrize(
    ("weather", "stream"),
    [
        (Weather(), 1),
        (Weather(), 0),
        (Weather(loss=0.15), 1),
        (Weather(loss=0.3, doubling=0.2), 1),
        (Weather(doubling=0.5, jitter=0.04), 0),
        (Weather(loss=0.1, doubling=0.1, jitter=0.04), 1),
    ],
)
def test_both_directions_through_all_weathers(stock_connects, weather, stream):
    stock = Stock(connects=stock_connects, stream=stream)
    ours = (
        KcpConnection.accepting(1000.0) if stock_connects else KcpConnection.connecting(CONVERSATION, 1000.0)
    )
    network = LossyNetwork(ours, stock, weather, seed=7)
    assert network.run(lambda: ours.established and stock.established)
    there, back = random.Random(1).randbytes(600_000), random.Random(2).randbytes(600_000)
    stock.waiting = back
    ours.send(there)
    heard = bytearray()

    def arrived() -> bool:
        heard.extend(b"".join(ours.read()))
        return len(heard) >= len(back) and len(stock.heard) >= len(there)

    try:
        assert network.run(arrived)
    finally:
        stock.close()
    assert heard == back
    assert stock.heard == there


def test_a_stock_peer_that_does_not_read_is_not_overrun():
    stock = Stock(connects=True)
    ours = KcpConnection.accepting(1000.0)
    network = LossyNetwork(ours, stock, Weather(loss=0.05), seed=3)
    assert network.run(lambda: ours.established and stock.established)
    data = random.Random(1).randbytes(3_000_000)
    ours.send(data)
    read = siokcp.KCPConnection.next_event
    reading = False

    class Unread:
        """Its KCP, whose user reads only when told."""

        def __getattr__(self, name):
            return getattr(stock_kcp, name)

        def next_event(self):
            return read(stock_kcp) if reading else None

    stock_kcp, stock.kcp = stock.kcp, Unread()
    try:
        assert not network.run(lambda: ours.delivered, at_most=20.0)
        assert len(data) - 1024 * 1176 - 1176 <= ours.unsent
        reading = True
        assert network.run(lambda: len(stock.heard) == len(data))
    finally:
        stock_kcp.send_cb = None
    assert stock.heard == data
