"""The session: transcripts with a virtual clock, hostile records, and two of them joined at random."""

from __future__ import annotations

import itertools
from collections import deque
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdpeer.errors import ConnectionLost, LocalProtocolError, RemoteProtocolError
from rdpeer.protocol.credit import LONE_WINDOW, SESSION_WINDOW, STREAM_WINDOW
from rdpeer.protocol.session import MAX_DATA, MAX_STREAMS, Session
from rdpeer.protocol.session_events import (
    CreditGained,
    DataReceived,
    PeerEnded,
    PeerExited,
    PeerFinished,
    PeerStopped,
    StreamAccepted,
    StreamOffered,
    StreamRefused,
    StreamReset,
)
from rdpeer.wire import channel_pb2 as pb
from rdpeer.wire.records import RecordType, decode, encode, encode_data


def session(*, initiator: bool = True) -> Session:
    return Session(initiator=initiator, version="1", now=0.0)


def records(side: Session) -> list[tuple[bytes, bool]]:
    taken = []
    while (item := side.next_record()) is not None:
        taken.append(item)
    return taken


def kinds(side: Session) -> list[str]:
    return [decode(record)[0].name for record, _ in records(side)]


def pass_on(sender: Session, receiver: Session) -> list[object]:
    """Everything that is queued: what the receiver was told, the credit apart."""
    events = [event for item in records(sender) for event in receiver.receive(*item, 0.0)]
    return [event for event in events if not isinstance(event, CreditGained)]


def settle(left: Session, right: Session) -> list[object]:
    told: list[object] = []
    while events := pass_on(left, right) + pass_on(right, left):
        told += events
    return told


def joined(target: str = "") -> tuple[Session, Session, int]:
    """Two sessions with one stream between them."""
    left, right = session(), session(initiator=False)
    number = left.open(target)
    assert pass_on(left, right) == [StreamOffered(number, target)]
    right.accept(number)
    assert pass_on(right, left) == [StreamAccepted(number)]
    return left, right, number


def greeted(*, initiator: bool = True) -> Session:
    side = session(initiator=initiator)
    side.receive(encode(RecordType.HELLO, pb.Hello(max_streams=8)), False, 0.0)
    records(side)
    return side


def hear(side: Session, kind: RecordType, body: object = b"", *, final: bool = False) -> list[object]:
    return side.receive(encode(kind, body), final, 0.0)  # type: ignore[arg-type]


# The ordinary course


def test_hello_comes_first():
    assert kinds(session()) == ["HELLO"]


def test_a_stream_from_its_opening_to_both_finals():
    left, right, n = joined("localhost:22")
    left.data(n, b"question")
    left.end(n)
    assert pass_on(left, right) == [DataReceived(n, memoryview(b"question")), PeerEnded(n)]
    right.consumed(n, 8)
    right.delivered(n)
    right.data(n, b"answer")
    right.exit(n, 3)
    right.end(n)
    assert pass_on(right, left) == [DataReceived(n, memoryview(b"answer")), PeerExited(n, 3), PeerEnded(n)]
    left.finish()
    right.finish()
    assert pass_on(right, left) == [PeerFinished()]
    assert records(left) == []  # the answer is not with its consumer yet
    left.consumed(n, 6)
    left.delivered(n)
    assert pass_on(left, right) == [PeerFinished()]
    assert left.final_sent
    assert left.final_received
    assert right.deadline is None


def test_final_is_sealed_as_final_and_nothing_follows_it():
    left = greeted()
    left.finish()
    assert records(left) == [(encode(RecordType.FINAL), True)]
    left.handle_timeout(10.0)
    assert records(left) == []


def test_final_waits_for_delivery_even_where_everything_ended():
    left, right, n = joined()
    left.end(n)
    right.end(n)
    settle(left, right)
    left.finish()
    assert records(left) == []
    left.delivered(n)
    assert kinds(left) == ["FINAL"]


def test_control_overtakes_data_and_end_does_not():
    left, right, n = joined()
    left.data(n, b"1")
    left.end(n)
    hear(left, RecordType.PING)
    assert kinds(left) == ["PONG", "DATA", "END"]
    assert right.final_sent is False


def test_a_refused_stream():
    left, right = session(), session(initiator=False)
    n = left.open("10.0.0.1:1")
    pass_on(left, right)
    right.refuse(n, pb.StreamRefused.NOT_PERMITTED, "no\x1b[31m")
    assert pass_on(right, left) == [StreamRefused(n, pb.StreamRefused.NOT_PERMITTED, "no?[31m")]
    left.finish()
    right.finish()
    assert settle(left, right) == [PeerFinished(), PeerFinished()]


