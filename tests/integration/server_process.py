"""rdpeer server as a process of its own."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from types import SimpleNamespace

from bare_clients import HOST, Datagrams

from rdpeer.values import ServerLink


@asynccontextmanager
async def process(
    *args: str, through: Sequence[str] = (), **environ: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """``through``: a command that runs the one behind it."""
    running = await asyncio.create_subprocess_exec(
        *through, sys.executable, "-m", "rdpeer", "server", "--bind", HOST, *args,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
    )  # fmt: skip
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


async def invitation(running: asyncio.subprocess.Process) -> ServerLink:
    """The link in the line to paste, which is the last one."""
    assert running.stderr is not None
    lines = [(await running.stderr.readline()).decode() for _ in range(4)]
    link = ServerLink.parse(lines[-1].removeprefix("rdpeer config import '").removesuffix("'\n"))
    assert link.key is not None
    assert lines == [
        f"rdpeer: server at {link.server}, key {link.key}\n",
        "rdpeer: ports to open: {}/tcp, {}/tcp, {}/udp, {}/tcp\n".format(
            *(link.server.port + n for n in (-1, 0, 0, 1))
        ),
        f"rdpeer: ports to open for WebSocket: {link.server.port + 2}/tcp, {link.server.port + 3}/tcp\n",
        f"rdpeer config import '{link}'\n",
    ]
    return link


def peer_of(link: ServerLink) -> Datagrams:
    return Datagrams(SimpleNamespace(base=link.server.port))  # type: ignore[arg-type]
