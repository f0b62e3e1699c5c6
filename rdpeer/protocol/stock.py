"""What rdpeer says of itself to software that does not know it."""

from __future__ import annotations

from dataclasses import dataclass

STOCK_VERSION = "1.4.9"
"""The version of the stock client whose rendezvous behaviour is spoken here.

Needed, not decoration: a stock server attaches the responder's signed key only
to answers of a responder that names a version (docs/PROTOCOL.md 2.2, 13), and
desktops choose by it what they may expect of the other end.
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """What a stock peer is told of this machine, to show to its user; ``platform`` as stock writes it."""

    name: str
    platform: str
