"""The way over a relay: asking for it, and joining one."""

from __future__ import annotations

import pytest
from playbook import Deadline, Playbook, wire

from rdpeer.errors import (
    PeerRefused,
    PeerSilent,
    PeerUnknown,
    RdpeerError,
    RemoteProtocolError,
    ServerRefused,
    ServerUnreachable,
)
from rdpeer.protocol.conversation import (
    CloseStream,
    Done,
    Fail,
    FrameReceived,
    OpenStream,
    SendFrame,
    Started,
    StreamClosed,
    StreamFailed,
    StreamOpened,
)
from rdpeer.protocol.question import RendezvousServer
from rdpeer.protocol.relay_leg import Joined, JoinRelay, RelayRequest
from rdpeer.values import Endpoint, PeerId, ServerAddress, ServerKey
from rdpeer.wire import rendezvous_pb2 as pb

ADDRESS = ServerAddress("203.0.113.5")
SERVER = RendezvousServer(ADDRESS, ServerKey("KEY"))
PEER = PeerId("612345678")
RELAY = ServerAddress("r.example", 21117)
TOKEN = "01234567-89ab-4def-8123-456789abcdef"
LOCAL = Endpoint("192.168.1.7", 50000)
REMOTE = Endpoint("203.0.113.5", 21116)

MEET_ME = SendFrame(
    "server",
    wire(
        request_relay=pb.RequestRelay(
            id="612345678",
            uuid=TOKEN,
            relay_server="r.example:21117",
            secure=True,
            licence_key="KEY",
            conn_type=pb.PORT_FORWARD,
        )
    ),
)
I_AM_A = SendFrame(
    "relay",
    wire(
        request_relay=pb.RequestRelay(
            id="612345678", uuid=TOKEN, licence_key="KEY", conn_type=pb.PORT_FORWARD
        )
    ),
)
I_AM_B = SendFrame("relay", wire(request_relay=pb.RequestRelay(uuid=TOKEN, licence_key="KEY")))


def asked() -> Playbook:
    return (
        Playbook(RelayRequest(PEER, SERVER, RELAY, TOKEN))
        >> Started()
        << OpenStream("server", ADDRESS)
        >> StreamOpened("server", LOCAL, REMOTE)
        << MEET_ME
    )


def relayed(**fields: str) -> FrameReceived:
    return FrameReceived("server", wire(relay_response=pb.RelayResponse(**fields)))  # type: ignore[arg-type]


def agreed() -> Playbook:
    return asked() >> relayed(version="1.4.9") << CloseStream("server") << OpenStream("relay", RELAY)


def test_the_initiator_asks_and_goes_there() -> None:
    assert (
        agreed() >> StreamOpened("relay", LOCAL, REMOTE) << I_AM_A << Done(Joined(RELAY, TOKEN), ("relay",))
    )


def test_the_initiator_joins_where_the_responder_waits() -> None:
    assert (
        Playbook(JoinRelay(SERVER, RELAY, TOKEN, PEER))
        >> Started()
        << OpenStream("relay", RELAY)
        >> StreamOpened("relay", LOCAL, REMOTE)
        << I_AM_A
        << Done(Joined(RELAY, TOKEN), ("relay",))
    )


def test_the_responder_names_no_id() -> None:
    assert (
        Playbook(JoinRelay(SERVER, RELAY, TOKEN))
        >> Started()
        << OpenStream("relay", RELAY)
        >> StreamOpened("relay", LOCAL, REMOTE)
        << I_AM_B
        << Done(Joined(RELAY, TOKEN), ("relay",))
    )


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (relayed(refuse_reason="not now"), PeerRefused("612345678 refused: not now")),
        (
            FrameReceived("server", wire(punch_hole_response=pb.PunchHoleResponse())),
            PeerUnknown("203.0.113.5:21116 knows no peer 612345678"),
        ),
        (
            FrameReceived("server", wire(register_peer=pb.RegisterPeer())),
            RemoteProtocolError("203.0.113.5:21116 answered with register_peer"),
        ),
        (
            StreamClosed("server"),
            ServerRefused("203.0.113.5:21116 closed the connection without an answer"),
        ),
    ],
)
def test_what_may_be_answered_instead(answer: FrameReceived | StreamClosed, error: RdpeerError) -> None:
    assert asked() >> answer << Fail(error)


def test_a_silent_peer() -> None:
    error = PeerSilent("612345678 did not answer the request for a relay for 18 s (203.0.113.5:21116)")
    assert asked() >> Deadline(3.0) << MEET_ME >> Deadline(6.0) << MEET_ME >> Deadline(9.0) << Fail(error)


def test_a_relay_that_refuses_connections() -> None:
    error = ServerUnreachable(
        "cannot reach the relay r.example:21117: 198.51.100.1:21117: Connection refused"
    )
    assert agreed() >> StreamFailed("relay", "198.51.100.1:21117: Connection refused") << Fail(error)


def test_a_relay_that_does_not_answer() -> None:
    error = ServerUnreachable("no answer from the relay r.example:21117 for 15 s")
    assert agreed() >> Deadline(15.0) << Fail(error)
