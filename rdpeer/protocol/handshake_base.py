"""What both ends of a handshake share: events, sealed records, PING, and an end that is final.

The handshake itself is in :mod:`rdpeer.protocol.handshake`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TypeVar

from rdpeer.crypto.channel import SecureChannel, extend_transcript
from rdpeer.crypto.keys import IdentityKey, Random
from rdpeer.crypto.secret_exchange import SecretExchange
from rdpeer.crypto.stock import StockChannel
from rdpeer.errors import ConnectionLost, LocalProtocolError, RdpeerError, RemoteProtocolError
from rdpeer.protocol.gate import Method
from rdpeer.protocol.proofs import Denial
from rdpeer.values import PeerId, PublicKey
from rdpeer.wire import records
from rdpeer.wire.records import RecordType

T = TypeVar("T")

MAX_PAYLOAD = 4096
"""Bytes of a frame before authentication."""

TIMEOUT = 20.0
"""Seconds that a handshake may take in all; PING does not extend it."""


@dataclass(slots=True)
class Send:
    """A payload for the stream, in this order and before anything else."""

    payload: bytes


@dataclass(slots=True)
class PathVerified:
    """The initiator's: the peer asked for is at the other end; of its methods those that we know."""

    peer_key: PublicKey
    methods: tuple[Method, ...]


@dataclass(slots=True)
class PongReceived:
    """The other end has answered a PING."""


@dataclass(slots=True)
class InitiatorProven:
    """The responder's: the initiator holds ``key`` and means to pass by ``method``; it has not passed yet.

    ``peer`` is the ID that it says it has; nothing proves that.
    """

    key: PublicKey
    method: Method
    peer: PeerId | None = None


@dataclass(slots=True)
class Authenticated:
    """The end: ``channel`` is ready for the session."""

    method: Method
    peer_key: PublicKey


@dataclass(slots=True)
class Denied:
    """The end: the responder did not let ``key`` pass. Close the stream behind what was sent."""

    reason: Denial
    key: PublicKey
    method: Method


@dataclass(slots=True)
class StockInitiator:
    """The responder's, and the end: the initiator speaks the stock session, whose channel this is."""

    channel: StockChannel


HandshakeEvent = (
    Send | PathVerified | PongReceived | InitiatorProven | Authenticated | Denied | StockInitiator
)


class State(Enum):
    """What an end waits for; the last two take nothing more."""

    OPENING = auto()
    PROOF = auto()
    CHOICE = auto()
    VERDICT = auto()
    SHARE = auto()
    CONFIRMATION = auto()
    AUTHENTICATED = auto()
    ENDED = auto()


OVER = (State.AUTHENTICATED, State.ENDED)


class Handshake:
    """What both ends share: sealed records, PING, and an end that is final."""

    def __init__(self, identity: IdentityKey, random: Random) -> None:
        self._identity = identity
        self._random = random
        self._state = State.OPENING
        self._channel: SecureChannel | None = None
        self._transcript = b""
        self._peer_key: PublicKey | None = None
        self._method: Method | None = None
        self._exchange: SecretExchange | None = None
        self.on_channel: Callable[[SecureChannel], None] = lambda channel: None
        """Called with the channel before its first record; may put something before its two functions."""

    @property
    def channel(self) -> SecureChannel:
        """The session's, once Authenticated; LocalProtocolError before."""
        if self._state is not State.AUTHENTICATED:
            raise LocalProtocolError("the channel is not to be used before authentication")
        return there(self._channel)

    @property
    def transcript(self) -> bytes:
        """T2, once Authenticated: the opening and both proofs."""
        if self._state is not State.AUTHENTICATED:
            raise LocalProtocolError("the transcript is not whole before authentication")
        return self._transcript

    def lost(self, cause: RdpeerError | None = None) -> RdpeerError:
        """What it means that the stream ends now: by ``cause`` (a deadline, too), or in order."""
        return cause or ConnectionLost("the peer closed the connection during the handshake")

    def _guarded(self, payload: bytes, now: float) -> list[HandshakeEvent]:
        if self._state in OVER:
            raise LocalProtocolError("the handshake is over")
        try:
            if len(payload) > MAX_PAYLOAD:
                raise RemoteProtocolError(f"a frame of {len(payload)} bytes before authentication")
            return self._take(payload, now)
        except RdpeerError as error:
            meaning = self.lost(error)
            self._state = State.ENDED
            if meaning is error:
                raise
            raise meaning from error

    def _take(self, payload: bytes, now: float) -> list[HandshakeEvent]:
        if self._channel is None:
            return self._on_opening(payload, now)
        record, final = self._channel.open(payload)
        kind, body = records.decode(record)
        if final:
            raise RemoteProtocolError("the channel was ended before authentication")
        if kind in (RecordType.PING, RecordType.PONG, RecordType.ACCEPTED) and body:
            raise RemoteProtocolError(f"a {kind.name} that is not empty")
        if kind is RecordType.PING:
            return [self._seal(RecordType.PONG)]
        if kind is RecordType.PONG:
            return [PongReceived()]
        return self._on_record(kind, body, now)

    def _on_opening(self, payload: bytes, now: float) -> list[HandshakeEvent]:
        raise NotImplementedError

    def _begin(self, channel: SecureChannel, transcript: bytes) -> None:
        """Both ends have opened: what follows is sealed."""
        self.on_channel(channel)
        self._channel, self._transcript = channel, transcript

    def _on_record(self, kind: RecordType, body: bytes, now: float) -> list[HandshakeEvent]:
        raise NotImplementedError

    def _seal(self, kind: RecordType, body: bytes = b"") -> Send:
        return Send(there(self._channel).seal(records.encode(kind, body)))

    def _extend(self, kind: RecordType, body: bytes) -> None:
        """Makes a proof, ours or theirs, part of the transcript."""
        self._transcript = extend_transcript(self._transcript, records.encode(kind, body))

    def _authenticated(self) -> Authenticated:
        self._state = State.AUTHENTICATED
        return Authenticated(there(self._method), there(self._peer_key))


def there(value: T | None) -> T:
    """``value``, which the state says is there."""
    if value is None:
        raise LocalProtocolError("the handshake has not come that far")
    return value


def out_of_place(kind: RecordType) -> RemoteProtocolError:
    return RemoteProtocolError(f"the peer sent {kind.name} where it has no place")
