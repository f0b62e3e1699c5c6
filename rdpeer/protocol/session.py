"""A session: many streams over one authenticated channel, without I/O (docs/CHANNEL.md 4 and 5).

The hardest idea is the end. FINAL acknowledges delivery: a side sends it once
it was told to finish, has sent END on every stream, and was told for each by
``delivered`` that all bytes up to the other side's END are in the consumer's
hands. So "the other end's FINAL has come" means "all that I sent is where it
belongs", and nothing else does: a connection that just closes proves nothing.

A stream is over when it was ended both ways and delivered, or at once when one
side resets it or refuses to open it. Records that were under way then are
dropped when they come. But it may be over here and not yet there: a RESET for a
stream that ended well on this side says that its last bytes were not delivered
after all, and is told like any other.

Records wait in two queues. What steers (control) goes first; DATA, EXIT and END
keep their order among each other. ``next_record`` takes from them, and is to be
called only while the transport has room: then a peer that sends and never reads
meets the limit of the control queue, instead of our memory.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from google.protobuf.message import Message

from rdpeer.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError
from rdpeer.protocol.candidates import Candidates, write_candidates
from rdpeer.protocol.credit import LONE_WINDOW, SESSION_WINDOW, ReceiveCredit, SendCredit
from rdpeer.protocol.migration import Migration
from rdpeer.protocol.session_events import (
    CandidatesReceived,
    CreditGained,
    DataReceived,
    PeerEnded,
    PeerExited,
    PeerFinished,
    PeerStopped,
    PeerSwitched,
    SessionEvent,
    StreamAccepted,
    StreamOffered,
    StreamRefused,
    StreamReset,
)
from rdpeer.protocol.streams import Stream, StreamTable
from rdpeer.values import printable
from rdpeer.wire import channel_pb2 as pb
from rdpeer.wire.messages import parse
from rdpeer.wire.records import DATA_HEAD, RecordType, decode, decode_data, encode, encode_data, is_data

MAX_DATA = 128 * 1024
"""Bytes of payload in one DATA record: where sealing is still at its fastest."""
MAX_RECORD = DATA_HEAD + MAX_DATA
"""Bytes of the longest record, before it is sealed."""
MAX_STREAMS = 48
"""Streams that the other end may have open. One of them may hold a lone stream's window, all others the
small one: even if no consumer moves, together they cannot use up the session's credit and stop the rest."""
PING_INTERVAL = 10.0
SILENCE_LIMIT = 30.0

_ALWAYS_TAKEN = 64 * 1024  # of DATA, by an end that says nothing
_MAX_TARGET = 300
_MAX_CONTROL = 1024
_MAX_ABANDONED = 1024
_MAX_STATUS = 255


