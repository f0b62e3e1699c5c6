"""What two servers are asked to be compared: every request of docs/PROTOCOL.md 2.2, 2.3, 9.1, 9.5 and 9.6,
in and out of order. A case's name and first line stand in docs/DIFFERENCES.md where the servers differ.

A server takes thirty registrations in a row from one address (9.1): all that there are have to be fewer
between two cases that are silent for a minute.
"""

from __future__ import annotations

import asyncio

from rdpeer.net.askers import TcpAsker
from rdpeer.server.compare import WITHIN, Case, Side
from rdpeer.values import Endpoint
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire import stun
from rdpeer.wire.endpoints import mangle

QUERY, RELAY = -1, 1
WEB_RELAY = 3

_APART = 0.1
_LONG = 40.0
"""Seconds; a little more than hbbs and hbbr wait for anything."""

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


async def registration_from_another_address(side: Side) -> None:
    """A peer moves to another address (if two are given), with another key and with its own."""
    peer, moved = await side.udp("B", responder=False), await side.udp("B elsewhere")
    side.say(peer, side.register_pk())
    await side.hears(peer)
    for request in (
        side.register_peer(),
        side.register_pk(pk=bytes(32)),
        side.register_pk(),
        side.register_peer(),
    ):
        side.say(moved, request)
        await side.hears(moved)


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


async def hole_punched_by_udp(side: Side) -> None:
    """B answers by UDP that it has punched a hole."""
    peer, asker = await side.registered(), await side.tcp("A")
    side.say(asker, side.punch(udp_port=7))
    told = await side.hears(peer)
    if told is None:
        return
    mark = told.punch_hole.socket_addr or told.fetch_local_addr.socket_addr
    side.say(peer, Message(punch_hole_sent=wire.PunchHoleSent(id=side.peer, socket_addr=mark, version="1")))
    await side.hears(asker)


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


# by WebSocket (6)


async def connecting_by_websocket(side: Side) -> None:
    """A punches by WebSocket, perhaps from B's own address."""
    peer, asker = await side.registered(), await side.web("A")
    side.say(asker, side.punch(nat_type=wire.ASYMMETRIC))
    await side.hears(peer)


async def online_query_by_websocket(side: Side) -> None:
    """Who is online, asked by WebSocket."""
    asker = await side.web("A")
    side.say(asker, Message(online_request=wire.OnlineRequest(id="x", peers=["nobody-there"])))
    await side.hears(asker)


async def registration_by_websocket(side: Side) -> None:
    """RegisterPk by WebSocket."""
    asker = await side.web("B")
    side.say(asker, side.register_pk())
    await side.hears(asker)
    await side.hears(asker)


async def nothing_by_websocket(side: Side) -> None:
    """An empty message by WebSocket."""
    asker = await side.web("A")
    side.say(asker, b"", "an empty message")
    await side.hears(asker)


async def relayed_by_websocket(side: Side) -> None:
    """One leg by WebSocket and one by TCP: a message is a frame."""
    one, two = await side.web("one leg", WEB_RELAY), await side.tcp("the other leg", RELAY)
    side.say(one, side.relay())
    await asyncio.sleep(_APART)
    await _arrive(side, two, side.relay())
    for here, there in ((one, two), (two, one)):
        side.say(here, Message(test_nat_request=wire.TestNatRequest()))
        await side.hears(there)


# what takes long


async def peer_that_falls_silent(side: Side) -> None:
    """B says nothing for 31 seconds, and is asked for."""
    await side.registered()
    await asyncio.sleep(31)
    asker, other = await side.tcp("A"), await side.tcp("A again", QUERY)
    side.say(asker, side.punch())
    await side.hears(asker)
    side.say(other, Message(online_request=wire.OnlineRequest(id="x", peers=[side.peer])))
    await side.hears(other)


async def silent_connections(side: Side) -> None:
    """Connections that say nothing, on the rendezvous port after a first request."""
    asked = await side.tcp("who asked")
    silent = [asked, await side.tcp("who did not", QUERY), await side.tcp("a leg", RELAY)]
    side.say(asked, side.punch(id="nobody-there"))
    await side.hears(asked)
    for asker in silent:
        await side.hears(asker, _LONG)


async def parked_leg(side: Side) -> None:
    """A leg whose other one does not come."""
    leg = await side.tcp("a leg", RELAY)
    side.say(leg, side.relay())
    await side.hears_raw(leg, 1, _LONG)


async def registration_after_a_refusal(side: Side) -> None:
    """The same ID four times without a pause, and then each four seconds."""
    peer = await side.udp("B")
    for pause in (0, 0, 0, 0, 4, 4):
        await asyncio.sleep(pause)
        side.say(peer, side.register_pk())
        await side.hears(peer)


async def idle_pair(side: Side) -> None:
    """Two legs that are joined and say nothing more."""
    one, two = await side.tcp("one leg", RELAY), await side.tcp("the other leg", RELAY)
    for leg in (one, two):
        await _arrive(side, leg, side.relay())
    one.send_raw(b"joined")
    await side.hears_raw(two, 6)
    await side.hears_raw(two, 1, _LONG)


async def silent_websocket(side: Side) -> None:
    """A WebSocket that says nothing."""
    asker = await side.web("A")
    await side.hears(asker, _LONG)


async def registration_of_many(side: Side) -> None:
    """Thirty IDs from one address without a pause, and one more."""
    peer = await side.udp("B")
    for number in range(30):
        peer.send(side.register_pk(id=f"{side.peer}-{number}").SerializeToString())
        await peer.hear(WITHIN)
    side.say(peer, side.register_pk())
    await side.hears(peer)


CASES: tuple[Case, ...] = (
    first_registration,
    registration_again,
    registration_with_a_new_key,
    registration_too_often,
    registration_without_uuid_or_key,
    registration_of_a_short_id,
    registration_of_a_bad_id,
    registration_of_a_bad_key,
    registration_from_another_address,
    requests_by_udp,
    nat_test_by_udp,
    stun_by_udp,
    messages_of_servers_by_udp,
    junk_by_udp,
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
    connecting_without_the_key,
    connecting_to_nobody,
    asking_again_after_a_failure,
    connecting,
    hole_punched_by_udp,
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
    connecting_by_websocket,
    online_query_by_websocket,
    registration_by_websocket,
    nothing_by_websocket,
    relayed_by_websocket,
)

SLOW_CASES: tuple[Case, ...] = (
    peer_that_falls_silent,
    silent_connections,
    parked_leg,
    registration_after_a_refusal,
    idle_pair,
    silent_websocket,
    registration_of_many,
)
"""Three minutes of waiting."""
