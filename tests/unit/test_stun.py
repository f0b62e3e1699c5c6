"""STUN: RFC 5769's vectors, lies, and a server that never sends more than it was sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.errors import RemoteProtocolError
from rdpeer.server.reflector import reflect
from rdpeer.values import Endpoint
from rdpeer.wire import stun

TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")

# RFC 5769, 2.2 and 2.3
ANSWER_V4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000080001a147e112a643000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96"
)
ANSWER_V6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004c8fb0b4c"
)
V4 = Endpoint("192.0.2.1", 32853)
V6 = Endpoint("2001:db8:1234:5678:11:2233:4455:6677", 32853)


@pytest.mark.parametrize(("answer", "endpoint"), [(ANSWER_V4, V4), (ANSWER_V6, V6)])
def test_the_vectors_of_the_standard(answer: bytes, endpoint: Endpoint) -> None:
    assert stun.parse_answer(answer, TRANSACTION) == endpoint


def test_a_request_is_as_long_as_the_longest_answer() -> None:
    request = stun.encode_request(TRANSACTION)
    assert request[:20] == bytes.fromhex("000100182112a442") + TRANSACTION
    assert stun.parse_request(request) == TRANSACTION
    assert len(request) == len(stun.encode_answer(TRANSACTION, V6)) == 44


@given(st.binary(min_size=12, max_size=12), st.ip_addresses(), st.integers(1, 65535))
def test_what_is_told_is_understood(transaction: bytes, ip: object, port: int) -> None:
    endpoint = Endpoint.of((str(ip).partition("%")[0], port))
    assert stun.parse_answer(stun.encode_answer(transaction, endpoint), transaction) == endpoint


@given(st.binary(max_size=100) | st.binary(max_size=60).map(lambda rest: ANSWER_V4[:20] + rest))
def test_any_bytes_are_an_endpoint_or_an_error(datagram: bytes) -> None:
    stun.parse_request(datagram)
    try:
        stun.parse_answer(datagram, TRANSACTION)
    except RemoteProtocolError:
        return
    assert datagram[8:20] == TRANSACTION


@given(st.integers(0, len(ANSWER_V6) - 1), st.integers(1, 255))
def test_a_changed_byte_is_another_endpoint_or_an_error(at: int, change: int) -> None:
    changed = bytearray(ANSWER_V6)
    changed[at] ^= change
    try:
        stun.parse_answer(bytes(changed), TRANSACTION)
    except RemoteProtocolError:
        return
    assert at >= 20


@pytest.mark.parametrize(
    "answer",
    [
        stun.encode_answer(bytes(12), V4),
        stun.encode_answer(TRANSACTION, V4)[:-1],
        stun.encode_answer(TRANSACTION, V4) + b"\0",
        stun.encode_answer(TRANSACTION, Endpoint("192.0.2.1", 0)),
        ANSWER_V4[:2] + bytes(2) + ANSWER_V4[4:20],
        stun.encode_request(TRANSACTION),
        b"",
    ],
    ids=["another transaction", "cut", "longer", "port 0", "no address", "a request", "nothing"],
)
def test_what_is_no_answer_to_us(answer: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        stun.parse_answer(answer, TRANSACTION)


def test_the_server_sends_no_more_than_it_was_sent() -> None:
    padded, bare = stun.encode_request(TRANSACTION), bytes.fromhex("000100002112a442") + TRANSACTION
    for source in ((V4.ip, V4.port), (V6.ip, V6.port, 0, 0)):
        answer = reflect(padded, source)
        assert answer is not None
        assert stun.parse_answer(answer, TRANSACTION) == Endpoint.of(source)
        assert reflect(bare, source) is None
    assert reflect(ANSWER_V4, ("192.0.2.1", 1)) is None


@given(st.binary(max_size=600), st.sampled_from([("192.0.2.1", 32853), ("2001:db8::1", 1, 0, 0)]))
def test_no_datagram_is_amplified(datagram: bytes, source: tuple[str, int]) -> None:
    assert len(reflect(datagram, source) or b"") <= len(datagram)
