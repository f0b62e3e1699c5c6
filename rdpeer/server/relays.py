"""The relays that peers are told to use, in turn, without those that do not answer.

A check may be wrong, and a relay that only we cannot reach still serves the
peers: where none answers, all are handed out.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from rdpeer.values import ServerAddress

log = logging.getLogger(__name__)


class Relays:
    """``addresses`` empty: peers use the host of the rendezvous server."""

    def __init__(self, addresses: Sequence[ServerAddress]) -> None:
        self._down: set[ServerAddress] = set()
        self._turn = 0
        self.set(addresses)

    def set(self, addresses: Sequence[ServerAddress]) -> None:
        """These from now on."""
        self.addresses = tuple(addresses)
        self._down.intersection_update(self.addresses)

    def choose(self) -> str:
        """The next one, as it is sent: with its port unless that is 21117; empty where none is configured."""
        up = [address for address in self.addresses if address not in self._down] or self.addresses
        if not up:
            return ""
        self._turn += 1
        return str(up[self._turn % len(up)])

    def is_up(self, address: ServerAddress) -> bool:
        """As last seen; one that was never checked is."""
        return address not in self._down

    def checked(self, address: ServerAddress, *, answers: bool) -> None:
        """What a check found."""
        if answers == self.is_up(address):
            return
        if answers:
            self._down.remove(address)
            log.warning("relay %s answers again", address)
        else:
            self._down.add(address)
            log.warning("relay %s does not answer: it is left out until it does", address)
