"""The move of a session to another transport, as its records tell it (docs/CHANNEL.md 6.1).

Each direction is one sequence of sealed records, and moves by itself: SWITCH is its last record on
the old transport, the next one goes on the new. The initiator chooses the transport and goes first;
the responder's SWITCH answers, and names the same. So there are no two wishes to reconcile, and what
the driver has to keep apart is only which transport a direction is on.
"""

from __future__ import annotations

from collections.abc import Iterable

from rdpeer.crypto.move_key import NONCE_BYTES, same
from rdpeer.errors import LocalProtocolError, RemoteProtocolError
from rdpeer.protocol.candidates import Candidates, read_candidates

FEATURE = "move"
"""What an end announces in HELLO that could move."""


class Migration:
    """What has been said about it, both ways. ``announced``: whether we say in HELLO that we could move."""

    def __init__(self, *, initiator: bool, announced: bool) -> None:
        self._initiator = initiator
        self._announced = announced
        self.agreed = False
        """Whether both ends could move. Known once the other end's HELLO is there."""
        self._offered = False
        self._received = False
        self._ours: bytes | None = None
        self._theirs: bytes | None = None

    @property
    def features(self) -> list[str]:
        """What HELLO says."""
        return [FEATURE] if self._announced else []

    def greet(self, features: Iterable[str]) -> None:
        """The other end's HELLO has come."""
        self.agreed = self._announced and FEATURE in features

    def offer(self) -> None:
        """We are about to send CANDIDATES; LocalProtocolError where that may not be."""
        if not self.agreed or self._offered:
            raise LocalProtocolError("candidates may not be sent now")
        self._offered = True

    def receive_candidates(self, body: bytes) -> Candidates:
        """The body of CANDIDATES, read; RemoteProtocolError where it may not be, or is wrong."""
        if not self.agreed or self._received:
            raise RemoteProtocolError("candidates, where they have no place")
        self._received = True
        return read_candidates(body)

    def switch(self, transport: bytes) -> None:
        """Our direction is about to go on to ``transport``; LocalProtocolError where that may not be."""
        ready = self._received and self._offered if self._initiator else self._theirs == transport
        if self._ours is not None or not ready:
            raise LocalProtocolError("the session cannot move now")
        self._ours = transport

    def receive_switch(self, transport: bytes) -> None:
        """The other end's direction goes on to ``transport``; RemoteProtocolError where that may not be."""
        if self._theirs is not None or len(transport) != NONCE_BYTES or not self._may_receive(transport):
            raise RemoteProtocolError("a move to another transport that was not agreed on")
        self._theirs = transport

    def _may_receive(self, transport: bytes) -> bool:
        if self._initiator:
            return self._ours is not None and same(self._ours, transport)
        return self._received and self._offered
