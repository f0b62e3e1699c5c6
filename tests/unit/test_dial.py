"""Which of several addresses answers first."""

from __future__ import annotations

import asyncio
import socket

import pytest

from rdpeer.net.transport import dial
from rdpeer.values import ServerAddress

FAR, NEAR, DEAD = (ServerAddress(name) for name in ("far.example", "near.example", "dead.example"))


async def answer(address: ServerAddress) -> socket.socket:
    if address == DEAD:
        raise OSError("refused")
    if address == FAR:
        await asyncio.Event().wait()
    return socket.socket()


async def test_the_nearest_is_the_first_to_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dial, "dial", answer)
    assert await dial.first_to_answer([FAR, DEAD, NEAR], 60.0) == NEAR


@pytest.mark.parametrize("addresses", [[], [DEAD], [FAR, DEAD]])
async def test_none_answers(monkeypatch: pytest.MonkeyPatch, addresses: list[ServerAddress]) -> None:
    monkeypatch.setattr(dial, "dial", answer)
    assert await dial.first_to_answer(addresses, 0.01) is None
