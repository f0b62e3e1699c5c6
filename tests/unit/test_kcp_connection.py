"""Two ends of a connection over UDP, and what a hostile one may try."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lossy_network import LossyNetwork, Weather

from rdpeer.errors import LocalProtocolError
from rdpeer.protocol.kcp_connection import PING_INTERVAL, SILENCE, KcpConnection
from rdpeer.protocol.kcp_inward import LARGEST_WINDOW
from rdpeer.wire import kcp as wire

CONVERSATION = 0xFEDCBA98
NAME = wire.encode_name(CONVERSATION)


class Ends:
    """A connector and an acceptor over a network."""

    def __init__(self, weather: Weather | None = None, seed: int = 1) -> None:
        self.connector = KcpConnection.connecting(CONVERSATION, 1000.0)
        self.acceptor = KcpConnection.accepting(1000.0)
        self.network = LossyNetwork(self.connector, self.acceptor, weather or Weather(), seed)

    def meet(self) -> Ends:
        both = (self.connector, self.acceptor)
        assert self.network.run(lambda: all(end.established for end in both))
        return self

    def carry(self, there: bytes, back: bytes) -> None:
        """Both directions at once, each to its end."""
        self.connector.send(there)
        self.acceptor.send(back)
        heard = {self.connector: bytearray(), self.acceptor: bytearray()}

        def arrived() -> bool:
            for end, data in heard.items():
                data += b"".join(end.read())
            return len(heard[self.acceptor]) >= len(there) and len(heard[self.connector]) >= len(back)

        assert self.network.run(arrived)
        assert heard[self.acceptor] == there
        assert heard[self.connector] == back


def established(end: str) -> KcpConnection:
    """One end alone, past its handshake at 1000.0; its other end is the test."""
    if end == "acceptor":
        machine = KcpConnection.accepting(1000.0)
        machine.receive(wire.encode_header(NAME, wire.SYN), 1000.0)
        machine.receive(wire.encode_header(NAME, wire.ACK | wire.DATA), 1000.0)
    else:
        machine = KcpConnection.connecting(CONVERSATION, 1000.0)
        machine.receive(wire.encode_header(NAME, wire.SYN | wire.ACK), 1000.0)
    machine.poll(1000.0)
    assert machine.established
    return machine


def segments(
    *parts: tuple[int, int, bytes], name: bytes = NAME, window: int = 100, expected: int = 0
) -> bytes:
    """A datagram with a segment for each (command, number, data)."""
    conversation = int.from_bytes(name[:4], "little")
    body = b"".join(
        wire.encode_segment(conversation, command, window, 7, number, expected, len(data)) + data
        for command, number, data in parts
    )
    return wire.encode_header(name, wire.ACK | wire.DATA) + body


# The handshake


def test_the_handshake_is_stocks():
    connector = KcpConnection.connecting(CONVERSATION, 0.0)
    acceptor = KcpConnection.accepting(0.0)
    assert acceptor.poll(0.0) == []
    syn = connector.poll(0.0)
    assert syn == [NAME + b"\x01\x00"]
    acceptor.receive(syn[0], 0.01)
    answer = acceptor.poll(0.01)
    assert answer == [NAME + b"\x03\x00"]
    assert not acceptor.established
    connector.receive(answer[0], 0.02)
    assert connector.established
    third = connector.poll(0.02)
    assert third == [NAME + b"\x0a\x00"]
    acceptor.receive(third[0], 0.03)
    assert acceptor.established
    assert acceptor.poll(0.03) == []


@pytest.mark.parametrize("lost", [(0,), (1,), (2,), (0, 1, 2), (1, 3)])
def test_whatever_is_lost_of_the_handshake_is_sent_again(lost):
    ends = Ends()
    sent = 0
    send = ends.network._send

    def lossy(to: int, datagram: bytes) -> None:
        nonlocal sent
        if sent not in lost:
            send(to, datagram)
        sent += 1

    ends.network._send = lossy
    ends.meet()
    assert ends.network.now < 1002.0


def test_a_connector_whose_answer_was_lost_for_good_takes_a_pong_for_it():
    connector = KcpConnection.connecting(CONVERSATION, 0.0)
    connector.poll(0.0)
    assert connector.poll(0.2) == [NAME + b"\x01\x00", NAME + b"\x20\x00"]
    connector.receive(NAME + b"\x60\x00", 0.21)
    assert connector.established
    assert connector.poll(0.21) == [NAME + b"\x0a\x00"]


def test_an_acceptor_whose_third_datagram_was_lost_asks_until_the_connector_shows_itself():
    acceptor = KcpConnection.accepting(0.0)
    acceptor.receive(NAME + b"\x01\x00", 0.0)
    acceptor.poll(0.0)
    answer, question = acceptor.poll(0.2)
    assert answer == NAME + b"\x03\x00"
    (segment,) = wire.parse_segments(question)
    assert segment.command == wire.ASK_WINDOW
    acceptor.receive(segments((wire.TELL_WINDOW, 0, b"")), 0.3)
    assert acceptor.established


def test_a_reset_while_connecting_is_not_the_end():
    connector = KcpConnection.connecting(CONVERSATION, 0.0)
    connector.poll(0.0)
    for _ in range(1000):
        connector.receive(NAME + b"\x10\x00", 0.1)
    assert connector.poll(0.1) == []
    assert not connector.closed


def test_the_newest_syn_counts_until_the_connection_stands():
    acceptor = KcpConnection.accepting(0.0)
    other = wire.encode_name(5, 6, 7)
    acceptor.receive(NAME + b"\x01\x00", 0.0)
    acceptor.receive(other + b"\x01\x00", 0.0)
    assert acceptor.poll(0.0) == [other + b"\x03\x00"]
    acceptor.receive(NAME + b"\x0a\x00", 0.1)
    assert not acceptor.established
    acceptor.receive(other + b"\x0a\x00", 0.1)
    assert acceptor.established
    acceptor.receive(NAME + b"\x01\x00", 0.1)
    assert acceptor.poll(0.1) == []


def test_an_acceptor_that_nobody_called_stays_silent():
    acceptor = KcpConnection.accepting(0.0)
    for name in (NAME, bytes(12)):
        for flags in (wire.PING, wire.ACK | wire.DATA, wire.FIN, wire.RST, wire.SYN | wire.ACK):
            acceptor.receive(wire.encode_header(name, flags), 0.0)
    acceptor.receive(b"", 0.0)
    assert acceptor.poll(100.0) == []
    assert acceptor.abort() == []


def test_nothing_can_be_sent_before_it_stands():
    for machine in (KcpConnection.accepting(0.0), KcpConnection.connecting(CONVERSATION, 0.0)):
        with pytest.raises(LocalProtocolError):
            machine.send(b"too early")


# The stream


@pytest.mark.parametrize(
    "weather",
    [
        Weather(),
        Weather(loss=0.1),
        Weather(loss=0.3, doubling=0.1),
        Weather(jitter=0.05),
        Weather(loss=0.1, doubling=0.3, jitter=0.05),
        Weather(delay=0.3),
    ],
    ids=str,
)
def test_both_directions_through_all_weathers(weather):
    there, back = random.Random(1).randbytes(400_000), random.Random(2).randbytes(300_000)
    ends = Ends(weather).meet()
    ends.carry(there, back)
    assert ends.network.longest <= 1214


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    loss=st.floats(0, 0.4),
    doubling=st.floats(0, 0.5),
    jitter=st.floats(0, 0.1),
    there=st.integers(0, 30_000),
    back=st.integers(0, 30_000),
)
def test_any_weather_changes_nothing_but_the_time(seed, loss, doubling, jitter, there, back):
    ends = Ends(Weather(loss, doubling, 0.02, jitter), seed).meet()
    ends.carry(random.Random(seed).randbytes(there), random.Random(~seed).randbytes(back))


def test_sequence_numbers_go_round():
    ends = Ends(Weather(loss=0.1, jitter=0.02)).meet()
    near_the_end = 2**32 - 100
    for kcp in (ends.connector._kcp, ends.acceptor._kcp):
        kcp.outward._first = kcp.outward.next = kcp.inward.expected = near_the_end
    ends.carry(random.Random(1).randbytes(400_000), random.Random(2).randbytes(400_000))


def test_a_lossless_line_is_sent_nothing_twice_and_few_acknowledgements():
    ends = Ends().meet()
    before = ends.network.carried
    ends.carry(bytes(1_176_000), b"")
    assert ends.connector._kcp.outward.transmissions == 1000
    assert ends.network.carried - before < 1100


def test_what_is_only_late_is_not_sent_again():
    ends = Ends(Weather(delay=0.02, jitter=0.005)).meet()
    ends.carry(bytes(2_000_000), b"")
    assert (
        ends.connector._kcp.outward.transmissions == ends.connector._kcp.outward.next == -(-2_000_000 // 1176)
    )


def test_a_line_that_loses_one_in_a_hundred_is_still_filled():
    ends = Ends(Weather(loss=0.01, delay=0.025)).meet()
    began = ends.network.now
    ends.carry(bytes(20_000_000), b"")
    assert ends.connector._kcp.outward.transmissions < 1.03 * ends.connector._kcp.outward.next
    assert ends.network.now - began < 4.0  # in TCP's own formula, 60 s


def test_a_line_that_is_cut_for_a_while_is_tried_ever_more_rarely_and_goes_on():
    ends = Ends().meet()
    ends.connector.send(bytes(100_000))
    carry, sent = ends.network._send, []
    ends.network._send = lambda to, datagram: sent.append(datagram) if to else None
    assert not ends.network.run(lambda: False, at_most=30.0)
    assert 10 <= len(sent) / 16 <= 20
    ends.network._send = carry
    heard = bytearray()

    def arrived() -> bool:
        heard.extend(b"".join(ends.acceptor.read()))
        return len(heard) == 100_000

    assert ends.network.run(arrived, at_most=20.0)


def test_who_does_not_read_holds_the_other_end_back_and_reading_lets_it_go_on():
    ends = Ends().meet()
    ends.connector.send(bytes(12_000_000))
    assert not ends.network.run(lambda: ends.connector.delivered, at_most=30.0)
    held = ends.connector.unsent
    assert held > 12_000_000 - LARGEST_WINDOW * 1176 - 1
    heard = 0

    def all_heard() -> bool:
        nonlocal heard
        while chunks := ends.acceptor.read():
            heard += sum(map(len, chunks))
        return heard == 12_000_000

    began = ends.network.now
    assert ends.network.run(all_heard)
    assert ends.network.now - began < 10.0


def test_a_slow_reader_tells_in_time_that_it_has_room_again():
    """As a transport does: it takes a part, and polls, and no part alone is worth telling."""
    ends = Ends().meet()
    ends.connector.send(bytes(9_000_000))
    ends.network.run(lambda: False, at_most=2.0)
    questions = 0
    send = ends.network._send

    def watched(to: int, datagram: bytes) -> None:
        nonlocal questions
        questions += any(one.command == wire.ASK_WINDOW for one in wire.parse_segments(datagram))
        send(to, datagram)

    ends.network._send = watched
    heard = 0
    while heard < 9_000_000:
        heard += sum(map(len, ends.acceptor.read()))
        ends.network.run(lambda: False, at_most=0.02)
    assert questions == 0


def test_a_window_whose_opening_was_not_heard_is_asked_for():
    machine = established("connector")
    machine.receive(segments((wire.TELL_WINDOW, 0, b""), window=0), 1000.0)
    machine.send(b"x")
    assert machine.poll(1000.0) == []
    asked = []
    while len(asked) < 6:
        asked += [machine.deadline - 1000.0] * len(machine.poll(machine.deadline))
    assert asked == pytest.approx([0.5, 1.5, 3.5, 7.5, 10.0, 15.5])  # at 10 s a PING
    machine.receive(segments((wire.TELL_WINDOW, 0, b""), window=1), 1016.0)
    (datagram,) = machine.poll(1016.0)
    assert wire.parse_segments(datagram)[0].data == b"x"


# The end


def test_an_end_on_both_sides():
    ends = Ends(Weather(loss=0.2)).meet()
    ends.connector.send(b"all I have")
    ends.connector.close()
    ends.connector.send(b"too late")
    assert ends.network.run(lambda: ends.acceptor.ended)
    assert b"".join(ends.acceptor.read()) == b"all I have"
    ends.acceptor.close()
    assert ends.network.run(lambda: ends.connector.closed and ends.acceptor.closed)
    assert ends.connector.lost is None
    assert ends.connector.abort() == []


def test_the_end_waits_for_everything_to_be_acknowledged():
    machine = established("connector")
    machine.send(b"last words")
    machine.close()
    (datagram,) = machine.poll(1000.0)
    assert wire.parse_segments(datagram)[0].data == b"last words"
    machine.receive(segments((wire.ACKNOWLEDGE, 0, b""), expected=1), 1000.01)
    assert machine.poll(1000.01) == [NAME + b"\x04\x00"]
    sent = []
    while machine.deadline < 1009.0:
        sent += machine.poll(machine.deadline)
    assert sent == [NAME + b"\x04\x00"] * 4
    assert machine.closed
    assert machine.abort() == []


def test_a_reset_breaks_the_connection_and_what_had_come_stays():
    machine = established("acceptor")
    machine.receive(segments((wire.PUSH, 0, b"first")), 1001.0)
    machine.receive(NAME + b"\x10\x00", 1001.0)
    assert machine.lost == "reset by the other end"
    assert machine.read() == [b"first"]
    assert machine.poll(1100.0) == []
    assert machine.deadline == float("inf")


def test_resets_of_other_connections_are_nothing_to_this_one():
    machine = established("acceptor")
    for conversation in range(1000):
        machine.receive(wire.encode_header(wire.encode_name(conversation), wire.RST), 1000.0)
        machine.receive(
            wire.encode_header(wire.encode_name(CONVERSATION, conversation + 1), wire.RST), 1000.0
        )
    assert machine.poll(1000.0) == []
    assert machine.lost is None


def test_an_abort_tells_the_other_end():
    machine = established("acceptor")
    assert machine.abort() == [NAME + b"\x10\x00"]
    assert machine.abort() == []


@pytest.mark.parametrize("established_first", [True, False])
def test_one_that_was_lost_says_nothing_more(established_first):
    machine = established("connector") if established_first else KcpConnection.connecting(CONVERSATION, 0.0)
    if established_first:
        machine.receive(NAME + b"\x20\x00", 1000.0)
    machine.close()
    machine.abort()
    assert machine.poll(1001.0) == []


def test_silence_is_the_end_and_any_answer_is_none():
    machine = established("connector")
    machine.receive(segments((wire.PUSH, 0, b"a")), 1000.0)
    now, pings = 1000.0, 0
    while now < 1000.0 + 4 * SILENCE:
        now = machine.deadline
        pings += machine.poll(now).count(NAME + b"\x20\x00")
        machine.receive(NAME + b"\x60\x00", now + 0.1)
    assert pings == 4 * SILENCE / PING_INTERVAL
    while not machine.closed:
        now = machine.deadline
        machine.poll(now)
    assert machine.lost == "nothing was heard for 60 s"
    assert now == pytest.approx(1240.1 + SILENCE)


def test_a_ping_is_answered_with_what_it_brought():
    machine = established("acceptor")
    machine.receive(NAME + b"\x20\x00extra", 1000.0)
    assert machine.poll(1000.0) == [NAME + b"\x60\x00extra"]


# Hostile ones

IMPOSSIBLE = {
    "acknowledges what was never sent": segments((wire.ACKNOWLEDGE, 0, b"")),
    "expects what was never sent": segments((wire.TELL_WINDOW, 0, b""), expected=1),
    "expects half the numbers at once": segments((wire.TELL_WINDOW, 0, b""), expected=2**31 - 1),
    "beyond the window": segments((wire.PUSH, 1024, b"x")),
    "far beyond the window": segments((wire.PUSH, 2**31 - 1, b"x")),
    "another conversation inside": segments((wire.PUSH, 0, b"x"))[:14]
    + segments((wire.PUSH, 0, b"x"), name=bytes(12))[14:],
    "another name": segments((wire.PUSH, 0, b"x"), name=wire.encode_name(CONVERSATION, 1)),
    "an unknown command": segments((85, 0, b"")),
    "command zero": segments((0, 0, b"")),
    "data in an acknowledgement": segments((wire.ACKNOWLEDGE, 0, b"x")),
    "a length beyond the datagram": segments((wire.PUSH, 0, b"xy"))[:-1],
    "half a segment header": segments((wire.PUSH, 0, b"x"), (wire.PUSH, 1, b""))[:-1],
    "too long": segments((wire.PUSH, 0, bytes(1463))),
    "too short": NAME + b"\x0a",
    "nothing": b"",
}


@pytest.mark.parametrize("datagram", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_what_is_impossible_is_dropped_and_the_connection_goes_on(datagram):
    machine = established("acceptor")
    machine.receive(datagram, 1000.0)
    assert machine.read() == []
    assert machine.poll(1000.0) == []
    machine.receive(segments((wire.PUSH, 0, b"still here")), 1000.1)
    assert machine.read() == [b"still here"]


def test_early_segments_never_exceed_the_window():
    machine = established("acceptor")
    for number in range(1, 5000):
        machine.receive(segments((wire.PUSH, number, bytes(100))), 1000.0)
    for datagram in machine.poll(1000.0):
        for segment in wire.parse_segments(datagram):
            assert segment.number < 1024
    machine.receive(segments((wire.PUSH, 0, b"")), 1000.0)
    read = 0
    while chunks := machine.read():
        read += len(chunks)
    assert read == 1023


def test_segments_without_data_are_taken_and_give_nothing():
    machine = established("acceptor")
    for number in range(5000):
        machine.receive(segments((wire.PUSH, number, b"")), 1000.0)
        machine.poll(1000.0)
    assert machine.read() == []


def test_a_doubled_segment_is_acknowledged_again_and_delivered_once():
    machine = established("acceptor")
    for _ in range(3):
        machine.receive(segments((wire.PUSH, 0, b"once")), 1000.0)
        (datagram,) = machine.poll(1000.0)
        (segment,) = wire.parse_segments(datagram)
        assert (segment.command, segment.number, segment.expected) == (wire.ACKNOWLEDGE, 0, 1)
    assert machine.read() == [b"once"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=80),
            st.builds(
                lambda flags, rest: NAME + bytes((flags, 0)) + rest,
                st.integers(0, 255),
                st.binary(max_size=60),
            ),
            st.builds(
                lambda command, number, window, expected, data: segments(
                    (command, number, data), window=window, expected=expected
                ),
                st.integers(80, 85),
                st.integers(0, 2**32 - 1) | st.integers(0, 5),
                st.integers(0, 65535),
                st.integers(0, 2**32 - 1) | st.integers(0, 5),
                st.binary(max_size=20),
            ),
        ),
        max_size=30,
    ),
    st.sampled_from(["connecting", "listening", "connector", "acceptor"]),
)
def test_no_datagram_makes_it_fail_or_run_away(datagrams, state):
    if state == "connecting":
        machine = KcpConnection.connecting(CONVERSATION, 1000.0)
    elif state == "listening":
        machine = KcpConnection.accepting(1000.0)
    else:
        machine = established(state)
        machine.send(bytes(3000))
    now = 1000.0
    for datagram in datagrams:
        machine.receive(datagram, now)
        now += 0.01
        sent = machine.poll(now)
        assert sum(map(len, sent)) <= 5000 + len(datagram)
        machine.read()
        assert machine.deadline > now
