"""A process that is out of file descriptors for a moment."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import pytest

from rdpeer.net import connections


def out_of_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever accepts next in the running loop finds none left, and may try again at once."""
    loop = asyncio.get_running_loop()
    accept, failures = loop.sock_accept, [OSError(errno.EMFILE, "Too many open files")]

    async def sock_accept(sock: socket.socket) -> tuple[socket.socket, Any]:
        if failures:
            raise failures.pop()
        return await accept(sock)

    monkeypatch.setattr(loop, "sock_accept", sock_accept)
    monkeypatch.setattr(connections, "_REST", 0)
