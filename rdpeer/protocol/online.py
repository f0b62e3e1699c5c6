"""Asking which peers are online: a bitmap, from the port below the rendezvous port (docs/PROTOCOL.md 9.6)."""

from __future__ import annotations

from collections.abc import Sequence

from rdpeer.errors import RdpeerError, RemoteProtocolError, ServerUnreachable
from rdpeer.protocol.conversation import Command, Done, Fail
from rdpeer.protocol.question import Question
from rdpeer.values import PeerId, ServerAddress, WebAddress
from rdpeer.wire import rendezvous_pb2 as pb


class OnlineQuery(Question):
    """Asks the rendezvous server at ``server`` about ``peers``. Done(list of bool, in their order).

    Online means registered less than 30 s ago; an ID that the server does not
    know is offline. Fails with ServerUnreachable, ServerRefused or
    RemoteProtocolError.
    """

    waits = (3.0,)
    expected = ("online_response",)

    def __init__(self, server: ServerAddress, peers: Sequence[PeerId]) -> None:
        super().__init__(server.offset(-1))
        self._peers = peers

    def _request(self) -> pb.RendezvousMessage:
        return pb.RendezvousMessage(online_request=pb.OnlineRequest(peers=map(str, self._peers)))

    def _answered(self, message: pb.RendezvousMessage, now: float) -> list[Command]:
        states = message.online_response.states
        if len(states) * 8 < len(self._peers):
            error = f"{self._where} answered for fewer than the {len(self._peers)} peers asked about"
            return [Fail(RemoteProtocolError(error))]
        return [Done([bool(states[i // 8] >> 7 - i % 8 & 1) for i in range(len(self._peers))])]

    def _closed(self) -> RdpeerError:
        error = super()._closed()
        if isinstance(self._address, WebAddress):
            error.hint = "stock servers say it over TCP alone"
        return error

    def _silent(self) -> ServerUnreachable:
        return ServerUnreachable(f"no answer from {self._where} for 3 s")
