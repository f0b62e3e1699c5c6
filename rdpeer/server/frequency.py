"""How often RegisterPk is listened to: stock's limits (docs/PROTOCOL.md 9.1), and who is above them.

A limit per ID that strangers can use up would keep its owner out. So a proof counts towards none, nor does
what is refused for want of one. Who proves and changes nothing is limited by what he makes us verify alone:
a network has all its peers back at once after a restart.
"""

from __future__ import annotations

from rdpeer.server.proofs import Proof
from rdpeer.server.rates import Distinct, Rows, network
from rdpeer.server.registry import Registration

FROM_ONE_SOURCE, OF_ONE_ID = 30, 3
"""In a row: not 60 s apart, or 6 s."""

NEW_IDS_A_DAY = 300
"""From one source."""

_DAY = 24 * 3600.0


class Frequency:
    """``sources``: how many addresses, and how many IDs, are remembered."""

    def __init__(self, sources: int) -> None:
        self._per_source: Rows[str] = Rows(FROM_ONE_SOURCE, 60.0, sources)
        self._per_id: Rows[str] = Rows(OF_ONE_ID, 6.0, sources)
        self._new_ids: Distinct[str] = Distinct(NEW_IDS_A_DAY, _DAY, sources)

    def allows(self, known: Registration | None, new: Registration, proof: Proof, now: float) -> bool:
        """Counts the request for ``new`` in place of ``known``."""
        if proof is Proof.TOO_MANY:
            return False
        is_proven = known is not None and known.proven
        if known is not None and is_proven and proof is Proof.GOOD and known.pk == new.pk:
            return True
        if not self._per_source.allow(network(new.ip), now):
            return False
        return is_proven or proof is Proof.GOOD or self._per_id.allow(new.id, now)

    def allows_new(self, new: Registration, now: float) -> bool:
        """Counts a new ID."""
        return self._new_ids.allow(network(new.ip), new.id, now)
