"""What a rendezvous server tells a registered peer: somebody wants to connect.

They come by UDP, to the address that last registered (docs/PROTOCOL.md 9.1,
9.4). A datagram's source can be forged and whoever may ask the server for a
peer can make it send more of them, so duplicates are dropped and the rest is
held to a rate that an honest crowd does not reach.
"""

from __future__ import annotations

from dataclasses import dataclass

from rdpeer.errors import RemoteProtocolError
from rdpeer.protocol.bucket import Bucket
from rdpeer.values import Endpoint
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.endpoints import unmangle

DUPLICATE_WITHIN = 0.1
"""Seconds. An initiator that heard nothing asks again after 3 s: that is no duplicate."""

_BURST = 256
_RATE = 32.0  # an answer costs some milliseconds: a flood takes a third of a core, and no more


@dataclass(frozen=True, slots=True)
class Notification:
    """Somebody wants to connect.

    ``initiator`` is the mangled endpoint of who asked, to be copied into the
    answer byte for byte: the server finds the connection that waits by it. It
    may be empty. ``relay_server`` is text as it came.
    """

    initiator: bytes
    relay_server: str

    @property
    def endpoint(self) -> Endpoint | None:
        return unmangle(self.initiator)


@dataclass(frozen=True, slots=True)
class PunchHole(Notification):
    """The initiator is behind another external address.

    ``relay_only``: it wants a relay and nothing else, or the server does; said by force_relay, or by a
    NAT that is SYMMETRIC, since stock servers drop that field (docs/PROTOCOL.md 2.3). ``udp_port``: where
    it waits for datagrams, at the same address; 0 where it does not. ``v6``: where it waits for them by
    IPv6, mangled as it came.
    """

    relay_only: bool = False
    udp_port: int = 0
    v6: bytes = b""

    @property
    def udp_endpoint(self) -> Endpoint | None:
        endpoint = self.endpoint
        return Endpoint(endpoint.ip, self.udp_port) if endpoint and 0 < self.udp_port < 65536 else None


@dataclass(frozen=True, slots=True)
class FetchLocalAddr(Notification):
    """The initiator has our external address: the local one may do. ``v6`` as in PunchHole."""

    v6: bytes = b""


@dataclass(frozen=True, slots=True)
class RequestRelay(Notification):
    """The initiator wants to meet at the relay it names. ``token`` is text as it came; it may be empty.

    The message's ``secure`` has no place here: nobody can ask us for a session in clear.
    """

    token: str = ""


def read_notification(message: pb.RendezvousMessage) -> Notification | None:
    """The notification in ``message``, or None where it is another message.

    Raises RemoteProtocolError where the initiator's endpoint cannot be one.
    """
    notification: Notification
    match message.WhichOneof("union"):
        case "punch_hole":
            punch = message.punch_hole
            relay_only = punch.force_relay or punch.nat_type == pb.SYMMETRIC
            notification = PunchHole(
                punch.socket_addr, punch.relay_server, relay_only, punch.udp_port, punch.socket_addr_v6
            )
        case "fetch_local_addr":
            fetch = message.fetch_local_addr
            notification = FetchLocalAddr(fetch.socket_addr, fetch.relay_server, fetch.socket_addr_v6)
        case "request_relay":
            relay = message.request_relay
            notification = RequestRelay(relay.socket_addr, relay.relay_server, relay.uuid)
        case _:
            return None
    if len(notification.initiator) > 18:
        raise RemoteProtocolError("not a mangled endpoint")
    unmangle(notification.initiator)
    return notification


class NotificationFilter:
    """Which notifications are acted on: no duplicates, and no more than the rate, after a burst."""

    def __init__(self) -> None:
        self._seen: dict[tuple[type[Notification], Endpoint | None], float] = {}
        self._rate = Bucket(_BURST, _RATE)

    def passes(self, notification: Notification, now: float) -> bool:
        """True once for each kind and initiator within DUPLICATE_WITHIN, while the rate is kept."""
        self._seen = {key: at for key, at in self._seen.items() if now - at < DUPLICATE_WITHIN}
        key = type(notification), notification.endpoint
        if key in self._seen or not self._rate.take(now):
            return False
        self._seen[key] = now
        return True
