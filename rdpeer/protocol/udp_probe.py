"""Whether the server answers by UDP: one question that changes nothing there (docs/PROTOCOL.md 9.1).

RegisterPeer with an ID that nobody has: the server asks for its key and stores no address.
"""

from __future__ import annotations

from uuid import uuid4

from rdpeer.errors import LocalProtocolError, RemoteProtocolError, ServerUnreachable
from rdpeer.protocol.conversation import (
    Command,
    DatagramReceived,
    DeadlineReached,
    Done,
    Event,
    Fail,
    Rebind,
    RouteChanged,
    SendDatagram,
    SocketBound,
    SocketFailed,
    Started,
)
from rdpeer.protocol.places import not_reached, place
from rdpeer.values import Endpoint, ServerAddress
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.messages import parse

_WAITS = (1.0, 1.5, 2.5)
_BIND_TIMEOUT = 10.0


class UdpProbe:
    """Done(the Endpoint that answered); fails with ServerUnreachable."""

    def __init__(self, server: ServerAddress) -> None:
        self._server = server
        self._remote: Endpoint | None = None
        self._sent = 0
        self._deadline: float | None = None
        question = pb.RegisterPeer(id=f"nobody-{uuid4()}")
        self._question = pb.RendezvousMessage(register_peer=question).SerializeToString()

    @property
    def deadline(self) -> float | None:
        """Monotonic seconds; None before the start."""
        return self._deadline

    def handle(self, event: Event, now: float) -> list[Command]:
        match event:
            case Started():
                self._deadline = now + _BIND_TIMEOUT
                return [Rebind(self._server)]
            case SocketBound(remote):
                self._remote = remote
                return self._ask(now)
            case SocketFailed(reason):
                return [Fail(not_reached(self._server, reason))]
            case RouteChanged():
                return []  # the questions still to come will tell
            case DatagramReceived(payload):
                return [Done(self._remote)] if _is_answer(payload) else []
            case DeadlineReached() if self._remote and self._sent < len(_WAITS):
                return self._ask(now)
            case DeadlineReached():
                where = place(self._server, self._remote)
                return [Fail(ServerUnreachable(f"no answer from {where} by UDP"))]
            case _:
                raise LocalProtocolError(f"a UDP probe has no use for {type(event).__name__}")

    def _ask(self, now: float) -> list[Command]:
        self._deadline = now + _WAITS[self._sent]
        self._sent += 1
        return [SendDatagram(self._question)]


def _is_answer(payload: bytes) -> bool:
    try:
        return parse(pb.RendezvousMessage, payload).HasField("register_peer_response")
    except RemoteProtocolError:
        return False
