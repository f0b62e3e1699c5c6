"""A Unix socket for one user: a question in one line of JSON, and its answer in some.

The socket file is its owner's alone (0600), which is all the authentication that
there is. A path that is too long for the kernel is reached through its folder.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from rdpeer.errors import RdpeerError, UsageError
from rdpeer.net.connections import next_caller

log = logging.getLogger(__name__)

Listener = socket.socket

Row = dict[str, Any]
Answer = Callable[[Row], AsyncIterator[Row]]
"""From a question to the lines of its answer. An RdpeerError is told to who asked."""

_LONGEST_PATH = 100  # bytes; 104 on macOS, 108 on Linux
_LONGEST_QUESTION = 64 * 1024
_PATIENCE = 10.0
_ROWS_A_TURN = 100
_END: Row = {"end": True}


class NobodyListens(UsageError):
    """Nothing is behind the socket, or there is none."""


def listen(path: Path) -> Listener:
    """A listening socket at ``path``, in the place of one that a dead process left.

    UsageError where it cannot be made, or where the system has no such sockets.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise UsageError(f"cannot make {path}: this system has no Unix sockets")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        with _short(path) as short:
            sock.bind(short)
        sock.listen()
    except OSError as error:
        sock.close()
        raise UsageError(f"cannot make {path}: {error.strerror or error}") from None
    finally:
        os.umask(mask)
    sock.setblocking(False)
    return sock


async def serve(listener: Listener, answer: Answer) -> None:
    """Answers until it is cancelled."""
    async with asyncio.TaskGroup() as visits:
        while True:
            sock, _ = await next_caller(listener)
            visits.create_task(_serve_one(sock, answer))


async def ask(path: Path, question: Row) -> list[Row]:
    """The answer's lines; NobodyListens, or UsageError with the text that came instead."""
    try:
        with _short(path) as short:
            reader, writer = await asyncio.open_unix_connection(short)
    except PermissionError:
        raise UsageError(
            f"the server with {path.parent} as its data folder is another user's",
            hint="ask it as that user: sudo -u USER rdpeer server ...",
        ) from None
    except (OSError, AttributeError):
        raise NobodyListens(f"no server runs with {path.parent} as its data folder") from None
    try:
        writer.write(json.dumps(question).encode() + b"\n")
        rows: list[Row] = []
        while line := await reader.readline():
            row = json.loads(line)
            if row == _END:
                return rows
            if "error" in row:
                raise UsageError(row["error"], hint=row["hint"])
            rows.append(row)
    finally:
        writer.close()
    raise RdpeerError("the server ended before it had answered")


async def _serve_one(sock: socket.socket, answer: Answer) -> None:
    reader, writer = await asyncio.open_unix_connection(sock=sock, limit=_LONGEST_QUESTION)
    # Gone, silent, too long, or no JSON: whoever it is has our user's rights.
    with suppress(OSError, ValueError, RecursionError):
        async with asyncio.timeout(_PATIENCE):
            question = json.loads(await reader.readline())
        left = _ROWS_A_TURN
        async for row in _answered(question, answer):
            writer.write(json.dumps(row).encode() + b"\n")
            await writer.drain()
            left -= 1
            if not left:
                await asyncio.sleep(0)  # a reader that is fast never makes us wait
                left = _ROWS_A_TURN
    writer.close()


async def _answered(question: Row, answer: Answer) -> AsyncIterator[Row]:
    try:
        async for row in answer(question):
            yield row
    except RdpeerError as error:
        yield {"error": str(error), "hint": error.hint}
    except Exception as error:  # a bug: the one visitor suffers, the server goes on
        log.exception("the question %.100r", question)
        yield {"error": f"internal error: {error!r}", "hint": None}
    else:
        yield _END


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """``path``, or another one for the same that is short enough for a socket's address."""
    if len(os.fsencode(path)) <= _LONGEST_PATH or not Path("/proc/self/fd").exists():
        yield str(path)
        return
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
