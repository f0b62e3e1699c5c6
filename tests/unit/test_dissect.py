"""rdpeer.wire.dissect and captures: captured bytes, whole, cut, mixed and hostile."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.values import Endpoint
from rdpeer.wire import captures, kcp, stun
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire import session_pb2 as session
from rdpeer.wire.dissect import Dissector, Part, Schema, identify
from rdpeer.wire.frames import encode_frame

REGISTERED = bytes.fromhex("3a00")
OPENING = session.Message(public_key=session.PublicKey(asymmetric_value=bytes(32))).SerializeToString()


def dissected(*data: bytes, schemas: tuple[Schema, ...] = tuple(Schema)) -> list[Part]:
    dissector = Dissector(schemas)
    parts = [part for each in data for part in dissector.take("", each)]
    return parts + list(dissector.end())


def named(*data: bytes) -> list[tuple[str, str]]:
    return [(part.carrier, part.name) for part in dissected(*data)]


def test_a_message_stands_alone_or_in_frames() -> None:
    assert named(REGISTERED) == [("message", "RegisterPeerResponse")]
    assert named(encode_frame(REGISTERED) * 2) == [("frame", "RegisterPeerResponse")] * 2
    assert named(b"", b"\0") == [("message", "empty"), ("frame", "empty")]


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
def test_a_frame_goes_on_in_the_next_piece(piece: int) -> None:
    stream = encode_frame(OPENING) + encode_frame(REGISTERED)
    pieces = [stream[at : at + piece] for at in range(0, len(stream), piece)]
    assert named(*pieces) == [("frame", "PublicKey"), ("frame", "RegisterPeerResponse")]


def test_sources_do_not_mix() -> None:
    dissector, stream = Dissector(), encode_frame(OPENING)
    assert not list(dissector.take("one", stream[:20]))
    assert not list(dissector.take("two", stream[:30]))
    assert [part.source for part in dissector.take("one", stream[20:])] == ["one"]
    assert [part.name for part in dissector.take("two", stream[30:])] == ["PublicKey"]


def test_what_follows_the_opening_is_sealed() -> None:
    sealed = bytes(range(200, 250))
    assert named(encode_frame(sealed)) == [("frame", "unreadable")]
    assert named(encode_frame(OPENING) + encode_frame(sealed)) == [
        ("frame", "PublicKey"),
        ("frame", "sealed"),
    ]


def test_what_was_read_before_garbage_counts() -> None:
    garbage = b"\xff" * 9000
    assert named(encode_frame(REGISTERED) * 3 + garbage)[:3] == [("frame", "RegisterPeerResponse")] * 3
    part = dissected(encode_frame(REGISTERED) + garbage)[-1]
    assert (part.carrier, part.size) == ("rest", 9000)
    assert "1073741823" in str(part.problem)


def test_a_frame_that_is_cut_short_is_told() -> None:
    part = dissected(encode_frame(OPENING)[:-1])[-1]
    assert str(part) == f"rest, {len(OPENING)} bytes: no message, or a frame that is cut short"


def test_unfinished_sources_are_bounded() -> None:
    dissector = Dissector()
    told = [part for number in range(300) for part in dissector.take(str(number), b"\xf0")]
    assert [part.source for part in told] == [str(number) for number in range(300 - 256)]
    assert len(list(dissector.end())) == 256


def test_a_member_of_a_later_version_is_told_by_its_number() -> None:
    newer = bytes.fromhex("ea01020801")
    assert str(dissected(newer)[0]) == "message, 5 bytes: RendezvousMessage 29=<2 bytes>"
    assert str(dissected(encode_frame(newer))[0]) == "frame, 5 bytes: RendezvousMessage 29=<2 bytes>"


@pytest.mark.parametrize(
    ("message", "name"),
    [
        (session.Message(hash=session.Hash(salt="a" * 32, challenge="k3y9zz")), "Hash"),
        (pb.RendezvousMessage(punch_hole=pb.PunchHole(socket_addr=b"\1" * 11)), "PunchHole"),
        (session.Message(login_response=session.LoginResponse(error="Wrong Password")), "LoginResponse"),
        (pb.RendezvousMessage(punch_hole_request=pb.PunchHoleRequest(id="612345678")), "PunchHoleRequest"),
        (session.Message(misc=session.Misc(close_reason="kcp")), "Misc"),
        (pb.RendezvousMessage(relay_response=pb.RelayResponse(refuse_reason="no")), "RelayResponse"),
        (session.Message(test_delay=session.TestDelay()), "TestDelay"),
    ],
)
def test_numbers_that_two_schemas_share(message: pb.RendezvousMessage | session.Message, name: str) -> None:
    found = identify(message.SerializeToString())
    assert found is not None
    assert found.DESCRIPTOR.name == name


def test_a_datagram_of_the_reliable_stream() -> None:
    name = kcp.encode_name(0x1A2B3C4D)
    carried = b"".join(
        kcp.encode_segment(0x1A2B3C4D, command, 1024, 5, number, 7, len(data)) + data
        for command, number, data in ((kcp.ACKNOWLEDGE, 3, b""), (kcp.PUSH, 4, b"abc"))
    )
    datagrams = [
        kcp.encode_header(name, kcp.SYN),
        kcp.encode_header(name, kcp.PING | kcp.PONG),
        kcp.encode_header(name, kcp.ACK | kcp.DATA) + carried,
    ]
    acknowledged = "{command=ACK window=1024 number=3 expected=7}"
    pushed = "{command=PUSH window=1024 number=4 expected=7 bytes=3}"
    assert [str(part) for part in dissected(*datagrams)] == [
        "datagram, 14 bytes: KCP flags=SYN connection=1a2b3c4d",
        "datagram, 14 bytes: KCP flags=PING+PONG connection=1a2b3c4d",
        f"datagram, 65 bytes: KCP flags=ACK+DATA connection=1a2b3c4d segments=[{acknowledged} {pushed}]",
    ]
    for other in (
        kcp.encode_header(name, kcp.SYN | kcp.FIN),
        kcp.encode_header(name, kcp.SYN) + carried,
        kcp.encode_header(name, kcp.ACK | kcp.DATA) + carried[:-1],
        kcp.encode_header(name, kcp.SYN)[:-1] + b"\1",
        b"\x34" + bytes(11) + b"\1\0",  # a frame of 13 bytes
    ):
        assert all(part.name != "KCP" for part in dissected(other))


def test_stun() -> None:
    transaction = bytes(range(12))
    asked = stun.encode_request(transaction)
    answered = stun.encode_answer(transaction, Endpoint("203.0.113.5", 40000))
    answered_v6 = stun.encode_answer(transaction, Endpoint("2001:db8::1", 40000))
    assert [str(part) for part in dissected(asked, answered, answered_v6)] == [
        f"datagram, {len(asked)} bytes: STUN binding=request",
        "datagram, 32 bytes: STUN binding=answer endpoint=203.0.113.5:40000",
        "datagram, 44 bytes: STUN binding=answer endpoint=[2001:db8::1]:40000",
    ]
    assert dissected(answered[:-1])[0].name == "unreadable"


def test_the_schema_may_be_said() -> None:
    error = session.Message(login_response=session.LoginResponse(error="Offline")).SerializeToString()
    assert dissected(error, schemas=(Schema.SESSION,))[0].fields == {"error": "Offline"}
    assert dissected(error, schemas=(Schema.RENDEZVOUS,))[0].name == "PunchHoleRequest"


@given(st.lists(st.tuples(st.sampled_from("ab"), st.binary(max_size=80)), max_size=6))
def test_any_bytes_are_taken_apart(pieces: list[tuple[str, bytes]]) -> None:
    dissector = Dissector()
    parts = [part for source, data in pieces for part in dissector.take(source, data)]
    parts += list(dissector.end())
    assert sum(part.size for part in parts) <= sum(len(data) for _, data in pieces)
    for part in parts:
        assert str(part).isprintable()
        json.dumps(part.fields)


@pytest.mark.parametrize(
    "text",
    ["3a021001", "3A 02 10 01", "3a:02:10:01", "0x3a021001", " 3a021001\n", "OgIQAQ=="],
)
def test_ways_to_write_bytes(text: str) -> None:
    assert captures.unwritten(text) == bytes.fromhex("3a021001")


@pytest.mark.parametrize("text", ["xyz!", "3a0", "\N{SNOWMAN}", "0x", "3a::02"])
def test_what_is_no_way_to_write_bytes(text: str) -> None:
    with pytest.raises(ValueError, match="neither hex nor base64"):
        captures.unwritten(text)


def test_empty_lines_and_comments_are_passed_over() -> None:
    assert not list(captures.pieces("\n# a comment\n \t\n"))


def test_lines_of_tshark() -> None:
    """Fields tcp.stream, ip.src, ip.dst, udp.payload, tcp.payload; the third packet is a SYN."""
    text = "\t10.0.0.1\t10.0.0.2\t3a00\t\n0\t10.0.0.2\t10.0.0.1\t\t08:3a:00\n0\t10.0.0.1\t10.0.0.2\t\t\n"
    assert list(captures.pieces(text)) == [
        ("10.0.0.1 10.0.0.2", b"\x3a\0"),
        ("0 10.0.0.2 10.0.0.1", b"\x08\x3a\0"),
    ]


def test_a_bad_line_is_named() -> None:
    with pytest.raises(ValueError, match=r"line 2 is neither hex nor base64: 'what\?'"):
        list(captures.pieces("3a00\nwhat?\n"))


@given(st.binary(min_size=1, max_size=60))
def test_what_was_written_is_read(data: bytes) -> None:
    assert captures.unwritten(data.hex()) == data
    encoded = base64.b64encode(data).decode()
    assert captures.unwritten(encoded) == data or set(encoded) <= set("0123456789abcdefABCDEF")


@given(st.lists(st.text(max_size=30) | st.sampled_from(["3a00", "\t", "\n", ",", "08:3a:00"])).map("".join))
def test_any_text_gives_pieces_or_one_line(text: str) -> None:
    problem = ""
    try:
        list(captures.pieces(text))
    except ValueError as error:
        problem = str(error)
    assert not problem or problem.isprintable()
