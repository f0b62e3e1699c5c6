"""Why a server does not take a registration: RegisterPkResponse.Result in words (docs/PROTOCOL.md 9.2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from rdpeer.errors import ServerRefused
from rdpeer.values import PeerId
from rdpeer.wire import rendezvous_pb2 as pb

_Result = pb.RegisterPkResponse


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a Result other than OK means.

    ``retry``: seconds to wait before asking again; None where asking cannot mend it.
    """

    text: str
    retry: float | None = None
    hint: str | None = None

    @classmethod
    def of(cls, result: int) -> Self:
        """Any number: one that no list has may be a newer server's passing trouble, so it is tried again."""
        known = _REFUSALS.get(result)
        return cls(f"refused with unknown result {result}", 12.0) if known is None else cls(*known)

    def error(self, peer: PeerId, where: str) -> ServerRefused:
        return ServerRefused(f"{where} does not register {peer}: {self.text}", hint=self.hint)


UNPROVEN = Refusal(
    "it wants a proof of the ID's key, and this registration has none that counts",
    hint="set the server's key, as 'rdpeer server key show' prints it there; its operator can free the ID",
)
"""Where a server of ours wants more than the Result says (docs/CHANNEL.md 8)."""

_REFUSALS: dict[int, tuple[str, float | None, str | None]] = {
    # The stock client takes a new ID here. Ours stays: what others know us by must not change silently.
    _Result.UUID_MISMATCH: (
        "the ID belongs to another installation there",
        None,
        "restore the profile that first registered this ID, or make a new one: rdpeer id --new",
    ),
    _Result.ID_EXISTS: ("the ID is taken", None, "make a new one: rdpeer id --new"),
    # 7 s: a server forgets registrations of one ID that are more than 6 s apart.
    _Result.TOO_FREQUENT: ("too many registrations", 7.0, "wait a minute, then try again"),
    _Result.INVALID_ID_FORMAT: (
        "it does not allow such an ID",
        None,
        "make a new one: rdpeer id --new",
    ),
    _Result.NOT_SUPPORT: ("it takes no registrations this way", None, None),
    _Result.SERVER_ERROR: ("it has an internal error", 6.0, None),
    _Result.NOT_DEPLOYED: (
        "its operator has to let this device in first",
        30.0,
        "ask for it: rdpeer server approve ID, there; RustDesk's own calls it to deploy the device",
    ),
}
