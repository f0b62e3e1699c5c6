"""Connecting two peers (docs/PROTOCOL.md 2.3)."""

from __future__ import annotations

from rdpeer.server.compare import Case, Side
from rdpeer.server.compare_cases.common import HOME, Message
from rdpeer.values import Endpoint
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.endpoints import mangle


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


CASES: tuple[Case, ...] = (
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
)
