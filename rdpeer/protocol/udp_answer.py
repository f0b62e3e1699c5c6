"""What a notification asks for by UDP, and the answer (docs/PROTOCOL.md 2.1).

An initiator that knows its endpoint as the server sees it, or one of its own by IPv6, says so in its
request. To the first we answer by UDP, from the very socket that waits for it: the server tells it where
that answer came from. The second has our own IPv6 endpoint told, in whatever we answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from rdpeer.protocol.answer import Responder
from rdpeer.protocol.nat import Mapping
from rdpeer.protocol.notifications import FetchLocalAddr, Notification, PunchHole
from rdpeer.protocol.stock import STOCK_VERSION
from rdpeer.protocol.traversal import may_dial, may_meet_v6
from rdpeer.values import Endpoint
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.endpoints import mangle, unmangle


@dataclass(frozen=True, slots=True)
class UdpAnswer:
    """``payload`` goes to ``server`` from the socket at which the initiator, at ``target``, is awaited."""

    payload: bytes
    server: Endpoint
    target: Endpoint


def udp_answer(
    responder: Responder, asked: Notification, v6: Endpoint | None, now: float
) -> UdpAnswer | None:
    """The answer by UDP, where ``asked`` wants one and may have it. ``v6``: where we wait by IPv6."""
    server_ip = responder.relays.server_ip
    target = _udp_target(responder, asked)
    if target is None or server_ip is None or not isinstance(asked, PunchHole):
        return None
    if asked.relay_server:
        responder.relays.name(asked.relay_server, now)
    sent = pb.PunchHoleSent(
        socket_addr=asked.initiator,
        id=str(responder.peer),
        relay_server=str(responder.relays.ours(asked.relay_server)),
        nat_type=responder.mapping.value,
        version=STOCK_VERSION,
        socket_addr_v6=mangle(v6, 0) if v6 else b"",
    )
    payload = pb.RendezvousMessage(punch_hole_sent=sent).SerializeToString()
    return UdpAnswer(payload, Endpoint(server_ip, responder.registered_at.port), target)


def v6_target(responder: Responder, asked: Notification) -> Endpoint | None:
    """The initiator's endpoint by IPv6, where it named one and may be met there."""
    if responder.relay_only or not isinstance(asked, PunchHole | FetchLocalAddr) or len(asked.v6) != 18:
        return None
    target = unmangle(asked.v6)
    if target is None or (isinstance(asked, PunchHole) and asked.relay_only):
        return None
    return target if may_meet_v6(target, responder.relays.server_ip) else None


def _udp_target(responder: Responder, asked: Notification) -> Endpoint | None:
    """The initiator's endpoint. None from behind a symmetric NAT, which sends to it from another port than to
    the server, and where one of the three has only an IPv6 address."""
    server_ip = responder.relays.server_ip
    if not isinstance(asked, PunchHole) or asked.relay_only or responder.relay_only:
        return None
    target = asked.udp_endpoint
    if target is None or server_ip is None or responder.mapping is Mapping.SYMMETRIC:
        return None
    if target.is_v6 or ":" in server_ip:
        return None
    return target if may_dial(target, server_ip) else None
