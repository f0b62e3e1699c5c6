"""Which relays a peer connects to.

A notification or an answer names a relay, and whoever sent it could name any
host and port: then peers would be made to knock there, and to show it the
server key. So a relay is used only if it is configured, or is the rendezvous
server's own (one port above it), or was named by the server itself. In
RequestRelay and in a responder's answers it is the other peer's word that the
server passes on: that alone proves nothing to a responder.

A server that knows no better names a relay as it sees it: empty, loopback or
unspecified means the server's own host, unless the server is reached over
loopback itself.

On the wire a relay is called by its TCP port, and so it is here, even where the
server is reached by WebSocket: then ``reach`` says where the relay's WebSocket is.
"""

from __future__ import annotations

import ipaddress

from rdpeer.values import BASE_PORT, ServerAddress, WebAddress, split_host_port

RELAY_PORT = BASE_PORT + 1
"""Where a relay is that is named without a port (docs/PROTOCOL.md 9.3)."""

NAMED_FOR = 600.0
"""Seconds for which a responder trusts that its server named a relay."""

_MOST_NAMED = 16


class Relays:
    """The relays of one rendezvous server.

    ``configured`` are the user's, the one to offer first; see :meth:`prefer`.
    ``server_ip``: the address that the server is reached at, once that is known;
    a relay there is the server's own too.
    """

    def __init__(self, server: ServerAddress, *configured: ServerAddress) -> None:
        self._server = server.plain
        self._web = server if isinstance(server, WebAddress) else None
        self._configured = {relay.plain: relay for relay in configured}
        self._named: dict[ServerAddress, float] = {}
        self.server_ip: str | None = None

    @property
    def own(self) -> ServerAddress:
        """The rendezvous server's relay."""
        return self._server.offset(1)

    def read(self, text: str) -> ServerAddress:
        """The relay that ``text`` from the wire means; ValueError where it is none, or has no port that we
        could ``reach`` it at."""
        if not text:
            return self.own
        host, port = split_host_port(text)
        if not self._server.is_loopback and _is_the_server(host):
            return ServerAddress(self._server.host, port or self.own.port)
        relay = ServerAddress(host.lower(), RELAY_PORT if port is None else port)
        self.reach(relay)
        return relay

    def name(self, text: str, now: float) -> None:
        """The server named this relay, in PunchHole or FetchLocalAddr. What cannot be read is passed over."""
        try:
            relay = self.read(text)
        except ValueError:
            return
        self._named = {r: at for r, at in self._named.items() if now - at < NAMED_FOR and r != relay}
        if len(self._named) >= _MOST_NAMED:
            del self._named[next(iter(self._named))]
        self._named[relay] = now

    def allows(self, relay: ServerAddress, now: float) -> bool:
        """True if a responder may connect to it."""
        if relay in self._configured or relay == self.own:
            return True
        if self._web and self._is_here(relay):
            return True  # its port is a guess, and not used
        if self.server_ip and relay == ServerAddress(self.server_ip, self.own.port):
            return True
        return relay in self._named and now - self._named[relay] < NAMED_FOR

    def reach(self, relay: ServerAddress) -> ServerAddress:
        """Where to connect for ``relay``: its WebSocket, where the server is reached so."""
        if relay in self._configured:
            return self._configured[relay]
        if self._web is None:
            return relay
        if self._is_here(relay):
            return self._web.offset(1)
        if not self._web.path:  # no reverse proxy stands before the server, so none before this one
            return WebAddress.beside(relay)
        return WebAddress.of_relay(relay, self._web.scheme)

    def ours(self, named: str) -> ServerAddress:
        """The relay that a responder offers: a configured one, else what the server named, else its own."""
        return self._first or self._readable(named) or self.own

    def theirs(self, named: str) -> ServerAddress:
        """The relay at which an initiator meets the peer: the one that the answer named, where it named one.

        The responder waits there, or would refuse another; so it goes before
        the configured ones.
        """
        return (self._readable(named) if named else None) or self._first or self.own

    @property
    def configured(self) -> list[ServerAddress]:
        """The one to offer first."""
        return list(self._configured)

    def prefer(self, relay: ServerAddress) -> None:
        """Offers this configured one before the others from now on."""
        self._configured = {relay: self._configured[relay], **self._configured}

    def choices(self, theirs: ServerAddress) -> list[ServerAddress]:
        """Where an initiator may ask a responder to meet it that would wait at ``theirs``: there, or at
        a configured one, which the responder takes if it is configured there as well."""
        return list(dict.fromkeys([theirs, *self._configured]))

    @property
    def _first(self) -> ServerAddress | None:
        return next(iter(self._configured), None)

    def _is_here(self, relay: ServerAddress) -> bool:
        return relay.host in (self._server.host, self.server_ip)

    def _readable(self, text: str) -> ServerAddress | None:
        try:
            return self.read(text) if text else None
        except ValueError:
            return None


def means_the_server(text: str) -> bool:
    """True where a relay is named as its own host sees it: loopback or unspecified."""
    try:
        return _is_the_server(split_host_port(text)[0])
    except ValueError:
        return False


def _is_the_server(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address.is_loopback or address.is_unspecified