def test_stop_is_told_and_what_still_comes_is_dropped_and_its_credit_returned():
    left, right, n = joined()
    left.data(n, bytes(MAX_DATA))
    pass_on(left, right)
    right.stop(n)
    assert pass_on(right, left) == [PeerStopped(n)]
    for _ in range(3 * LONE_WINDOW // MAX_DATA):  # far more than the window: it all counts as consumed
        left.data(n, bytes(MAX_DATA))
        assert pass_on(left, right) == []
        pass_on(right, left)
    left.end(n)
    assert pass_on(left, right) == [PeerEnded(n)]
    right.delivered(n)


def test_a_stop_that_crosses_our_end_changes_nothing():
    left, right, n = joined()
    left.end(n)
    right.stop(n)
    assert pass_on(right, left) == []


def test_reset_ends_both_directions_and_drops_what_is_queued():
    left, right, n = joined()
    left.data(n, b"x" * 1000)
    left.reset(n, pb.StreamReset.SINK_FAILED, "No space left on device")
    assert left.queued == 0
    right.data(n, b"crosses")
    assert pass_on(left, right) == [StreamReset(n, pb.StreamReset.SINK_FAILED, "No space left on device")]
    assert pass_on(right, left) == []
    with pytest.raises(LocalProtocolError, match="not open"):
        right.data(n, b"late")
    left.finish()
    assert kinds(left) == ["FINAL"]


def test_a_reset_after_the_stream_ended_well_on_this_side_is_still_told():
    left, right, n = joined()
    left.data(n, b"the last")
    left.end(n)
    right.end(n)
    settle(left, right)
    left.delivered(n)
    assert left.is_over(n)
    right.reset(n, pb.StreamReset.SINK_FAILED)
    assert pass_on(right, left) == [StreamReset(n, pb.StreamReset.SINK_FAILED, "")]


def test_resets_that_cross_are_not_told_twice():
    left, right, n = joined()
    left.reset(n, pb.StreamReset.UNSPECIFIED)
    right.reset(n, pb.StreamReset.UNSPECIFIED)
    assert settle(left, right) == []


def test_records_for_a_stream_that_is_over_are_dropped():
    left, right, n = joined()
    right.data(n, b"under way")
    right.exit(n, 0)
    right.end(n)
    left.reset(n, pb.StreamReset.UNSPECIFIED)
    assert pass_on(right, left) == []


def test_streams_of_both_sides_have_their_own_numbers():
    left, right = session(), session(initiator=False)
    settle(left, right)
    assert (left.open(), left.open(), right.open(), right.open()) == (1, 3, 2, 4)
    assert settle(left, right) == [
        StreamOffered(1, ""),
        StreamOffered(3, ""),
        StreamOffered(2, ""),
        StreamOffered(4, ""),
    ]


def test_before_hello_one_stream_may_be_opened_and_then_as_many_as_it_says():
    left = session()
    left.open()
    assert not left.may_open
    hear(left, RecordType.HELLO, pb.Hello(max_streams=2))
    left.open()
    with pytest.raises(LocalProtocolError, match="no further stream"):
        left.open()


@pytest.mark.parametrize(
    ("said", "longest"),
    [(0, 65536), (1, 65536), (100_000, 100_000), (MAX_DATA, MAX_DATA), (2**32 - 1, MAX_DATA)],
)
def test_a_record_holds_what_the_other_end_takes(said: int, longest: int):
    left = session()
    number = left.open()
    assert left.sendable(number) == 65536
    hear(left, RecordType.HELLO, pb.Hello(max_streams=2, max_data=said))
    hear(left, RecordType.OPENED, pb.StreamOpened(stream=number))
    assert left.sendable(number) == longest
    with pytest.raises(LocalProtocolError, match="in one record"):
        left.data(number, bytes(longest + 1))


# Credit


def test_the_first_stream_starts_with_a_lone_window_and_others_with_a_small_one():
    left, right, n = joined()
    m = left.open()
    settle(left, right)
    right.accept(m)
    settle(left, right)
    for number, window in ((n, LONE_WINDOW), (m, STREAM_WINDOW)):
        sent = 0
        while room := left.sendable(number):
            left.data(number, bytes(room))
            sent += room
        assert sent == window
    pass_on(left, right)
    with pytest.raises(LocalProtocolError, match="credit of 0"):
        left.data(n, b"1")


def test_credit_comes_back_only_when_the_consumer_has_the_bytes():
    left, right, n = joined()
    while room := left.sendable(n):
        left.data(n, bytes(room))
    pass_on(left, right)
    assert records(right) == []
    right.consumed(n, LONE_WINDOW // 2)
    pass_on(right, left)
    assert left.sendable(n) == MAX_DATA
    with pytest.raises(LocalProtocolError, match="consumed of"):
        right.consumed(n, LONE_WINDOW)


def test_a_stream_that_finds_itself_alone_gets_the_lone_window():
    left, right, n = joined()
    m = left.open()
    settle(left, right)
    right.accept(m)
    left.reset(n, pb.StreamReset.UNSPECIFIED)
    settle(left, right)
    left.data(m, bytes(MAX_DATA))
    settle(left, right)
    right.consumed(m, MAX_DATA)
    settle(left, right)
    sent = 0
    while room := left.sendable(m):
        left.data(m, bytes(room))
        sent += room
    assert sent == LONE_WINDOW


def test_stalled_streams_cannot_take_the_credit_of_the_others():
    left, right, n = joined()
    numbers = [n]
    for _ in range(MAX_STREAMS - 1):
        numbers.append(left.open())
        settle(left, right)
        right.accept(numbers[-1])
        settle(left, right)
    for number in numbers[:-1]:
        while room := left.sendable(number):
            left.data(number, bytes(room))
    assert left.sendable(numbers[-1]) == MAX_DATA


def test_the_session_gets_back_the_credit_of_a_stream_that_is_reset():
    left, right, n = joined()
    for _ in range(2 * SESSION_WINDOW // LONE_WINDOW):
        for _ in range(STREAM_WINDOW // MAX_DATA):
            left.data(n, bytes(MAX_DATA))
        pass_on(left, right)
        right.reset(n, pb.StreamReset.SINK_FAILED)
        settle(left, right)
        n = left.open()
        settle(left, right)
        right.accept(n)
        settle(left, right)
    assert left.sendable(n) == MAX_DATA


def overrun(side: Session) -> None:
    for _ in range(LONE_WINDOW // MAX_DATA):
        side.receive(encode_data(1, bytes(MAX_DATA)), False, 0.0)
    side.receive(encode_data(1, b"1"), False, 0.0)


def test_an_overrun_is_an_error_of_the_peer():
    _, right, _ = joined()
    with pytest.raises(RemoteProtocolError, match="1 bytes received with a credit of 0"):
        overrun(right)


# Time


def test_ping_every_ten_seconds_even_while_records_come():
    left = greeted()
    assert left.deadline == 10.0
    left.receive(encode(RecordType.PONG), False, 9.0)
    left.handle_timeout(10.0)
    assert kinds(left) == ["PING"]
    assert left.deadline == 20.0


def test_one_ping_and_one_pong_wait_at_most():
    left = greeted()
    for now in (10.0, 20.0):
        left.handle_timeout(now)
    for _ in range(5000):
        hear(left, RecordType.PING)
    assert kinds(left) == ["PING", "PONG"]
    hear(left, RecordType.PING)
    assert kinds(left) == ["PONG"]


def test_silence_of_thirty_seconds_is_a_lost_connection():
    left = greeted()
    left.receive(encode(RecordType.PONG), False, 5.0)
    left.handle_timeout(34.9)
    with pytest.raises(ConnectionLost, match="nothing came from the peer for 30 s"):
        left.handle_timeout(35.0)


def test_a_peer_that_has_finished_may_be_silent():
    left, right, n = joined()
    right.end(n)
    left.end(n)
    settle(left, right)
    right.delivered(n)
    right.finish()
    assert pass_on(right, left) == [PeerFinished()]
    left.handle_timeout(1000.0)
    assert kinds(left) == ["PING"]  # it still hears us while our consumer is slow
    right.receive(encode(RecordType.PING), False, 1000.0)
    right.handle_timeout(1029.0)
    with pytest.raises(ConnectionLost):
        right.handle_timeout(1030.0)


# Hostile records


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        (RecordType.OPEN, pb.OpenStream(stream=2), "opened with the number 2"),
        (RecordType.OPEN, pb.OpenStream(stream=0), "opened with the number 0"),
        (RecordType.OPEN, pb.OpenStream(stream=2**31 + 1), "opened with the number"),
        (RecordType.OPEN, pb.OpenStream(stream=3, target="a\nb"), r"opened to 'a\?b'"),
        (RecordType.OPEN, pb.OpenStream(stream=3, target="a" * 301), "opened to"),
        (RecordType.OPENED, pb.StreamOpened(stream=1), "waits for none"),
        (RecordType.OPENED, pb.StreamOpened(stream=2), "nobody opened"),
        (RecordType.REFUSED, pb.StreamRefused(stream=7), "nobody opened"),
        (RecordType.WINDOW, pb.StreamWindow(stream=1), "a credit of 0"),
        (RecordType.WINDOW, pb.StreamWindow(credit=2**31 - 1), "a credit of"),
        (RecordType.WINDOW, pb.StreamWindow(stream=9, credit=1), "nobody opened"),
        (RecordType.END, pb.StreamEnd(stream=9), "nobody opened"),
        (RecordType.STOP, pb.StreamStop(stream=0), "nobody opened"),
        (RecordType.EXIT, pb.StreamExit(stream=1, status=256), "exited with 256"),
        (RecordType.EXIT, pb.StreamExit(stream=1, status=-1), "exited with -1"),
        (RecordType.RESET, pb.StreamReset(stream=2), "nobody opened"),
        (RecordType.HELLO, pb.Hello(), "a second HELLO"),
        (RecordType.CONFIRM, bytes(32), "a record CONFIRM inside a session"),
        (RecordType.ACCEPTED, b"", "a record ACCEPTED inside a session"),
        (RecordType.END, b"\xff", "are not a StreamEnd"),
        (RecordType.DATA, b"\0\0\0", "without its head"),
        (RecordType.DATA, b"\0\0\0\1", "DATA record of 0 bytes"),
        (RecordType.DATA, b"\0\0\0\1" + bytes(MAX_DATA + 1), f"DATA record of {MAX_DATA + 1} bytes"),
        (RecordType.DATA, b"\0\0\0\x09x", "nobody opened"),
        (RecordType.FINAL, b"", "sealed as not final"),
    ],
)
def test_what_a_peer_must_not_send(kind, body, text):
    _, right, _ = joined()
    with pytest.raises(RemoteProtocolError, match=text):
        hear(right, kind, body)


def test_nothing_but_pings_before_hello():
    side = session()
    assert hear(side, RecordType.PING) == hear(side, RecordType.PONG) == []
    for kind in (RecordType.OPEN, RecordType.DATA, RecordType.END):
        with pytest.raises(RemoteProtocolError, match="before the peer's HELLO"):
            hear(side, kind)


def test_final_while_streams_are_open():
    _, right, _ = joined()
    with pytest.raises(RemoteProtocolError, match="FINAL while streams are open"):
        hear(right, RecordType.FINAL, final=True)


def test_final_before_all_that_we_sent_could_have_been_delivered():
    left, right, n = joined()
    right.end(n)
    pass_on(right, left)
    left.data(n, b"still here")
    left.end(n)
    with pytest.raises(RemoteProtocolError, match="FINAL while streams are open"):
        hear(left, RecordType.FINAL, final=True)


def test_another_record_sealed_as_final():
    _, right, _ = joined()
    for record in (encode(RecordType.PING), encode_data(1, b"x")):
        with pytest.raises(RemoteProtocolError, match="sealed as final"):
            right.receive(record, True, 0.0)


def test_nothing_is_taken_after_final():
    side = greeted()
    hear(side, RecordType.FINAL, final=True)
    with pytest.raises(RemoteProtocolError, match="after the peer's FINAL"):
        hear(side, RecordType.PING)


def test_data_before_the_stream_is_accepted_and_after_its_end():
    right = greeted(initiator=False)
    hear(right, RecordType.OPEN, pb.OpenStream(stream=1))
    with pytest.raises(RemoteProtocolError, match="before it was opened"):
        right.receive(encode_data(1, b"x"), False, 0.0)
    right.accept(1)
    hear(right, RecordType.END, pb.StreamEnd(stream=1))
    for record in (encode_data(1, b"x"), encode(RecordType.END, pb.StreamEnd(stream=1))):
        with pytest.raises(RemoteProtocolError, match="after its END"):
            right.receive(record, False, 0.0)


def test_a_second_exit():
    _, right, _ = joined()
    hear(right, RecordType.EXIT, pb.StreamExit(stream=1, status=0))
    with pytest.raises(RemoteProtocolError, match="exited with 0"):
        hear(right, RecordType.EXIT, pb.StreamExit(stream=1, status=0))


def test_more_streams_than_were_allowed():
    right = greeted(initiator=False)
    for number in range(1, 2 * MAX_STREAMS, 2):
        hear(right, RecordType.OPEN, pb.OpenStream(stream=number))
    with pytest.raises(RemoteProtocolError, match="more than 48 streams"):
        hear(right, RecordType.OPEN, pb.OpenStream(stream=2 * MAX_STREAMS + 1))


def test_a_peer_that_asks_and_never_reads_is_cut_off():
    right = greeted(initiator=False)

    def ask_for_ever() -> None:
        for number in itertools.count(1, 2):
            hear(right, RecordType.OPEN, pb.OpenStream(stream=number))
            right.refuse(number, pb.StreamRefused.BUSY)

    with pytest.raises(RemoteProtocolError, match="asks faster than it reads"):
        ask_for_ever()


@given(st.binary(max_size=40), st.booleans())
def test_any_bytes_are_an_event_or_an_error_of_the_peer(record, final):
    _, right, _ = joined()
    with suppress(RemoteProtocolError):
        right.receive(record, final, 0.0)


def test_what_we_must_not_do():
    left, right, n = joined()
    for misuse in (
        lambda: left.data(n, b""),
        lambda: left.data(n, bytes(MAX_DATA + 1)),
        lambda: left.data(9, b"x"),
        lambda: left.delivered(n),
        lambda: left.accept(n),
        lambda: right.refuse(n, pb.StreamRefused.BUSY),
    ):
        with pytest.raises(LocalProtocolError):
            misuse()
    left.end(n)
    with pytest.raises(LocalProtocolError, match="nothing may be sent"):
        left.end(n)
    left.finish()
    with pytest.raises(LocalProtocolError, match="no further stream"):
        left.open()


# Two sessions, chunks and pace at random


class _End:
    """One side that sends a text on each stream and checks nothing but what arrives."""

    def __init__(self, side: Session, texts: list[bytes]) -> None:
        self.side = side
        self.unsent = {2 * index + 1: text for index, text in enumerate(texts)}
        self.waiting: deque[tuple[int, int]] = deque()
        self.received: dict[int, bytes] = dict.fromkeys(self.unsent, b"")
        self.ended: set[int] = set()

    def hear(self, item: tuple[bytes, bool]) -> None:
        for event in self.side.receive(*item, 0.0):
            match event:
                case StreamOffered(number):
                    self.side.accept(number)
                case DataReceived(number, data):
                    self.received[number] += data
                    self.waiting.append((number, len(data)))
                case PeerEnded(number):
                    self.ended.add(number)

    def send(self, number: int, size: int) -> None:
        text = self.unsent[number]
        chunk = text[: min(size, self.side.sendable(number))]
        if chunk:
            self.side.data(number, chunk)
            self.unsent[number] = text[len(chunk) :]
        elif not text:
            self.side.end(number)
            del self.unsent[number]

    def consume(self) -> None:
        if self.waiting:
            self.side.consumed(*self.waiting.popleft())
        for number in [n for n in self.ended if all(n != other for other, _ in self.waiting)]:
            self.side.delivered(number)
            self.ended.discard(number)

    @property
    def done(self) -> bool:
        return self.side.final_sent and self.side.final_received


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_every_byte_arrives_in_order_whatever_the_pace(data):
    sizes = st.lists(st.integers(0, 600_000), min_size=1, max_size=3)
    texts = [[bytes([n + 1]) * size for n, size in enumerate(data.draw(sizes))] for _ in range(2)]
    count = max(map(len, texts))
    texts = [side + [b""] * (count - len(side)) for side in texts]
    random = data.draw(st.randoms(use_true_random=False))
    left, right = _End(session(), texts[0]), _End(session(initiator=False), texts[1])
    settle(left.side, right.side)
    for _ in range(count):
        left.side.open()
        for _ in range(2):
            for item in records(left.side):
                right.hear(item)
            for item in records(right.side):
                left.hear(item)
    left.side.finish()
    right.side.finish()
    wires = {left: deque(), right: deque()}
    while not (left.done and right.done):
        for near, far in ((left, right), (right, left)):
            for number in random.sample(sorted(near.unsent), len(near.unsent)):
                near.send(number, random.randint(1, MAX_DATA))
            while random.random() < 0.8 and (item := near.side.next_record()):
                wires[near].append(item)
            while wires[near] and random.random() < 0.8:
                far.hear(wires[near].popleft())
            if random.random() < 0.8:
                near.consume()
    assert list(right.received.values()) == texts[0]
    assert list(left.received.values()) == texts[1]
