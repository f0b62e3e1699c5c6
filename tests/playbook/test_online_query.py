"""Who is online: the bitmap and its failures."""

from __future__ import annotations

from playbook import Deadline, Playbook, wire

from rdpeer.errors import RemoteProtocolError, ServerUnreachable
from rdpeer.protocol.conversation import (
    Done,
    Fail,
    FrameReceived,
    OpenStream,
    SendFrame,
    Started,
    StreamClosed,
    StreamOpened,
)
from rdpeer.protocol.online import OnlineQuery
from rdpeer.values import Endpoint, PeerId, ServerAddress
from rdpeer.wire import rendezvous_pb2 as pb

LOCAL = Endpoint("192.168.1.7", 50000)
REMOTE = Endpoint("203.0.113.5", 21115)
NAMES = [f"60000000{n}" for n in range(9)]


def asked() -> Playbook:
    return (
        Playbook(OnlineQuery(ServerAddress("203.0.113.5"), [PeerId(name) for name in NAMES]))
        >> Started()
        << OpenStream("server", ServerAddress("203.0.113.5", 21115))
        >> StreamOpened("server", LOCAL, REMOTE)
        << SendFrame("server", wire(online_request=pb.OnlineRequest(peers=NAMES)))
    )


def states(bitmap: bytes) -> FrameReceived:
    return FrameReceived("server", wire(online_response=pb.OnlineResponse(states=bitmap)))


def test_peer_i_is_bit_7_less_i_of_its_byte() -> None:
    online = [True, False, True, False, False, False, False, True, True]
    assert asked() >> states(b"\xa1\x80") << Done(online)


def test_a_bitmap_that_is_too_short() -> None:
    error = "203.0.113.5:21115 answered for fewer than the 9 peers asked about"
    assert asked() >> states(b"\xff") << Fail(RemoteProtocolError(error))


def test_no_answer_for_3_s() -> None:
    error = ServerUnreachable("no answer from 203.0.113.5:21115 for 3 s")
    assert asked() >> Deadline(3.0) << Fail(error)


def test_stock_says_nothing_of_it_by_websocket() -> None:
    query = OnlineQuery(ServerAddress.parse("wss://rs.example"), [PeerId("612345678")])
    query.handle(Started(), 0.0)
    query.handle(StreamOpened("server", LOCAL, REMOTE), 0.0)
    (fail,) = query.handle(StreamClosed("server"), 0.0)
    assert isinstance(fail, Fail)
    assert fail.error.hint == "stock servers say it over TCP alone"
