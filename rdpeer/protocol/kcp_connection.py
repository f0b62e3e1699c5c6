"""A connection over UDP, as stock desktops have it, without I/O (docs/PROTOCOL.md 1.1 to 1.3).

    connector  SYN ->
    acceptor      <- SYN, ACK
    connector  ACK, DATA ->      empty
    both       ACK, DATA         with segments of KCP
    either     FIN ->            once everything is acknowledged

Stock sends each of these once, and fails where one is lost. Ours sends them again, which
stock takes well. Where the SYN, ACK was lost, stock's acceptor does not repeat it, but a PONG,
or segments, prove that it knows us: that counts as the answer. Where the third was lost, it is
the connector who waits: segments that ask for its window make it show itself. A RST, while
connecting, only says that the acceptor does not know us yet (a PING overtook our SYN).

A datagram that cannot be read or is impossible is dropped, as one with a wrong checksum
would be: anybody could have sent it. What breaks a connection is RST, and silence.
"""

from __future__ import annotations

import math
from enum import Enum, auto

from rdpeer.errors import LocalProtocolError, RemoteProtocolError
from rdpeer.protocol.kcp import Kcp
from rdpeer.wire.kcp import (
    ACK,
    DATA,
    FIN,
    HEADER_SIZE,
    PING,
    PONG,
    RST,
    SYN,
    encode_header,
    encode_name,
    parse_segments,
    split_datagram,
)

PING_INTERVAL = 10.0
SILENCE = 60.0
"""Seconds; a connection on which nothing was heard for that long is lost."""

_REPEAT_AFTER = 0.2
_REPETITIONS = 5
_CHECKED = SYN | ACK | FIN | DATA | RST
"""The flags that say what a datagram is; what else is set does not matter."""


class _State(Enum):
    CONNECTING = auto()
    LISTENING = auto()
    ANSWERED = auto()
    OPEN = auto()
    CLOSED = auto()


