"""What two servers are asked to be compared: every request of docs/PROTOCOL.md 2.2, 2.3, 9.1, 9.5 and 9.6,
in and out of order. A case's name and first line stand in docs/DIFFERENCES.md where the servers differ.

A server takes thirty registrations in a row from one address (9.1): all that there are have to be fewer
between two cases that are silent for a minute.
"""

from __future__ import annotations

from rdpeer.server.compare import Case
from rdpeer.server.compare_cases import by_tcp, by_udp, connecting, registration, relay, slow, web

CASES: tuple[Case, ...] = (
    *registration.CASES,
    *by_udp.CASES,
    *by_tcp.CASES,
    *connecting.CASES,
    *relay.CASES,
    *web.CASES,
)
SLOW_CASES = slow.CASES
