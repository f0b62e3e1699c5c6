"""A hole in a NAT: one local port that connects to the peer and takes connections at the same time.

A NAT lets a packet in where one has gone out to. Both peers know from the server where the other one's
packets come from, so both connect there, each from the port that the server saw; whichever SYN comes
second finds the way open. Two things make that reliable (docs/PROTOCOL.md 2.7):

- The connect stays pending. One socket and one SYN with one sequence number, repeated by the kernel:
  NATs that track connections know it again, and drop the answer of a socket that was opened anew.
- A listener beside it on the same port takes the peer that came first, or from another port than the
  server saw, as behind a symmetric NAT.

Where both SYNs cross, the two connects become one connection: simultaneous open is ordinary TCP. Refused
means that nobody is there yet, or that a NAT answers so to what it does not know: then the two have to
be on their way at the same time. So the connect is tried again after a moment that is never twice the
same, or both ends would miss each other in step; and a bounded number of times, since the address is one
that somebody else has named.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

from rdpeer.net.transport.dial import connected
from rdpeer.net.transport.tcp import TcpListener, TcpStream
from rdpeer.values import Endpoint

RETRY_AFTER = 0.2
"""Seconds from a refusal to the next SYN; half as many, or half as many more."""

MOST_TRIES = 20


class TcpHole(TcpListener):
    """A TcpListener whose ``accept`` also gives the streams that :meth:`dial` has brought about."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self._dialling: set[asyncio.Task[None]] = set()
        self.failure = ""
        """Why the last connect has failed, one line; empty while there is nothing to say."""

    async def dial(self, remote: Endpoint) -> None:
        """Connects to ``remote`` from here until it succeeds; the first SYN has left when this returns."""
        self.failure = ""
        dialling = asyncio.create_task(self._dial(remote))
        self._dialling.add(dialling)
        dialling.add_done_callback(self._dialling.discard)
        await asyncio.sleep(0)  # the task's turn: it sends before it waits for anything

    def close(self) -> None:
        """As :meth:`TcpListener.close`; what is still pending is given up."""
        for dialling in self._dialling:
            dialling.cancel()
        super().close()

    async def _dial(self, remote: Endpoint) -> None:
        try:
            stream = await dial_until_heard(
                remote, limit=self._limit, local=self.endpoint, refused=self._failed
            )
        except OSError as error:  # the peer's connection came first, too: then this one's place is taken
            self._failed(error)
        else:
            self._offer(stream)

    def _failed(self, error: OSError) -> None:
        self.failure = str(error)


async def dial_until_heard(
    remote: Endpoint,
    *,
    limit: int,
    local: Endpoint | None = None,
    refused: Callable[[OSError], None] = lambda error: None,
) -> TcpStream:
    """A stream to ``remote``, tried again while it is refused; the caller sets the time it may take.

    ``limit``: longest payload taken, in bytes. ``local``: from there; the port must be shared.
    ``refused`` is told each time that it is. Raises OSError that names ``remote`` and the reason.
    """
    for tries_left in reversed(range(MOST_TRIES)):
        try:
            return await TcpStream.over(await connected(remote, local=local), limit=limit)
        except (ConnectionRefusedError, ConnectionResetError) as error:
            if not tries_left:
                raise
            refused(error)
            await asyncio.sleep(RETRY_AFTER * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
    raise AssertionError("unreachable")
