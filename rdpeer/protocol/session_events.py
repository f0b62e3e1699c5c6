"""What a session tells its driver, in the past tense.

Not frozen: that costs at start-up, and for DataReceived with each record.
"""

from __future__ import annotations

from dataclasses import dataclass

from rdpeer.protocol.candidates import Candidates


@dataclass(slots=True)
class CandidatesReceived:
    """Where the other end may be reached, as it says."""

    said: Candidates


@dataclass(slots=True)
class PeerSwitched:
    """The other end's next record comes on ``transport``, and nothing more on the one where this came."""

    transport: bytes


@dataclass(slots=True)
class StreamOffered:
    """The other end asks for a stream: accept or refuse it. ``target`` is printable, perhaps empty."""

    stream: int
    target: str


@dataclass(slots=True)
class StreamAccepted:
    stream: int


@dataclass(slots=True)
class StreamRefused:
    """``reason`` is a number of channel.proto's StreamRefused.Reason, or unknown; ``detail`` is printable."""

    stream: int
    reason: int
    detail: str


@dataclass(slots=True)
class DataReceived:
    stream: int
    data: memoryview


@dataclass(slots=True)
class CreditGained:
    """More may be sent on ``stream``; on any of them if it is 0."""

    stream: int


@dataclass(slots=True)
class PeerEnded:
    """Nothing more comes on this stream."""

    stream: int


@dataclass(slots=True)
class PeerStopped:
    """The other end reads no more of this stream: end it."""

    stream: int


@dataclass(slots=True)
class PeerExited:
    """The program at the other end of the stream ended; 128 + n after signal n."""

    stream: int
    status: int


@dataclass(slots=True)
class StreamReset:
    """The stream failed at the other end, perhaps after it had ended well here: not all was delivered.

    ``reason`` is a number of channel.proto's StreamReset.Reason, or unknown; ``detail`` is printable.
    """

    stream: int
    reason: int
    detail: str


@dataclass(slots=True)
class PeerFinished:
    """The other end has handed over every byte that we sent, and sends nothing more."""


SessionEvent = (
    StreamOffered
    | StreamAccepted
    | StreamRefused
    | DataReceived
    | CreditGained
    | PeerEnded
    | PeerStopped
    | PeerExited
    | StreamReset
    | PeerFinished
    | CandidatesReceived
    | PeerSwitched
)
