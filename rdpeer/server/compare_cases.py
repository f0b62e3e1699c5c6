"""What two servers are asked to be compared: every request of docs/PROTOCOL.md 2.2, 2.3, 9.1, 9.5 and 9.6,
in and out of order. A case's name and first line stand in docs/DIFFERENCES.md where the servers differ."""

from __future__ import annotations

import asyncio

from rdpeer.net.askers import TcpAsker
from rdpeer.server.compare import Case, Side
from rdpeer.values import Endpoint
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.endpoints import mangle

QUERY, RELAY = -1, 1

_APART = 0.1

Message = wire.RendezvousMessage

HOME = Endpoint("192.168.77.7", 7777)


# registration by UDP (9.1, 9.2)


async def first_registration(side: Side) -> None:
    """A peer that is not known registers, and stays online."""
    peer = await side.udp("B", responder=False)
    for request in (side.register_peer(), side.register_pk(), side.register_peer(serial=3)):
        side.say(peer, request)
        await side.hears(peer)


async def registration_again(side: Side) -> None:
    """The same registration twice, then from another port, then with another uuid, then with another key."""
    peer, moved = await side.udp("B", responder=False), await side.udp("B elsewhere", responder=False)
    side.say(peer, side.register_pk())
    await side.hears(peer)
    for request in (side.register_pk(), side.register_peer(), side.register_pk(uuid=b"another")):
        side.say(moved, request)
        await side.hears(moved)


async def registration_with_a_new_key(side: Side) -> None:
    """The owner of an ID takes another key."""
    peer = await side.udp("B", responder=False)
    for request in (side.register_pk(), side.register_pk(pk=bytes(32)), side.register_peer()):
        side.say(peer, request)
        await side.hears(peer)


async def registration_too_often(side: Side) -> None:
    """The same ID four times without a pause."""
    peer = await side.udp("B", responder=False)
    for _ in range(4):
        side.say(peer, side.register_pk())
        await side.hears(peer)


async def registration_without_uuid_or_key(side: Side) -> None:
    """A registration that lacks its uuid or its key."""
    peer = await side.udp("B", responder=False)
    for request in (side.register_pk(uuid=b""), side.register_pk(pk=b""), side.register_pk(id="")):
        side.say(peer, request)
        await side.hears(peer)


async def registration_of_a_short_id(side: Side) -> None:
    """An ID of three characters."""
    peer = await side.udp("B", responder=False)
    side.say(peer, side.register_pk(id="abc"))
    await side.hears(peer)


async def registration_of_a_bad_id(side: Side) -> None:
    """An ID of 101 characters, and one with a control character."""
    peer = await side.udp("B", responder=False)
    for peer_id in (side.peer + "x" * 92, side.peer + "\a"):
        side.say(peer, side.register_pk(id=peer_id), "RegisterPk with a bad ID")
        await side.hears(peer)


async def registration_of_a_bad_key(side: Side) -> None:
    """A key of 31 bytes."""
    peer = await side.udp("B", responder=False)
    side.say(peer, side.register_pk(pk=bytes(31)))
    await side.hears(peer)


# other messages by UDP (2.2)


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


# queries (9.6)


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


# other messages by TCP (2.2)


async def registration_by_tcp(side: Side) -> None:
    """RegisterPk on the rendezvous port."""
    asker = await side.tcp("B")
    side.say(asker, side.register_pk())
    await side.hears(asker)
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


# connecting (2.3)


async def connecting_without_the_key(side: Side) -> None:
    """PunchHoleRequest with another key."""
    asker = await side.tcp("A")
    side.say(asker, side.punch(licence_key="another"))
    await side.hears(asker)


async def connecting_to_nobody(side: Side) -> None:
    """PunchHoleRequest for an ID that is not known."""
    asker = await side.tcp("A")
    side.say(asker, side.punch(id="nobody-there"))
    await side.hears(asker)


async def asking_again_after_a_failure(side: Side) -> None:
    """A second PunchHoleRequest on the connection where the first one failed."""
    asker = await side.tcp("A")
    for _ in range(2):
        side.say(asker, side.punch(id="nobody-there"))
        await side.hears(asker)


