"""Peers that are registered over connections, without I/O (docs/PROTOCOL.md 2.4).

Such a peer is online as long as its line is up. We send an empty frame every so
often, and it sends one back: that keeps the proxies in between awake, and tells
us whether anybody is there. A peer that registers anew, over whatever, has left
its old line. Who sends a HealthCheck is kept in the same way, and is nobody's line.
"""

from __future__ import annotations

from collections import OrderedDict

from rdpeer.server.presence import Presence
from rdpeer.server.registry import Line


class Lines:
    """``keep_alive``: seconds between our heartbeats on a line."""

    def __init__(self, registry: Presence, keep_alive: float) -> None:
        self._registry = registry
        self._keep_alive = keep_alive
        self._lines: dict[int, tuple[Line, str]] = {}
        self._beats: OrderedDict[int, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._lines)

    def registered(self, line: Line, peer_id: str, now: float) -> None:
        """Something was answered to ``peer_id`` on ``line``; only if that made it its line, it is kept."""
        peer = self._registry.get(peer_id)
        if peer is not None and peer.source == line:
            self._lines[line.connection] = line, peer_id
            self.keep(line.connection, now)

    def keep(self, connection: int, now: float) -> None:
        """``connection`` gets heartbeats too, until it is closed."""
        self._beats[connection] = now + self._keep_alive
        self._beats.move_to_end(connection)

    def heard(self, connection: int, now: float) -> bool:
        """A frame came. False if the connection gets no heartbeats, or is not its peer's line any more."""
        if connection not in self._lines:
            return connection in self._beats
        line, peer_id = self._lines[connection]
        peer = self._registry.get(peer_id)
        if peer is None or peer.source != line:
            return False
        peer.heard(line, 0, now)
        return True

    def due(self, now: float) -> list[int]:
        """The connections that are to be sent a heartbeat; each has its next one later."""
        late = []
        while self._beats and next(iter(self._beats.values())) <= now:
            connection, _ = self._beats.popitem(last=False)
            self._beats[connection] = now + self._keep_alive
            late.append(connection)
        return late

    def closed(self, line: Line) -> None:
        """The connection is gone, and its peer offline, unless it is registered elsewhere by now."""
        self._beats.pop(line.connection, None)
        _, peer_id = self._lines.pop(line.connection, (None, ""))
        peer = self._registry.get(peer_id)
        if peer is not None and peer.source == line:
            peer.forget()
