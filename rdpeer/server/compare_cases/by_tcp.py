"""Queries and other messages by TCP (docs/PROTOCOL.md 2.2, 9.6)."""

from __future__ import annotations

from rdpeer.server.compare import Case, Side
from rdpeer.server.compare_cases.common import HOME, QUERY, RELAY, Message
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.endpoints import mangle


async def nat_test(side: Side) -> None:
    """TestNatRequest on both ports."""
    for port in (0, QUERY):
        asker = await side.tcp("A", port)
        side.say(asker, Message(test_nat_request=wire.TestNatRequest()))
        await side.hears(asker)
        await side.hears(asker)


async def online_query(side: Side) -> None:
    """Which of nine peers are online, on the port for it."""
    await side.registered()
    asker = await side.tcp("A", QUERY)
    peers = [*["nobody-there"] * 8, side.peer]
    side.say(asker, Message(online_request=wire.OnlineRequest(id="x", peers=peers)))
    await side.hears(asker)
    await side.hears(asker)


async def online_query_on_the_other_port(side: Side) -> None:
    """The same question on the rendezvous port."""
    asker = await side.tcp("A")
    side.say(asker, Message(online_request=wire.OnlineRequest(id="x", peers=["nobody-there"])))
    await side.hears(asker)


async def registration_by_tcp(side: Side) -> None:
    """RegisterPeer and RegisterPk on the rendezvous port."""
    for request in (side.register_peer(), side.register_pk()):
        asker = await side.tcp("B")
        side.say(asker, request)
        await side.hears(asker)
        await side.hears(asker)


async def saying_nothing(side: Side) -> None:
    """A connection to the rendezvous port that is silent."""
    asker = await side.tcp("A")
    await side.hears(asker)


async def key_exchange_by_tcp(side: Side) -> None:
    """The answer to a KeyExchange that there was not."""
    asker = await side.tcp("A")
    side.say(asker, Message(key_exchange=wire.KeyExchange(keys=[bytes(32), bytes(48)])))
    await side.hears(asker)


async def health_check_by_tcp(side: Side) -> None:
    """HealthCheck, as a desktop with an account sends it."""
    asker = await side.tcp("A")
    side.say(asker, Message(hc=wire.HealthCheck(token="t")))  # noqa: S106 - not a secret
    await side.hears(asker)


async def other_messages_by_tcp(side: Side) -> None:
    """What neither kind of server has an answer to."""
    for message in (
        Message(software_update=wire.SoftwareUpdate(url="x")),
        Message(peer_discovery=wire.PeerDiscovery(cmd="ping")),
        Message(http_proxy_request=wire.HttpProxyRequest(method="GET", path="/")),
        Message(),
    ):
        asker = await side.tcp("A")
        side.say(asker, message)
        await side.hears(asker)


async def answers_without_a_question(side: Side) -> None:
    """A peer's answers to what nobody asked."""
    where = mangle(HOME, 5)
    for message in (
        Message(punch_hole_sent=wire.PunchHoleSent(id=side.peer, socket_addr=where)),
        Message(local_addr=wire.LocalAddr(id=side.peer, socket_addr=where, local_addr=where)),
        Message(relay_response=wire.RelayResponse(id=side.peer, socket_addr=where, uuid="t")),
    ):
        asker = await side.tcp("B")
        side.say(asker, message)
        await side.hears(asker)


async def junk_by_tcp(side: Side) -> None:
    """Frames that are no messages, on each port."""
    for port in (0, QUERY, RELAY):
        asker = await side.tcp("A", port)
        side.say(asker, b"\xff\xff")
        await side.hears(asker)


CASES: tuple[Case, ...] = (
    nat_test,
    online_query,
    online_query_on_the_other_port,
    registration_by_tcp,
    saying_nothing,
    key_exchange_by_tcp,
    health_check_by_tcp,
    other_messages_by_tcp,
    answers_without_a_question,
    junk_by_tcp,
)
