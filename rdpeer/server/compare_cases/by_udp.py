"""Other messages by UDP (docs/PROTOCOL.md 2.2)."""

from __future__ import annotations

from rdpeer.server.compare import Case, Side
from rdpeer.server.compare_cases.common import Message
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire import stun


async def requests_by_udp(side: Side) -> None:
    """What is asked by TCP, asked by UDP."""
    asker = await side.udp("A")
    for request in (
        side.punch(id="nobody-there"),
        side.relay(id="nobody-there"),
        Message(online_request=wire.OnlineRequest(id="x", peers=["nobody-there"])),
        Message(punch_hole_sent=wire.PunchHoleSent(id="nobody-there")),
        Message(local_addr=wire.LocalAddr(id="nobody-there")),
        Message(relay_response=wire.RelayResponse(id="nobody-there")),
    ):
        side.say(asker, request)
    await side.hears(asker)


async def nat_test_by_udp(side: Side) -> None:
    """TestNatRequest by UDP."""
    asker = await side.udp("A")
    side.say(asker, Message(test_nat_request=wire.TestNatRequest()))
    await side.hears(asker)


async def stun_by_udp(side: Side) -> None:
    """STUN's binding request."""
    asker = await side.udp("A")
    side.say(asker, stun.encode_request(bytes(stun.TRANSACTION_SIZE)), "a binding request")
    await side.hears(asker)


async def messages_of_servers_by_udp(side: Side) -> None:
    """What only a server says, or nobody to a server."""
    asker = await side.udp("A")
    for message in (
        Message(software_update=wire.SoftwareUpdate(url="x")),
        Message(peer_discovery=wire.PeerDiscovery(cmd="ping")),
        Message(punch_hole=wire.PunchHole()),
        Message(key_exchange=wire.KeyExchange()),
        Message(hc=wire.HealthCheck(token="t")),  # noqa: S106 - not a secret
    ):
        side.say(asker, message)
    await side.hears(asker)


async def junk_by_udp(side: Side) -> None:
    """Datagrams that are no messages."""
    asker = await side.udp("A")
    for junk in (b"", b"\x32", b"\xff" * 600):
        side.say(asker, junk, f"{len(junk)} bytes of junk")
    await side.hears(asker)


CASES: tuple[Case, ...] = (
    requests_by_udp,
    nat_test_by_udp,
    stun_by_udp,
    messages_of_servers_by_udp,
    junk_by_udp,
)
