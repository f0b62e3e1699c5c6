"""The streams of a session: their numbers, and what each may do now (docs/CHANNEL.md 4).

Every look-up names its purpose and enforces what that purpose requires. What
the other end got wrong is RemoteProtocolError, what we did LocalProtocolError.
A record for a stream that is over is neither: it crossed our RESET or REFUSED
on its way, and its look-up gives None.
"""

from __future__ import annotations

from rdpeer.errors import LocalProtocolError, RemoteProtocolError
from rdpeer.protocol.credit import LONE_WINDOW, STREAM_WINDOW, ReceiveCredit, SendCredit

_MAX_NUMBER = 2**31 - 1


class Stream:
    """One stream, as this end knows it by now."""

    __slots__ = (
        "accepted",
        "delivered",
        "end_received",
        "end_sent",
        "exited",
        "inward",
        "number",
        "outward",
        "stopped",
        "unconsumed",
    )

    def __init__(self, number: int) -> None:
        window = LONE_WINDOW if number == 1 else STREAM_WINDOW
        self.number = number
        self.outward = SendCredit(window)
        self.inward = ReceiveCredit(window)
        self.unconsumed = 0
        """Bytes received that are not with the consumer yet."""
        self.accepted = False
        self.stopped = False
        """By us: what still comes is dropped."""
        self.exited = False
        self.end_sent = False
        self.end_received = False
        self.delivered = False


class StreamTable:
    """The initiator numbers its streams 1, 3, 5..., the responder 2, 4, 6...; no number comes twice."""

    def __init__(self, initiator: bool) -> None:
        self._streams: dict[int, Stream] = {}
        self._next_own = 1 if initiator else 2
        self._next_peers = 2 if initiator else 1

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def own(self) -> int:
        """How many that we opened are open."""
        return sum(self._is_own(number) for number in self._streams)

    @property
    def peers(self) -> int:
        """How many that the other end opened are open."""
        return len(self._streams) - self.own

    @property
    def all_ended(self) -> bool:
        """Whether every stream was ended from both sides."""
        return all(stream.end_sent and stream.end_received for stream in self._streams.values())

    def get(self, number: int) -> Stream | None:
        return self._streams.get(number)

    def open_own(self) -> Stream:
        stream = self._streams[self._next_own] = Stream(self._next_own)
        self._next_own += 2
        return stream

    def open_peers(self, number: int) -> Stream:
        """With the number that the other end chose: one of its own, above all before."""
        if self._is_own(number) or not self._next_peers <= number <= _MAX_NUMBER:
            raise RemoteProtocolError(f"a stream opened with the number {number}")
        stream = self._streams[number] = Stream(number)
        self._next_peers = number + 2
        return stream

    def remove(self, stream: Stream) -> None:
        del self._streams[stream.number]

    # For records that came

    def known(self, number: int) -> Stream | None:
        """Whatever state it is in."""
        if not 0 < number < (self._next_own if self._is_own(number) else self._next_peers):
            raise RemoteProtocolError(f"a record for stream {number}, which nobody opened")
        return self._streams.get(number)

    def receiving(self, number: int) -> Stream | None:
        """One on which the other end may send."""
        stream = self.known(number)
        if stream is not None and (not stream.accepted or stream.end_received):
            when = "after its END" if stream.end_received else "before it was opened"
            raise RemoteProtocolError(f"a record on stream {number} {when}")
        return stream

    def answered(self, number: int) -> Stream | None:
        """One of ours that waits for OPENED or REFUSED."""
        stream = self.known(number)
        if not self._is_own(number) or (stream is not None and stream.accepted):
            raise RemoteProtocolError(f"an answer for stream {number}, which waits for none")
        return stream

    # For what we do

    def open(self, number: int) -> Stream:
        """Whatever state it is in, but not over."""
        stream = self._streams.get(number)
        if stream is None:
            raise LocalProtocolError(f"stream {number} is not open")
        return stream

    def offered(self, number: int) -> Stream:
        """One of the other end's that waits for our answer."""
        stream = self.open(number)
        if stream.accepted or self._is_own(number):
            raise LocalProtocolError(f"stream {number} waits for no answer")
        return stream

    def sending(self, number: int) -> Stream:
        """One on which we may send."""
        stream = self.open(number)
        if not stream.accepted or stream.end_sent:
            raise LocalProtocolError(f"nothing may be sent on stream {number}")
        return stream

    def _is_own(self, number: int) -> bool:
        return number % 2 == self._next_own % 2
