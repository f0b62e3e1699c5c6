"""What a responder does about a wish to be met by UDP or IPv6."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.errors import RemoteProtocolError
from rdpeer.protocol.answer import Responder
from rdpeer.protocol.nat import Mapping
from rdpeer.protocol.notifications import (
    FetchLocalAddr,
    Notification,
    RequestRelay,
    read_notification,
)
from rdpeer.protocol.question import RendezvousServer
from rdpeer.protocol.relays import Relays
from rdpeer.protocol.tokens import UsedTokens
from rdpeer.protocol.udp_answer import udp_answer, v6_target
from rdpeer.values import Endpoint, PeerId, ServerAddress
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.endpoints import mangle

SERVER_IP = "203.0.113.5"
INITIATOR = Endpoint("198.51.100.1", 40000)
MARK = mangle(INITIATOR, 0x1234)
V6 = Endpoint("2001:db8::7", 50123)
OURS_V6 = Endpoint("2001:db8::9", 50124)


def responder(server_ip: str | None = SERVER_IP, *, relay_only: bool = False) -> Responder:
    server = RendezvousServer(ServerAddress("rs.example"))
    made = Responder(PeerId("612345678"), server, Relays(server.address), UsedTokens(), relay_only=relay_only)
    made.relays.server_ip = server_ip
    return made


def punch(mark: bytes = MARK, relay_server: str = "", **fields: object) -> Notification:
    fields = {"udp_port": 40404, **fields}
    message = pb.PunchHole(socket_addr=mark, relay_server=relay_server, **fields)  # type: ignore[arg-type]
    notification = read_notification(pb.RendezvousMessage(punch_hole=message))
    assert notification
    return notification


def test_it_is_answered_by_udp_as_stock_does() -> None:
    us = responder()
    answer = udp_answer(us, punch(relay_server="r.example"), OURS_V6, 0.0)
    assert answer
    assert answer.server == Endpoint(SERVER_IP, 21116)
    assert answer.target == Endpoint(INITIATOR.ip, 40404)
    sent = pb.RendezvousMessage.FromString(answer.payload).punch_hole_sent
    assert sent == pb.PunchHoleSent(
        socket_addr=MARK,
        id="612345678",
        relay_server="r.example:21117",
        version="1.4.9",
        socket_addr_v6=mangle(OURS_V6, 0),
    )
    assert us.relays.allows(ServerAddress("r.example", 21117), 1.0)


@pytest.mark.parametrize(
    "asked",
    [
        punch(udp_port=0),
        punch(udp_port=65536),
        punch(udp_port=-1),
        punch(force_relay=True),
        punch(nat_type=pb.SYMMETRIC),
        punch(mangle(V6, 0)),
        punch(b""),
        punch(mangle(Endpoint("127.0.0.1", 22), 0)),
        punch(mangle(Endpoint("224.0.0.1", 22), 0)),
        punch(mangle(Endpoint("255.255.255.255", 22), 0)),
        FetchLocalAddr(MARK, ""),
        RequestRelay(MARK, "", "token"),
    ],
    ids=lambda asked: f"{type(asked).__name__} {asked.endpoint} {getattr(asked, 'udp_port', '')}",
)
def test_what_is_not_answered_by_udp(asked: Notification) -> None:
    assert udp_answer(responder(), asked, None, 0.0) is None


def test_who_does_not_answer_by_udp() -> None:
    symmetric = responder()
    symmetric.mapping = Mapping.SYMMETRIC
    for us in (symmetric, responder(None), responder("2001:db8::5"), responder(relay_only=True)):
        assert udp_answer(us, punch(), None, 0.0) is None


def test_an_initiator_may_be_met_by_v6() -> None:
    for asked in (punch(socket_addr_v6=mangle(V6, 0)), FetchLocalAddr(MARK, "", mangle(V6, 0))):
        assert v6_target(responder(), asked) == V6
        assert v6_target(responder(relay_only=True), asked) is None
    assert v6_target(responder("127.0.0.1"), FetchLocalAddr(MARK, "", mangle(Endpoint("::1", 5), 0)))


@pytest.mark.parametrize(
    "v6",
    [
        b"",
        b"short",
        bytes(19),
        mangle(INITIATOR, 1),
        mangle(Endpoint("2001:db8::7", 0), 0),
        *[mangle(Endpoint(ip, 5), 0) for ip in ("::1", "::", "fe80::1", "fd00::1", "ff02::1")],
        bytes(10) + b"\xff\xff" + bytes([192, 0, 2, 1, 5, 0]),
    ],
)
def test_no_address_where_a_peer_cannot_be(v6: bytes) -> None:
    assert v6_target(responder(), punch(socket_addr_v6=v6)) is None
    assert v6_target(responder(), FetchLocalAddr(MARK, "", v6)) is None


def test_no_v6_where_only_a_relay_is_wanted() -> None:
    assert v6_target(responder(), punch(force_relay=True, socket_addr_v6=mangle(V6, 0))) is None
    assert v6_target(responder(), RequestRelay(MARK, "", "token")) is None


@given(st.binary(max_size=40), st.binary(max_size=40), st.integers(-(2**31), 2**31 - 1), st.text(max_size=20))
def test_any_notification_is_answered_or_not(mark: bytes, v6: bytes, port: int, relay: str) -> None:
    try:
        asked = punch(mark, relay, udp_port=port, socket_addr_v6=v6)
    except RemoteProtocolError:
        return
    answer, target = udp_answer(responder(), asked, None, 0.0), v6_target(responder(), asked)
    assert answer is None or (0 < answer.target.port < 65536 and not answer.target.is_v6)
    assert target is None or target.is_v6