class Session:
    """One side. ``now`` is monotonic seconds everywhere; ``version`` is the program's, for people.

    ``movable``: whether to announce that this end would move to another transport.

    ``receive`` raises RemoteProtocolError for what the other side must not do, ``handle_timeout``
    ConnectionLost when it was silent for too long; the session is not to be used after either.
    """

    def __init__(self, *, initiator: bool, version: str, now: float, movable: bool = False) -> None:
        self._streams = StreamTable(initiator)
        self._outward = SendCredit(SESSION_WINDOW)
        self._inward = ReceiveCredit(SESSION_WINDOW)
        self._control: deque[bytes] = deque()
        self._bulk: deque[tuple[int, int, bytes]] = deque()  # stream, bytes of payload, record
        self.greeted = False
        """Whether the other end's HELLO has come."""
        self._max_streams = 1  # until the other end has said how many
        self._max_data = _ALWAYS_TAKEN
        self._ping_queued = self._pong_queued = False
        self._next_ping = now + PING_INTERVAL
        self._last_heard = now
        self._abandoned: deque[int] = deque(maxlen=_MAX_ABANDONED)  # reset or refused by us, the latest
        self._finishing = False
        self.queued = 0
        """Bytes of DATA that wait in next_record's queue."""
        self.final_sent = False
        self.final_received = False
        self._migration = Migration(initiator=initiator, announced=movable)
        hello = pb.Hello(
            version=version, features=self._migration.features, max_streams=MAX_STREAMS, max_data=MAX_DATA
        )
        self._steer(RecordType.HELLO, hello)

    # Sending

    @property
    def may_open(self) -> bool:
        """Whether the other end takes one more stream of ours now."""
        return self._streams.own < self._max_streams and not self.final_received

    def open(self, target: str = "") -> int:
        """Asks for a stream to ``target`` (HOST:PORT, empty for what the responder serves): its number."""
        if not self.may_open or self._finishing:
            raise LocalProtocolError("no further stream may be opened now")
        stream = self._streams.open_own()
        self._steer(RecordType.OPEN, pb.OpenStream(stream=stream.number, target=target))
        return stream.number

    def accept(self, number: int) -> None:
        """Opens a stream that was offered."""
        self._streams.offered(number).accepted = True
        self._steer(RecordType.OPENED, pb.StreamOpened(stream=number))

    def refuse(self, number: int, reason: pb.StreamRefused.Reason.ValueType, detail: str = "") -> None:
        """Refuses a stream that was offered; ``detail`` is for people at the other end."""
        self._close(self._streams.offered(number))
        self._abandoned.append(number)
        self._steer(RecordType.REFUSED, pb.StreamRefused(stream=number, reason=reason, detail=detail))

    def sendable(self, number: int) -> int:
        """How many bytes one ``data`` may hold now."""
        return min(self._streams.open(number).outward.left, self._outward.left, self._max_data)

    def data(self, number: int, payload: bytes | memoryview) -> None:
        """Queues ``payload``: 1 to ``sendable`` bytes."""
        stream = self._streams.sending(number)
        size = len(payload)
        if not 0 < size <= self._max_data:
            raise LocalProtocolError(f"{size} bytes in one record")
        stream.outward.spend(size)
        self._outward.spend(size)
        self.queued += size
        self._bulk.append((number, size, encode_data(number, payload)))

    def exit(self, number: int, status: int) -> None:
        """The program that was the stream's source ended; to be said before ``end``."""
        self._streams.sending(number)
        record = encode(RecordType.EXIT, pb.StreamExit(stream=number, status=status))
        self._bulk.append((number, 0, record))

    def end(self, number: int) -> None:
        """Nothing more from us on this stream."""
        stream = self._streams.sending(number)
        stream.end_sent = True
        self._bulk.append((number, 0, encode(RecordType.END, pb.StreamEnd(stream=number))))
        self._close_if_over(stream)

    def stop(self, number: int) -> None:
        """Our reader is gone: asks the other end to stop, and drops what still comes, as if handed over."""
        stream = self._streams.open(number)
        if not stream.stopped and not stream.end_received:
            self._steer(RecordType.STOP, pb.StreamStop(stream=number))
        stream.stopped = True
        self.consumed(number, stream.unconsumed)

    def reset(self, number: int, reason: pb.StreamReset.Reason.ValueType, detail: str = "") -> None:
        """The stream failed here: both directions are over, and what is queued on it is dropped."""
        self._close(self._streams.open(number))
        self._abandoned.append(number)
        self._drop_queued(number)
        self._steer(RecordType.RESET, pb.StreamReset(stream=number, reason=reason, detail=detail))

    def consumed(self, number: int, count: int) -> None:
        """``count`` bytes of received DATA are with the consumer: their credit goes back in time."""
        stream = self._streams.get(number)
        if stream is None or not count:
            return
        if count > stream.unconsumed:
            raise LocalProtocolError(f"{count} bytes consumed of {stream.unconsumed}")
        stream.unconsumed -= count
        if not stream.end_received:
            if len(self._streams) == 1:
                stream.inward.widen(LONE_WINDOW)
            self._grant(number, stream.inward.consumed(count))
        self._grant(0, self._inward.consumed(count))

    def delivered(self, number: int) -> None:
        """All up to the other end's END has reached the consumer, which was told of the end."""
        stream = self._streams.open(number)
        if not stream.end_received:
            raise LocalProtocolError(f"stream {number} delivered before its end")
        stream.delivered = True
        self._close_if_over(stream)

    def finish(self) -> None:
        """No further streams from us: FINAL follows as soon as it is true."""
        self._finishing = True

    def next_record(self) -> tuple[bytes, bool] | None:
        """The next record to seal, and whether with the final tag; None if there is none now."""
        if self.final_sent:
            return None
        if self._control:
            record = self._control.popleft()
            self._ping_queued &= record[0] != RecordType.PING
            self._pong_queued &= record[0] != RecordType.PONG
            return record, False
        if self._bulk:
            _, size, record = self._bulk.popleft()
            self.queued -= size
            return record, False
        if self._finishing and not self._streams:
            self.final_sent = True
            return encode(RecordType.FINAL), True
        return None

    @property
    def has_control(self) -> bool:
        """Whether next_record has something that the peer's records brought about."""
        return bool(self._control)

    def is_over(self, number: int) -> bool:
        """Whether nothing can be said on the stream any more."""
        return self._streams.get(number) is None

    # Moving to another transport (rdpeer.protocol.migration)

    @property
    def may_move(self) -> bool:
        """Whether both ends have announced that they would, and neither has finished."""
        return self._migration.agreed and not (self.final_sent or self.final_received)

    def offer_candidates(self, candidates: Candidates) -> None:
        """Tells the other end where we may be reached; once, and only if ``may_move``."""
        self._migration.offer()
        self._steer(RecordType.CANDIDATES, write_candidates(candidates))

    def switch(self, transport: bytes) -> bytes:
        """The record to seal next, as the last one on the transport that our direction is on.

        What is queued goes on ``transport``, which is called as the responder's JOIN named it.
        The initiator does so once, if ``may_move`` and when both ends' candidates are out; the
        responder when PeerSwitched has come, unless its FINAL is out.
        """
        if self.final_sent:
            raise LocalProtocolError("nothing is said after FINAL")
        self._migration.switch(transport)
        return encode(RecordType.SWITCH, transport)

    # Time

    @property
    def deadline(self) -> float | None:
        """When to call ``handle_timeout``; None when both ends have finished."""
        silence = None if self.final_received else self._last_heard + SILENCE_LIMIT
        ping = None if self.final_sent else self._next_ping
        return min((at for at in (silence, ping) if at is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Queues a PING when one is due; ConnectionLost when the other end has been silent for 30 s.

        After its FINAL it has nothing left to say, and is not expected to.
        """
        if not self.final_received and now >= self._last_heard + SILENCE_LIMIT:
            raise ConnectionLost(f"nothing came from the peer for {SILENCE_LIMIT:.0f} s")
        if not self.final_sent and now >= self._next_ping:
            self._next_ping = now + PING_INTERVAL
            if not self._ping_queued:
                self._ping_queued = True
                self._steer(RecordType.PING)

    # Receiving

    def receive(self, record: bytes, final: bool, now: float) -> list[SessionEvent]:
        """One opened record; ``final``: it was sealed with the final tag."""
        self._last_heard = now
        if self.final_received:
            raise RemoteProtocolError("a record after the peer's FINAL")
        if not final and self.greeted and is_data(record):
            return self._receive_data(*decode_data(record))
        kind, body = decode(record)
        if final != (kind is RecordType.FINAL):
            raise RemoteProtocolError(
                f"a record {kind.name} that is sealed as {'' if final else 'not '}final"
            )
        if not self.greeted and kind not in _BEFORE_HELLO:
            raise RemoteProtocolError(f"a record {kind.name} before the peer's HELLO")
        handle = _HANDLERS.get(kind)
        if handle is None:
            raise RemoteProtocolError(f"a record {kind.name} inside a session")
        events = handle(self, body)
        if len(self._control) > _MAX_CONTROL:
            raise RemoteProtocolError("the peer asks faster than it reads the answers")
        return events

    def _receive_data(self, number: int, data: memoryview) -> list[SessionEvent]:
        size = len(data)
        if not 0 < size <= MAX_DATA:
            raise RemoteProtocolError(f"a DATA record of {size} bytes")
        self._inward.take(size)
        stream = self._streams.receiving(number)
        if stream is None:
            self._grant(0, self._inward.consumed(size))
            return []
        stream.inward.take(size)
        stream.unconsumed += size
        if stream.stopped:
            self.consumed(number, size)
            return []
        return [DataReceived(number, data)]

    def _receive_hello(self, body: bytes) -> list[SessionEvent]:
        if self.greeted:
            raise RemoteProtocolError("a second HELLO")
        self.greeted = True
        hello = parse(pb.Hello, body)
        self._max_streams = max(1, hello.max_streams)
        self._max_data = min(max(_ALWAYS_TAKEN, hello.max_data), MAX_DATA)
        self._migration.greet(hello.features)
        return [CreditGained(0)]

    def _receive_ping(self, _: bytes) -> list[SessionEvent]:
        if not self._pong_queued:
            self._pong_queued = True
            self._steer(RecordType.PONG)
        return []

    def _receive_pong(self, _: bytes) -> list[SessionEvent]:
        return []

    def _receive_open(self, body: bytes) -> list[SessionEvent]:
        message = parse(pb.OpenStream, body)
        if printable(message.target, _MAX_TARGET) != message.target:
            raise RemoteProtocolError(f"a stream opened to {printable(message.target)!r}")
        if self._streams.peers >= MAX_STREAMS:
            raise RemoteProtocolError(f"more than {MAX_STREAMS} streams opened")
        stream = self._streams.open_peers(message.stream)
        return [StreamOffered(stream.number, message.target)]

    def _receive_opened(self, body: bytes) -> list[SessionEvent]:
        stream = self._streams.answered(parse(pb.StreamOpened, body).stream)
        if stream is None:
            return []
        stream.accepted = True
        return [StreamAccepted(stream.number)]

    def _receive_refused(self, body: bytes) -> list[SessionEvent]:
        message = parse(pb.StreamRefused, body)
        stream = self._streams.answered(message.stream)
        if stream is None:
            return []
        self._close(stream)
        return [StreamRefused(stream.number, message.reason, printable(message.detail)), CreditGained(0)]

    def _receive_window(self, body: bytes) -> list[SessionEvent]:
        message = parse(pb.StreamWindow, body)
        if not message.stream:
            self._outward.add(message.credit)
        elif stream := self._streams.known(message.stream):
            stream.outward.add(message.credit)
        else:
            return []
        return [CreditGained(message.stream)]

    def _receive_end(self, body: bytes) -> list[SessionEvent]:
        stream = self._streams.receiving(parse(pb.StreamEnd, body).stream)
        if stream is None:
            return []
        stream.end_received = True
        return [PeerEnded(stream.number)]

    def _receive_stop(self, body: bytes) -> list[SessionEvent]:
        stream = self._streams.known(parse(pb.StreamStop, body).stream)
        return [] if stream is None or stream.end_sent else [PeerStopped(stream.number)]

    def _receive_exit(self, body: bytes) -> list[SessionEvent]:
        message = parse(pb.StreamExit, body)
        stream = self._streams.receiving(message.stream)
        if stream is None:
            return []
        if stream.exited or not 0 <= message.status <= _MAX_STATUS:
            raise RemoteProtocolError(f"a program that exited with {message.status}")
        stream.exited = True
        return [PeerExited(stream.number, message.status)]

    def _receive_reset(self, body: bytes) -> list[SessionEvent]:
        message = parse(pb.StreamReset, body)
        number = message.stream
        stream = self._streams.known(number)
        if stream is not None:
            self._close(stream)
            self._drop_queued(number)
        elif number in self._abandoned:  # the two RESETs crossed
            return []
        return [StreamReset(number, message.reason, printable(message.detail)), CreditGained(0)]

    def _receive_candidates(self, body: bytes) -> list[SessionEvent]:
        return [CandidatesReceived(self._migration.receive_candidates(body))]

    def _receive_switch(self, body: bytes) -> list[SessionEvent]:
        self._migration.receive_switch(body)
        return [PeerSwitched(body)]

    def _receive_final(self, body: bytes) -> list[SessionEvent]:
        if body or self._bulk or not self._streams.all_ended:
            raise RemoteProtocolError("a FINAL while streams are open")
        self.final_received = True
        return [PeerFinished()]

    def _steer(self, kind: RecordType, body: Message | bytes = b"") -> None:
        self._control.append(encode(kind, body))

    def _grant(self, number: int, count: int) -> None:
        if count:
            self._steer(RecordType.WINDOW, pb.StreamWindow(stream=number, credit=count))

    def _close_if_over(self, stream: Stream) -> None:
        if stream.end_sent and stream.delivered:
            self._close(stream)

    def _close(self, stream: Stream) -> None:
        """Forgets the stream; what it still held of the session's credit goes back."""
        self._streams.remove(stream)
        self._grant(0, self._inward.consumed(stream.unconsumed))

    def _drop_queued(self, number: int) -> None:
        kept = [entry for entry in self._bulk if entry[0] != number]
        dropped = sum(size for _, size, _ in self._bulk) - sum(size for _, size, _ in kept)
        self._bulk = deque(kept)
        self._outward.left += dropped
        self.queued -= dropped


_BEFORE_HELLO = {RecordType.HELLO, RecordType.PING, RecordType.PONG}  # PING runs since the keys exist

_HANDLERS: dict[RecordType, Callable[[Session, bytes], list[SessionEvent]]] = {
    RecordType.HELLO: Session._receive_hello,
    RecordType.PING: Session._receive_ping,
    RecordType.PONG: Session._receive_pong,
    RecordType.OPEN: Session._receive_open,
    RecordType.OPENED: Session._receive_opened,
    RecordType.REFUSED: Session._receive_refused,
    RecordType.WINDOW: Session._receive_window,
    RecordType.END: Session._receive_end,
    RecordType.STOP: Session._receive_stop,
    RecordType.EXIT: Session._receive_exit,
    RecordType.RESET: Session._receive_reset,
    RecordType.FINAL: Session._receive_final,
    RecordType.CANDIDATES: Session._receive_candidates,
    RecordType.SWITCH: Session._receive_switch,
}
