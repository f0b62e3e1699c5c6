"""Proving a shared secret, a code or a password, without showing it: SPAKE2 (docs/CHANNEL.md 3).

An attacker who takes part gets one guess at the secret for each run, and
nothing to compute on afterwards. The initiator confirms first: so it is the
responder, which counts wrong guesses, that an attacker must ask. Both
identities and the transcript go into the key: nobody can stand between two
ends and let them prove the secret to each other over two channels.
"""

from __future__ import annotations

import hmac
import secrets
from typing import Any, Self

from rdpeer.crypto.channel import digest
from rdpeer.crypto.keys import Random
from rdpeer.errors import AuthenticationFailed
from rdpeer.values import PublicKey

SHARE_BYTES = 33
CONFIRMATION_BYTES = 32


class SecretExchange:
    """One end of one run. ``share`` goes out; the other end's goes into :meth:`finish`."""

    def __init__(self, exchange: Any, initiator: bool, t2: bytes) -> None:
        self._exchange = exchange
        self._initiator = initiator
        self._t2 = t2
        self._expected = b""
        self.share: bytes = exchange.start()
        """SHARE_BYTES: the side, and a point."""

    @classmethod
    def begin(
        cls,
        *,
        initiator: bool,
        secret: bytes,
        keys: tuple[PublicKey, PublicKey],
        t2: bytes,
        random: Random = secrets.token_bytes,
    ) -> Self:
        """``keys`` are the initiator's and the responder's identity, ``t2`` the transcript with both proofs.

        Imports spake2, some 60 ms, at its first use.
        """
        from spake2 import SPAKE2_A, SPAKE2_B

        from rdpeer.crypto.spake2_group import PARAMS

        side = SPAKE2_A if initiator else SPAKE2_B
        ids = {"idA": b"i" + keys[0].raw + t2, "idB": b"r" + keys[1].raw + t2}
        return cls(side(secret, params=PARAMS, entropy_f=random, **ids), initiator, t2)

    def finish(self, share: bytes) -> bytes:
        """Our confirmation (CONFIRMATION_BYTES), from the other end's share.

        Raises AuthenticationFailed for a share that is none. It does not say
        whether the secret is the same: only the other end's confirmation does.
        """
        if len(share) != SHARE_BYTES:
            raise AuthenticationFailed(f"the peer's share of the secret exchange has {len(share)} bytes")
        try:
            key: bytes = self._exchange.finish(share)
        except Exception as error:
            # The package and the bindings raise a dozen kinds, bare Exceptions and assertions among
            # them, and all of them mean one thing: this share does not come from an honest peer.
            raise AuthenticationFailed("the peer's share of the secret exchange is not valid") from error
        x, y = (self.share, share) if self._initiator else (share, self.share)
        confirmations = [digest(self._t2, x, y, key=key, person=p) for p in (b"confirm i", b"confirm r")]
        ours, self._expected = confirmations if self._initiator else reversed(confirmations)
        return ours

    def verify(self, confirmation: bytes) -> bool:
        """Whether the other end knows the secret; compared in constant time. Only after :meth:`finish`."""
        return bool(self._expected) and hmac.compare_digest(confirmation, self._expected)