async def connecting(side: Side) -> None:
    """A punches, B answers that it listens, or, at one address, where it is at home."""
    peer, asker, answering = (
        await side.registered(),
        await side.tcp("A"),
        await side.tcp("B's", responder=True),
    )
    side.say(asker, side.punch(nat_type=wire.ASYMMETRIC))
    told = await side.hears(peer)
    if told is None:
        return
    if told.HasField("punch_hole"):
        sent = wire.PunchHoleSent(id=side.peer, socket_addr=told.punch_hole.socket_addr, version="1")
        side.say(answering, Message(punch_hole_sent=sent))
    else:
        mark, home = told.fetch_local_addr.socket_addr, mangle(HOME, 5)
        answer = wire.LocalAddr(id=side.peer, socket_addr=mark, local_addr=home, version="1")
        side.say(answering, Message(local_addr=answer))
    await side.hears(asker)
    await side.hears(answering)


async def connecting_to_a_peer_without_version(side: Side) -> None:
    """B's answer does not say of which version it is."""
    peer, asker, answering = (
        await side.registered(),
        await side.tcp("A"),
        await side.tcp("B's", responder=True),
    )
    side.say(asker, side.punch())
    told = await side.hears(peer)
    if told is None:
        return
    mark = told.punch_hole.socket_addr or told.fetch_local_addr.socket_addr
    side.say(answering, Message(relay_response=wire.RelayResponse(id=side.peer, socket_addr=mark, uuid="t")))
    await side.hears(asker)


async def what_is_passed_on(side: Side) -> None:
    """A PunchHoleRequest with every field, of a symmetric NAT."""
    peer, asker = await side.registered(), await side.tcp("A")
    fields = {"nat_type": wire.SYMMETRIC, "udp_port": 7, "upnp_port": 8, "force_relay": True}
    v6 = mangle(Endpoint("2001:db8::8", 9), 0)
    side.say(asker, side.punch(version="1", switch_code="s", socket_addr_v6=v6, **fields))
    await side.hears(peer)


async def answering_for_another(side: Side) -> None:
    """B's PunchHoleSent has another ID than the one that was asked for."""
    peer, asker, answering = (
        await side.registered(),
        await side.tcp("A"),
        await side.tcp("B's", responder=True),
    )
    side.say(asker, side.punch())
    told = await side.hears(peer)
    if told is None:
        return
    mark = told.punch_hole.socket_addr or told.fetch_local_addr.socket_addr
    sent = wire.PunchHoleSent(id="nobody-there", socket_addr=mark, version="1")
    side.say(answering, Message(punch_hole_sent=sent))
    await side.hears(asker)


async def answering_twice(side: Side) -> None:
    """B answers the same question once more."""
    peer, asker = await side.registered(), await side.tcp("A")
    side.say(asker, side.punch())
    told = await side.hears(peer)
    if told is None:
        return
    mark = told.punch_hole.socket_addr or told.fetch_local_addr.socket_addr
    for _ in range(2):
        answering = await side.tcp("B's", responder=True)
        answer = wire.RelayResponse(id=side.peer, socket_addr=mark, uuid="t", version="1")
        side.say(answering, Message(relay_response=answer))
        await side.hears(asker)


async def asking_twice(side: Side) -> None:
    """A repeats its PunchHoleRequest before there is an answer."""
    peer, asker = await side.registered(), await side.tcp("A")
    for _ in range(2):
        side.say(asker, side.punch())
        await side.hears(peer)


async def requesting_a_relay(side: Side) -> None:
    """A asks B to a relay, and B is on its way."""
    peer, asker, answering = (
        await side.registered(),
        await side.tcp("A"),
        await side.tcp("B's", responder=True),
    )
    side.say(asker, side.relay(secure=True, relay_server="relay.example"))
    told = await side.hears(peer)
    if told is None:
        return
    answer = wire.RelayResponse(socket_addr=told.request_relay.socket_addr, version="1")
    side.say(answering, Message(relay_response=answer))
    await side.hears(asker)


