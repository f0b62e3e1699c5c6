"""Which two legs of the relay belong together, without I/O (docs/PROTOCOL.md 9.5).

A leg's first frame is a RequestRelay with the server's key and a token. The
first leg with a token is parked, the second one makes the pair. A token makes
one pair: a third leg, who may have overheard it or repeats it, is refused for a
minute instead of waiting for a fourth.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from rdpeer.errors import RemoteProtocolError
from rdpeer.server.broker import MAX_TOKEN
from rdpeer.server.limits import Limits
from rdpeer.server.rates import Recent
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.messages import parse


def request_in(payload: bytes) -> wire.RequestRelay:
    """What a leg's first frame asks; RemoteProtocolError where that is no relay."""
    message = parse(wire.RendezvousMessage, payload)
    if message.WhichOneof("union") != "request_relay":
        raise RemoteProtocolError("the first frame is not a request for a relay")
    return message.request_relay


class Pairing:
    """Parked legs, by token. A leg is the number of its connection; ``accepts`` tells the right key."""

    def __init__(self, accepts: Callable[[str], bool], limits: Limits) -> None:
        self._accepts = accepts
        self._limits = limits
        self._parked: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._used: Recent[str, float] = Recent(limits.tokens)

    def arrive(self, leg: int, request: wire.RequestRelay, now: float) -> int | None:
        """The leg that waited for this one, or None: it is parked.

        RemoteProtocolError for a request without the key and an unused token.
        """
        if not self._accepts(request.licence_key):
            raise RemoteProtocolError("a request for a relay without the key")
        if not 0 < len(request.uuid.encode()) <= MAX_TOKEN:
            raise RemoteProtocolError("a request for a relay without a fit token")
        return self._pair(leg, request.uuid, now)

    def overdue(self, now: float) -> list[int]:
        """Parked legs to be closed, each named once: nobody came for them."""
        late = []
        while self._parked:
            token, (leg, since) = next(iter(self._parked.items()))
            if now - since < self._limits.pairing_timeout:
                break
            del self._parked[token]
            late.append(leg)
        return late

    def _pair(self, leg: int, token: str, now: float) -> int | None:
        used = self._used.get(token)
        if used is not None and now - used < self._limits.token_rest:
            raise RemoteProtocolError("a token that made a pair already")
        waiting = self._parked.pop(token, None)
        if waiting is None:
            self._parked[token] = leg, now
            return None
        self._used.store(token, now)
        return waiting[0]
