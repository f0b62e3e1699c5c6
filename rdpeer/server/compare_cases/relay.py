"""The relay (docs/PROTOCOL.md 9.5)."""

from __future__ import annotations

from rdpeer.server.compare import Case, Side
from rdpeer.server.compare_cases.common import RELAY, arrive


async def relayed_pair(side: Side) -> None:
    """Two legs with one token, and what they say before they are joined and after."""
    one, two = await side.tcp("one leg", RELAY), await side.tcp("the other leg", RELAY)
    for leg in (one, two):
        await arrive(side, leg, side.relay())
        leg.send_raw(b"early ")
    await side.hears_raw(one, 6)
    await side.hears_raw(two, 6)
    one.send_raw(b"late")
    await side.hears_raw(two, 4)


async def relay_without_the_key(side: Side) -> None:
    """Two legs with no key."""
    one, two = await side.tcp("one leg", RELAY), await side.tcp("the other leg", RELAY)
    for leg in (one, two):
        await arrive(side, leg, side.relay(licence_key=""))
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
        await arrive(side, leg, side.relay())
    one.send_raw(b"joined")
    await side.hears_raw(two, 6)
    third = await side.tcp("a third leg", RELAY)
    side.say(third, side.relay())
    await side.hears_raw(third, 1)


async def half_close(side: Side) -> None:
    """One leg ends its direction; the other one goes on."""
    one, two = await side.tcp("one leg", RELAY), await side.tcp("the other leg", RELAY)
    for leg in (one, two):
        await arrive(side, leg, side.relay())
    one.send_raw(b"question")
    one.end()
    await side.hears_raw(two, 8)
    await side.hears_raw(two, 1)
    two.send_raw(b"answer")
    await side.hears_raw(one, 6)


CASES: tuple[Case, ...] = (
    relayed_pair,
    relay_without_the_key,
    relay_without_a_token,
    relay_of_another_message,
    third_leg,
    half_close,
)
