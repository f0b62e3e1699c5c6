"""What a listener finds around it when it has come online: the nearest relay, and the NAT before it."""

from __future__ import annotations

from collections.abc import Callable

from rdpeer.errors import RdpeerError
from rdpeer.net.transport.dial import first_to_answer
from rdpeer.peer.nat import Situation, probe
from rdpeer.peer.ways import RELAY_WITHIN
from rdpeer.protocol.answer import Responder
from rdpeer.protocol.relays import Relays

Tell = Callable[[str], None]


async def look_around(responder: Responder, detail: Tell) -> None:
    """Has ``responder`` offer the nearest relay, and know whether peers can come to it."""
    await _look_at_relays(responder.relays, detail)
    await _look_at_nat(responder, detail)


async def _look_at_relays(relays: Relays, detail: Tell) -> None:
    """Of several configured ones, the nearest is offered."""
    places = {relays.reach(relay): relay for relay in relays.configured}
    if len(places) > 1 and (nearest := await first_to_answer(list(places), RELAY_WITHIN)):
        relays.prefer(places[nearest])
        detail(f"the nearest relay: {nearest}")


async def _look_at_nat(responder: Responder, detail: Tell) -> None:
    where = responder.registered_at
    if where.is_loopback or responder.relay_only:
        return  # no NAT is between, or nothing depends on it
    try:
        found = await probe(where)
    except RdpeerError as error:
        detail(f"the NAT in front of us is not known: {error}")
        return
    responder.mapping = found.mapping
    reason = f" ({found.reason})" if found.reason else ""
    detail(f"the NAT in front of us: {Situation.of(found).value}{reason}")
