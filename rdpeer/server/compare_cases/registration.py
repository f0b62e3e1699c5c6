"""Registration by UDP (docs/PROTOCOL.md 9.1, 9.2)."""

from __future__ import annotations

from rdpeer.server.compare import Case, Side


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
)
