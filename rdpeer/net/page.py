"""One page over HTTP, made anew for each request: all that a monitor needs."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from rdpeer.net.connections import next_caller

log = logging.getLogger(__name__)

_LONGEST_HEAD = 8 * 1024
_PATIENCE = 5.0
_AT_ONCE = 16


async def serve_page(listener: socket.socket, path: str, render: Callable[[], str]) -> None:
    """Answers GET requests for ``path`` with the text that ``render`` gives, until it is cancelled."""
    listener.setblocking(False)
    turns = asyncio.Semaphore(_AT_ONCE)
    async with asyncio.TaskGroup() as visits:
        while True:
            await turns.acquire()
            sock, _ = await next_caller(listener)
            visit = visits.create_task(_serve_one(sock, path, render))
            visit.add_done_callback(lambda _: turns.release())


async def _serve_one(sock: socket.socket, path: str, render: Callable[[], str]) -> None:
    reader, writer = await asyncio.open_connection(sock=sock, limit=_LONGEST_HEAD)
    try:
        async with asyncio.timeout(_PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(_response(head, path, render))
            await writer.drain()
    except (OSError, asyncio.LimitOverrunError, asyncio.IncompleteReadError):
        return  # its visitor gave up, or raves
    except Exception:  # a bug: the one visitor suffers, the server goes on
        log.exception("the page %s", path)
    finally:
        writer.close()


def _response(head: bytes, path: str, render: Callable[[], str]) -> bytes:
    method, _, rest = head.partition(b" ")
    wanted = rest.partition(b" ")[0].partition(b"?")[0].decode("latin-1")
    status, text = "200 OK", ""
    if method != b"GET":
        status = "405 Method Not Allowed"
    elif wanted != path:
        status = "404 Not Found"
    else:
        text = render()
    body = text.encode()
    lines = (
        f"HTTP/1.1 {status}",
        "Content-Type: text/plain; version=0.0.4; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Connection: close",
        "\r\n",
    )
    return "\r\n".join(lines).encode() + body
