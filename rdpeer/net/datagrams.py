"""A datagram socket that answers, drained at every wake-up.

A wake-up of the event loop costs more than an answer. So each one takes what
has arrived, up to a bound that lets others have their turn. asyncio's own
datagram transport takes one datagram a turn, and reaches a tenth of this.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from rdpeer.net import trace
from rdpeer.values import Endpoint

Answer = Callable[[bytes, Any, float], bytes | None]
"""(datagram, its source as the socket functions have it, monotonic seconds) -> what goes back, if anything;
never raises."""

_LONGEST = 2048  # more than any datagram worth an answer; what is longer is cut, and then cannot be read
_AT_ONCE = 256
_RECEIVE_BUFFER = 4 * 1024 * 1024


class DatagramSocket:
    """Takes over a bound socket. Sending never waits: what does not fit is lost, as datagrams are."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._socket = sock
        self._traced = trace.is_on()

    async def serve(self, answer: Answer) -> None:
        """Answers until it is cancelled."""
        answer = trace.answering(answer)
        loop = asyncio.get_running_loop()
        while True:
            try:
                datagram, source = await loop.sock_recvfrom(self._socket, _LONGEST)
            except ConnectionResetError:
                continue  # Windows: an earlier datagram of ours found nobody
            now = loop.time()
            reply = answer(datagram, source, now)
            if reply is not None:
                self._send(reply, source)
            self._drain(answer, now)
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

    def _drain(self, answer: Answer, now: float) -> None:
        receive, send = self._socket.recvfrom, self._socket.sendto
        for _ in range(_AT_ONCE):
            try:
                datagram, source = receive(_LONGEST)
                reply = answer(datagram, source, now)
                if reply is not None:
                    send(reply, source)
            except BlockingIOError:
                return
            except OSError:
                continue  # as in send, and in serve
