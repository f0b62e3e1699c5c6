"""What proves that a new transport belongs to a session (docs/CHANNEL.md 6.1; 6.2 says why it is safe).

Everything here hangs on the move key, which hangs on the session: its keys, the two
identities, and two nonces that were exchanged inside the channel. Each value says by
its person who speaks (``i2r``, ``r2i``) and to what end, so that none of them can be
reflected, or taken for another.
"""

from __future__ import annotations

import hmac

from rdpeer.crypto.channel import digest

NONCE_BYTES = 16
PROOF_BYTES = 32
TAG_BYTES = 12


class MoveKey:
    """One end's view. ``exporter`` is the channel's, ``t2`` the transcript of both proofs."""

    __slots__ = ("_initiator", "_key")

    def __init__(
        self, *, initiator: bool, exporter: bytes, t2: bytes, initiator_nonce: bytes, responder_nonce: bytes
    ) -> None:
        self._initiator = initiator
        self._key = digest(t2, initiator_nonce, responder_nonce, key=exporter, person=b"move")

    def initiator_proof(self, a: bytes) -> bytes:
        """In the initiator's JOIN, whose nonce is ``a``."""
        return digest(a, key=self._key, person=b"i2r join")

    def responder_proof(self, a: bytes, b: bytes) -> bytes:
        """In the responder's JOIN, whose nonce is ``b``, on the transport where it was told ``a``."""
        return digest(a, b, key=self._key, person=b"r2i join")

    def tag(self, purpose: bytes, *, ours: bool) -> bytes:
        """Of a datagram to the ``purpose`` ``check`` or ``answer``: what we send, or what we must receive."""
        role = b"i2r " if ours == self._initiator else b"r2i "
        return digest(key=self._key, person=role + purpose, size=TAG_BYTES)


def same(proof: bytes, expected: bytes) -> bool:
    """Compares in constant time."""
    return hmac.compare_digest(proof, expected)
