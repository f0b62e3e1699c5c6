"""What the NAT in front of us does with our port: one question from one local port to two of the server's.

Some NATs give a local port one external port, whatever it connects to (a cone; the wire says
ASYMMETRIC): there a peer can come back to the port that the server saw. Others take a new port for
each destination (SYMMETRIC): what the server saw helps nobody else. So we ask the server on its
rendezvous port and on the one below from the same local port, both at the same time, and compare
(docs/PROTOCOL.md 9.6). A stock server tells our port alone; rdpeer's own tells the whole endpoint,
and so whether there is a NAT at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from rdpeer.errors import LocalProtocolError, RemoteProtocolError, ServerUnreachable
from rdpeer.protocol.conversation import (
    Command,
    DeadlineReached,
    Done,
    Event,
    Fail,
    FrameReceived,
    OpenStream,
    SendFrame,
    Started,
    StreamClosed,
    StreamFailed,
    StreamOpened,
)
from rdpeer.protocol.places import not_reached
from rdpeer.protocol.question import CONNECT_TIMEOUT, SERVER
from rdpeer.values import Endpoint, ServerAddress, WebAddress
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.endpoints import unmangle
from rdpeer.wire.messages import parse

ANSWER_TIMEOUT = 3.0
"""Seconds for both answers, once the server is reached."""

_SECOND = "second"
_QUESTION = pb.RendezvousMessage(test_nat_request=pb.TestNatRequest())


class Mapping(Enum):
    """Whether the external port of a local one depends on the destination; the value is the wire's."""

    UNKNOWN = pb.UNKNOWN_NAT
    ASYMMETRIC = pb.ASYMMETRIC
    SYMMETRIC = pb.SYMMETRIC


@dataclass(frozen=True, slots=True)
class Nat:
    """What was found. ``reason``: one line that says why the mapping is UNKNOWN, else empty.

    ``local`` is the endpoint that asked, ``ports`` the external ones that the server saw it at: from the
    rendezvous port and from the one below; fewer where an answer is missing. ``external`` is the whole
    endpoint, where the server tells it.
    """

    mapping: Mapping
    local: Endpoint
    ports: tuple[int, ...]
    external: Endpoint | None
    reason: str = ""

    @property
    def translates(self) -> bool | None:
        """Whether there is a NAT at all; None where the server tells too little to say."""
        if self.external:
            return self.external != self.local
        return True if any(port != self.local.port for port in self.ports) else None


class NatProbe:
    """Asks the rendezvous server at ``server``. Done(Nat); fails with ServerUnreachable."""

    def __init__(self, server: ServerAddress) -> None:
        self._server = server
        self._local: Endpoint | None = None
        self._external: Endpoint | None = None
        self._ports: dict[str, int] = {}
        self._deadline: float | None = None

    @property
    def deadline(self) -> float | None:
        """Monotonic seconds; None before the start."""
        return self._deadline

    def handle(self, event: Event, now: float) -> list[Command]:
        match event:
            case Started():
                self._deadline = now + CONNECT_TIMEOUT
                return [OpenStream(SERVER, self._server, reuse=True)]
            case StreamOpened(stream=stream, local=local, remote=remote):
                return self._opened(stream, local, remote, now)
            case FrameReceived(stream=stream, payload=payload):
                return self._received(stream, payload)
            case StreamFailed(stream=stream, reason=reason):
                if stream == SERVER:
                    return [Fail(not_reached(self._server, reason))]
                return [self._unknown(reason)]
            case StreamClosed(stream=stream):
                return (
                    [] if stream in self._ports else [self._unknown(f"no answer from {self._name(stream)}")]
                )
            case DeadlineReached():
                return [self._time_up()]
            case _:
                raise LocalProtocolError(f"a NAT probe has no use for {type(event).__name__}")

    def _opened(self, stream: str, local: Endpoint, remote: Endpoint | None, now: float) -> list[Command]:
        question = SendFrame(
            stream, pb.RendezvousMessage(test_nat_request=pb.TestNatRequest()).SerializeToString()
        )
        if stream == _SECOND:
            return [question]
        self._local, self._deadline = local, now + ANSWER_TIMEOUT
        if remote is None or isinstance(self._server, WebAddress):
            return [self._unknown(f"a proxy, or the web, is between us and {self._server}")]
        # The very address that answered: another one of the name may lead through another NAT.
        return [question, OpenStream(_SECOND, ServerAddress(remote.ip, self._server.port - 1), beside=SERVER)]

    def _received(self, stream: str, payload: bytes) -> list[Command]:
        try:
            message = parse(pb.RendezvousMessage, payload)
            kind = message.WhichOneof("union")
            if kind == "key_exchange":
                return []
            if kind != "test_nat_response" or not 0 < message.test_nat_response.port < 65536:
                raise RemoteProtocolError(f"no port in {kind or 'an unknown message'}")
            self._note(stream, message.test_nat_response)
        except RemoteProtocolError as error:
            return [self._unknown(f"{self._name(stream)} sent what cannot be read: {error}")]
        if len(self._ports) < 2:
            return []
        first, second = self._ports[SERVER], self._ports[_SECOND]
        return [self._done(Mapping.ASYMMETRIC if first == second else Mapping.SYMMETRIC)]

    def _note(self, stream: str, answer: pb.TestNatResponse) -> None:
        external = unmangle(answer.socket_addr)
        self._ports[stream] = answer.port
        if stream == SERVER and external and external.port == answer.port:
            self._external = external

    def _time_up(self) -> Done | Fail:
        if self._local is None:
            return Fail(ServerUnreachable(f"no answer from {self._server} for {CONNECT_TIMEOUT:.0f} s"))
        silent = SERVER if SERVER not in self._ports else _SECOND
        return self._unknown(f"no answer from {self._name(silent)} for {ANSWER_TIMEOUT:.0f} s")

    def _unknown(self, reason: str) -> Done:
        return self._done(Mapping.UNKNOWN, reason)

    def _done(self, mapping: Mapping, reason: str = "") -> Done:
        assert self._local is not None  # noqa: S101 - the first stream was opened before anything else
        ports = tuple(self._ports[stream] for stream in (SERVER, _SECOND) if stream in self._ports)
        return Done(Nat(mapping, self._local, ports, self._external, reason))

    def _name(self, stream: str) -> ServerAddress:
        return self._server if stream == SERVER else self._server.offset(-1)
