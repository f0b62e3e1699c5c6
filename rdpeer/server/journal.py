"""What was asked and what became of it: one entry a request, counted, and written to the log.

The keep-alives of registered peers are counted only: they are all that a busy
server does. So are other datagrams that get an answer at once, or none,
refusals for being too frequent, and whatever is beyond a thousand entries a
second: a flood shall not fill the disk as well.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields

from rdpeer.net.clock import monotonic
from rdpeer.values import printable

log = logging.getLogger(__name__)
events = logging.getLogger("rdpeer.server")

_MOST_A_SECOND = 1000


@dataclass(frozen=True, slots=True)
class Entry:
    """``what`` was asked, and decided; fields that mean nothing for it are empty."""

    what: str
    decision: str
    source: str
    """Endpoint or address."""
    id: str = ""
    why: str = ""
    path: str = ""
    """How it came, or, of a pair, how its legs did."""
    bytes: int | None = None
    seconds: float | None = None

    def __str__(self) -> str:
        named = [f"{name}={_word(value)}" for name, value in self.as_dict().items() if name not in _IN_FRONT]
        return " ".join((self.source, self.what, self.decision, *named))

    def as_dict(self) -> dict[str, str | int | float]:
        """The fields that are not empty. A pair that carried nothing, or not for long, says so."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value not in ("", None)}


def _word(value: str | float) -> str:
    """In quotes where it has spaces: nobody's ID can look like another field."""
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if " " in text or '"' in text else text


_IN_FRONT = ("source", "what", "decision")


class Journal:
    """``counts`` has how often each decision was taken, by (what, decision).

    ``rate`` and ``keep_alive_rate``: how many were counted between the last two calls of ``sweep``.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.keep_alives = 0
        self.rate = self.keep_alive_rate = 0
        self._swept = (0, 0)
        self._clock = clock
        self._second = 0
        self._written = 0

    def note(
        self,
        what: str,
        decision: str,
        source: object,
        peer_id: str = "",
        why: object = "",
        *,
        path: str = "",
        carried: int | None = None,
        seconds: float | None = None,
    ) -> None:
        """Counts and logs. ``peer_id`` and ``why`` may come from the network."""
        self.counts[what, decision] += 1
        if log.isEnabledFor(logging.INFO) and self._has_room():
            entry = Entry(
                *(what, decision, str(source), printable(peer_id), printable(str(why))),
                *(path, carried, None if seconds is None else round(seconds, 3)),
            )
            log.info("%s", entry)

    def count(self, what: str, decision: str) -> None:
        """Counts alone."""
        self.counts[what, decision] += 1

    def sweep(self) -> None:
        """Called each second."""
        counted = self.counts.total(), self.keep_alives
        self.rate, self.keep_alive_rate = counted[0] - self._swept[0], counted[1] - self._swept[1]
        self._swept = counted

    def _has_room(self) -> bool:
        second = int(self._clock())
        if second != self._second:
            self._tell_left_out()
            self._second, self._written = second, 0
        self._written += 1
        return self._written <= _MOST_A_SECOND

    def _tell_left_out(self) -> None:
        if (left_out := self._written - _MOST_A_SECOND) > 0:
            events.warning("%d entries of one second were left out of the log", left_out)
