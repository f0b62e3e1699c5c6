"""How many wrong passwords a stock responder hears from one address (docs/PROTOCOL.md 3.6).

    more than 6 in a clock minute    none is looked at until the next one
    more than 30 in all              none is looked at any more, until this process ends
    IPv6: more than 60 from a /64, 80 from a /56, 100 from a /48: none from there

An attempt that is not looked at does not count, and a right password clears the
address. Stock's rules, texts included: its initiators show them. The table has a
bound: beyond it the address that was wrong least recently is forgotten, which gives
whoever commands so many of them no more guesses than they have anyway.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

_IN_A_MINUTE = 6
_IN_ALL = 30
_PREFIXES = ((64, 60), (56, 80), (48, 100))
_MINUTE = 60.0
_MOST_SOURCES = 10_000


@dataclass(slots=True)
class _Failures:
    total: int = 0
    minute: int = 0
    in_minute: int = 0


class Lockout:
    """``source`` is an address without a port; ``now`` is monotonic, in seconds."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def refusal(self, source: str, now: float) -> str | None:
        """The text with which a password from ``source`` is not looked at; None if it is."""
        for prefix, most in _PREFIXES:
            network = _network(source, prefix)
            if network and self._of(network).total > most:
                return f"Too many wrong attempts for IPv6 prefix /{prefix}"
        failures = self._of(source)
        if failures.total > _IN_ALL:
            return "Too many wrong attempts"
        if failures.minute == now // _MINUTE and failures.in_minute > _IN_A_MINUTE:
            return "Please try 1 minute later"
        return None

    def failed(self, source: str, now: float) -> None:
        """Counts one, for the address and the networks that it is in."""
        networks = filter(None, (_network(source, prefix) for prefix, _ in _PREFIXES))
        for key in (source, *networks):
            failures = self._failures.setdefault(key, _Failures())
            self._failures.move_to_end(key)
            minute = int(now // _MINUTE)
            if failures.minute != minute:
                failures.minute, failures.in_minute = minute, 0
            failures.total += 1
            failures.in_minute += 1
        while len(self._failures) > _MOST_SOURCES:
            self._failures.popitem(last=False)

    def passed(self, source: str) -> None:
        """Forgets what was wrong from this address."""
        self._failures.pop(source, None)

    def _of(self, key: str) -> _Failures:
        return self._failures.get(key) or _Failures()


def _network(source: str, prefix: int) -> str | None:
    """The network of an IPv6 address; None for another one."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return None
    return str(ipaddress.ip_network((address, prefix), strict=False)) if address.version == 6 else None
