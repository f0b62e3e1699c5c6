"""A datagram socket that answers, drained at every wake-up.

A wake-up of the event loop costs more than an answer. So each one takes what
has arrived, up to a bound that lets others have their turn. asyncio's own
datagram transport takes one datagram a turn, and reaches a tenth of this.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rdpeer.net import trace
from rdpeer.net.prompt import watch
from rdpeer.values import Endpoint

if TYPE_CHECKING:
    from rdpeer.net.rows import Rows

Answer = Callable[[bytes, Any, float], bytes | None]
"""(datagram, its source as the socket functions have it, monotonic seconds) -> what goes back, if anything,
2048 bytes at most; never raises."""

_LONGEST = 2048  # more than any datagram worth an answer; what is longer is cut, and then cannot be read
_AT_ONCE = 256
_RECEIVE_BUFFER = 4 * 1024 * 1024


class DatagramSocket:
    """Takes over a bound socket. Sending never waits: what does not fit is lost, as datagrams are.

    ``in_rows``: it gets and answers many, which is worth an import where the system has calls for that.
    """

    def __init__(self, sock: socket.socket, *, in_rows: bool = False) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._socket = sock
        self._rows = _make_rows(sock) if in_rows else None
        self._traced = trace.is_on()

    async def serve(self, answer: Answer) -> None:
        """Answers until it is cancelled."""
        answer = trace.answering(answer)
        loop = asyncio.get_running_loop()
        try:
            unwatch = watch(self._socket.fileno(), functools.partial(self._drain, answer))
        except NotImplementedError:  # an event loop that cannot watch sockets (Windows)
            await self._take_turns(answer)
            return
        try:
            await loop.create_future()
        finally:
            unwatch()

    async def _take_turns(self, answer: Answer) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                datagram, source = await loop.sock_recvfrom(self._socket, _LONGEST)
            except ConnectionResetError:
                continue  # an earlier datagram of ours found nobody
            reply = answer(datagram, source, loop.time())
            if reply is not None:
                self._send(reply, source)
            self._drain(answer)
            await asyncio.sleep(0)

    def send(self, payload: bytes, destination: Any) -> None:
        """What is no answer, or one that took its time."""
        if self._traced:
            trace.message(trace.SENT, "udp", Endpoint.of(destination), payload)
        self._send(payload, destination)

    def _send(self, payload: bytes, destination: Any) -> None:
        try:
            self._socket.sendto(payload, destination)
        except OSError:
            return  # full, or nowhere to be reached: the sender of a datagram never knows, and asks again

    def close(self) -> None:
        self._socket.close()

    def _drain(self, answer: Answer) -> bool:
        """Whether each was answered at once. What is not may have left something for the event loop."""
        if self._rows is not None:
            return self._rows.drain(answer, time.monotonic(), _AT_ONCE)
        receive, send, now = self._socket.recvfrom, self._socket.sendto, time.monotonic()
        all_answered = True
        for _ in range(_AT_ONCE):
            try:
                datagram, source = receive(_LONGEST)
                reply = answer(datagram, source, now)
                if reply is not None:
                    send(reply, source)
                else:
                    all_answered = False
            except BlockingIOError:
                break
            except OSError:
                continue  # as in send; Windows also tells here that an earlier datagram of ours found nobody
        return all_answered


def _make_rows(sock: socket.socket) -> Rows | None:
    from rdpeer.net import rows

    return rows.Rows(sock) if rows.can_row(sock) else None
