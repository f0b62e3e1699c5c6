"""What the user may choose between."""

from __future__ import annotations

from enum import StrEnum

from rdpeer.values.endpoint import Endpoint


class Family(StrEnum):
    """Which addresses of a name are used."""

    ANY = "any"
    V4 = "4"
    V6 = "6"

    def allows(self, endpoint: Endpoint) -> bool:
        return self is Family.ANY or endpoint.is_v6 == (self is Family.V6)


class PinPolicy(StrEnum):
    """What to do with a peer's key that is not pinned yet and that only the server vouches for."""

    ACCEPT_NEW = "accept-new"
    ASK = "ask"
    STRICT = "strict"