async def requesting_a_relay_without_the_key(side: Side) -> None:
    """A asks B to a relay with no key, and before any other request."""
    peer, asker = await side.registered(), await side.tcp("A")
    side.say(asker, side.relay(licence_key=""))
    await side.hears(peer)


async def requesting_a_relay_of_nobody(side: Side) -> None:
    """A asks an ID that is not known to a relay."""
    asker = await side.tcp("A")
    side.say(asker, side.relay(id="nobody-there"))
    await side.hears(asker)


# the relay (9.5)


async def _arrive(side: Side, leg: TcpAsker, request: Message) -> None:
    """One leg, some time before the next: hbbr misses two that come at the same instant (13)."""
    side.say(leg, request)
    await asyncio.sleep(_APART)


async def relayed_pair(side: Side) -> None:
    """Two legs with one token, and what they say before they are joined and after."""
    one, two = await side.tcp("one leg", RELAY), await side.tcp("the other leg", RELAY)
    for leg in (one, two):
        await _arrive(side, leg, side.relay())
        leg.send_raw(b"early ")
    await side.hears_raw(one, 6)
    await side.hears_raw(two, 6)
    one.send_raw(b"late")
    await side.hears_raw(two, 4)


async def relay_without_the_key(side: Side) -> None:
    """Two legs with no key."""
    one, two = await side.tcp("one leg", RELAY), await side.tcp("the other leg", RELAY)
    for leg in (one, two):
        await _arrive(side, leg, side.relay(licence_key=""))
    one.send_raw(b"hello")
    await side.hears_raw(two, 5)


async def relay_without_a_token(side: Side) -> None:
    """A leg with an empty token."""
    leg = await side.tcp("a leg", RELAY)
    side.say(leg, side.relay(uuid=""))
    await side.hears_raw(leg, 1)


async def relay_of_another_message(side: Side) -> None:
    """A leg whose first frame is something else."""
    leg = await side.tcp("a leg", RELAY)
    side.say(leg, side.punch())
    await side.hears_raw(leg, 1)


async def third_leg(side: Side) -> None:
    """A leg with the token of a pair that was joined before."""
    one, two = await side.tcp("one leg", RELAY), await side.tcp("the other leg", RELAY)
    for leg in (one, two):
        await _arrive(side, leg, side.relay())
    one.send_raw(b"joined")
    await side.hears_raw(two, 6)
    third = await side.tcp("a third leg", RELAY)
    side.say(third, side.relay())
    await side.hears_raw(third, 1)


async def half_close(side: Side) -> None:
    """One leg ends its direction; the other one goes on."""
    one, two = await side.tcp("one leg", RELAY), await side.tcp("the other leg", RELAY)
    for leg in (one, two):
        await _arrive(side, leg, side.relay())
    one.send_raw(b"question")
    one.end()
    await side.hears_raw(two, 8)
    await side.hears_raw(two, 1)
    two.send_raw(b"answer")
    await side.hears_raw(one, 6)


CASES: tuple[Case, ...] = (
    first_registration,
    registration_again,
    registration_with_a_new_key,
    registration_too_often,
    registration_without_uuid_or_key,
    registration_of_a_short_id,
    registration_of_a_bad_id,
    registration_of_a_bad_key,
    requests_by_udp,
    nat_test_by_udp,
    messages_of_servers_by_udp,
    junk_by_udp,
    nat_test,
    online_query,
    online_query_on_the_other_port,
    registration_by_tcp,
    other_messages_by_tcp,
    answers_without_a_question,
    junk_by_tcp,
    connecting_without_the_key,
    connecting_to_nobody,
    asking_again_after_a_failure,
    connecting,
    connecting_to_a_peer_without_version,
    what_is_passed_on,
    answering_for_another,
    answering_twice,
    asking_twice,
    requesting_a_relay,
    requesting_a_relay_without_the_key,
    requesting_a_relay_of_nobody,
    relayed_pair,
    relay_without_the_key,
    relay_without_a_token,
    relay_of_another_message,
    third_leg,
    half_close,
)