class KcpConnection:
    """One end, made by :meth:`connecting` or :meth:`accepting`; times are monotonic seconds.

    Whatever was done to it, :meth:`poll` says what is to be sent, and ``deadline`` when it is to be
    asked again at the latest.
    """

    def __init__(self, name: bytes, state: _State, now: float) -> None:
        self._name = name
        self._state = state
        self._kcp = Kcp(name)
        self._outbox: list[bytes] = []
        self._repeated = 0
        self._repeat_at = now if state is _State.CONNECTING else math.inf
        self._ping_at = now + PING_INTERVAL
        self._heard = now
        self._closing = False
        self._finished = False
        self.ended = False
        """The other end has sent all it had, and closed."""
        self.lost: str | None = None
        """Why the connection broke, if it did."""

    @classmethod
    def connecting(cls, conversation: int, now: float) -> KcpConnection:
        """The end that begins; ``conversation``: any number of 32 bits, another one each time."""
        return cls(encode_name(conversation), _State.CONNECTING, now)

    @classmethod
    def accepting(cls, now: float) -> KcpConnection:
        """The end that waits for the other's SYN."""
        return cls(encode_name(0), _State.LISTENING, now)

    @property
    def established(self) -> bool:
        """The handshake is over; so may be the connection."""
        return self._state in (_State.OPEN, _State.CLOSED)

    @property
    def closed(self) -> bool:
        """Nothing more will happen: closed by both ends, or lost."""
        return self._state is _State.CLOSED

    @property
    def delivered(self) -> bool:
        """The other end has acknowledged everything."""
        return self._kcp.outward.idle

    @property
    def unsent(self) -> int:
        """Bytes that wait for their first transmission."""
        return self._kcp.outward.unsent

    @property
    def deadline(self) -> float:
        """:meth:`poll` is to be called then, if nothing happens before; infinity where there is no need."""
        if self.closed:
            return math.inf
        if self._state is not _State.OPEN:
            return self._repeat_at
        return min(self._repeat_at, self._kcp.outward.deadline, self._ping_at, self._heard + SILENCE)

    def send(self, data: bytes) -> None:
        """Queues ``data``; dropped behind :meth:`close`. LocalProtocolError before it is established."""
        if not self.established:
            raise LocalProtocolError("nothing can be sent before the connection is established")
        if not self._closing and not self.closed:
            self._kcp.outward.send(data)

    def read(self) -> list[bytes]:
        """Some of what arrived in order, empty if there is nothing. Not reading holds the other end back."""
        return self._kcp.inward.read()

    def close(self) -> None:
        """No more from us: FIN follows once all that was sent is acknowledged."""
        self._closing = True

    def abort(self) -> list[bytes]:
        """Ends it here and now: the datagram that tells the other end, where that would be news."""
        news = self._state in (_State.ANSWERED, _State.OPEN) and not self._finished
        self._lose("closed on this side")
        return [encode_header(self._name, RST)] if news else []

    def receive(self, datagram: bytes, now: float) -> None:
        """A datagram came from the other end's address. Never fails: what does not fit is dropped."""
        try:
            name, flags = split_datagram(datagram)
            if self._state is _State.LISTENING or self._state is _State.ANSWERED:
                self._welcome(name, flags, now)
            if name == self._name:
                self._named(datagram, flags, now)
        except RemoteProtocolError:
            return

    def poll(self, now: float) -> list[bytes]:
        """What is to be sent now."""
        if self._state is _State.OPEN:
            self._watch(now)
        if self.lost is not None:
            return []
        if self._closing and not self._finished and self._kcp.outward.idle:
            self._finished = True
            self._start_repeating(now)
        if now >= self._repeat_at:
            self._repeat(now)
        if self._state is _State.OPEN:
            self._outbox += self._kcp.flush(now)
        outbox, self._outbox = self._outbox, []
        return outbox

    # What comes

    def _welcome(self, name: bytes, flags: int, now: float) -> None:
        """A SYN names the connection; until it stands, the newest one counts."""
        if flags & (_CHECKED | PING) != SYN:
            return
        if name != self._name or self._state is _State.LISTENING:
            self._name, self._kcp, self._state = name, Kcp(name), _State.ANSWERED
        self._start_repeating(now)

    def _named(self, datagram: bytes, flags: int, now: float) -> None:
        kind = flags & _CHECKED
        if flags & PING:
            self._pinged(datagram, flags, now)
        elif kind == ACK | DATA:
            self._received(datagram, now)
        elif kind == SYN | ACK and self._state is _State.OPEN:
            self._queue(ACK | DATA)  # the one before was lost
        elif kind == SYN | ACK:
            self._open(now)
        elif self._state is _State.OPEN and kind & RST:
            self._lose("reset by the other end")
        elif self._state is _State.OPEN and kind & FIN:
            self.ended = True
            self._close_if_over()
        self._heard = now

    def _pinged(self, datagram: bytes, flags: int, now: float) -> None:
        if flags & PONG:
            self._open(now)
        elif self._state in (_State.ANSWERED, _State.OPEN):
            self._outbox.append(encode_header(self._name, flags | PONG) + datagram[HEADER_SIZE:])

    def _received(self, datagram: bytes, now: float) -> None:
        segments = parse_segments(datagram)
        if self._state is _State.ANSWERED:
            self._state = _State.OPEN
        self._open(now)
        if self._state is _State.OPEN:
            self._kcp.receive(segments, now)
            if not self._finished:
                self._repeat_at = math.inf  # the other end knows that we know

    def _open(self, now: float) -> None:
        """The acceptor knows us."""
        if self._state is _State.CONNECTING:
            self._state = _State.OPEN
            self._start_repeating(now)

    # What goes

    def _start_repeating(self, now: float) -> None:
        self._repeated, self._repeat_at = 0, now

    def _repeat(self, now: float) -> None:
        """What the state calls for, now and every 200 ms; once the handshake is over, a few times."""
        again = self._repeated > 0
        self._repeated += 1
        self._repeat_at = now + _REPEAT_AFTER
        if self._state is _State.CONNECTING:
            self._queue(SYN, PING) if again else self._queue(SYN)
        elif self._state is _State.ANSWERED:
            self._queue(SYN | ACK)
            if again:
                self._outbox.append(self._kcp.ask())
        elif self._repeated > _REPETITIONS:
            self._repeat_at = math.inf
            if self._finished:
                self._state = _State.CLOSED
        elif self._finished:
            self._queue(FIN)
            self._close_if_over()
        else:
            self._queue(ACK | DATA)

    def _queue(self, *flags: int) -> None:
        self._outbox += [encode_header(self._name, byte) for byte in flags]

    def _watch(self, now: float) -> None:
        if now >= self._heard + SILENCE:
            self._lose(f"nothing was heard for {SILENCE:.0f} s")
        elif now >= self._ping_at:
            self._ping_at = now + PING_INTERVAL
            self._queue(PING)

    def _close_if_over(self) -> None:
        if self.ended and self._finished:
            self._state = _State.CLOSED

    def _lose(self, reason: str) -> None:
        if not self.closed:
            self._state, self.lost = _State.CLOSED, reason
