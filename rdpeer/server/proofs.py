"""What a registration proves: cookies given, signatures looked at (docs/CHANNEL.md 8).

A cookie says that who brings it hears what is sent to the address that it speaks from, and that this was
so within the last minute. It costs us no memory: it is made anew, of the source and the time, to be
compared. A signature is looked at only behind a good cookie, so forged sources buy no arithmetic.
"""

from __future__ import annotations

import hmac
import secrets
from enum import Enum

from rdpeer.crypto.channel import digest
from rdpeer.crypto.keys import Random
from rdpeer.crypto.possession import COOKIE_BYTES, Claim
from rdpeer.server.keys import Keys
from rdpeer.server.rates import Rows, network
from rdpeer.server.registry import Source
from rdpeer.wire import rendezvous_pb2 as wire

BUCKET = 30.0
"""Seconds; a cookie counts in the bucket that it was made in, and in the next."""

_ROW, _REST = 300, 10.0


class Proof(Enum):
    """What stands in a RegisterPk."""

    NONE = "not signed"
    UNHEARD = "signed, but the cookie is old, or another source's"
    TOO_MANY = "signed, by one of too many from this source"
    WRONG = "signed, but not by this key for this server"
    GOOD = "signed by the key that it brings"


class Proofs:
    """``sources``: how many addresses are remembered, for how much they make us verify."""

    def __init__(self, keys: Keys, sources: int, random: Random = secrets.token_bytes) -> None:
        self._keys = keys
        self._secret = random(32)
        self._verified: Rows[str] = Rows(_ROW, _REST, sources)

    def cookie(self, source: Source, now: float) -> bytes:
        """For who speaks from ``source``; a line's is its own."""
        return self._cookie(source, int(now // BUCKET))

    def judge(self, request: wire.RegisterPk, source: Source, now: float) -> Proof:
        """``request.pk`` has 32 bytes."""
        if not request.signature:
            return Proof.NONE
        if not self._is_fresh(request.cookie, source, now):
            return Proof.UNHEARD
        if not self._verified.allow(network(source[0]), now):
            return Proof.TOO_MANY
        return Proof.GOOD if self._is_signed(request, request.pk, request.signature) else Proof.WRONG

    def passes_on(self, known_pk: bytes, request: wire.RegisterPk) -> bool:
        """Whether the key ``known_pk`` agrees to be replaced; for a request that was judged GOOD."""
        return self._is_signed(request, known_pk, request.previous_signature)

    def _is_signed(self, request: wire.RegisterPk, pk: bytes, signature: bytes) -> bool:
        """During a rotation a peer may know either of our keys."""
        claimed = request.id, request.uuid, request.pk, request.cookie
        return any(Claim(ours.public, *claimed).is_signed_by(pk, signature) for ours in self._keys.counting)

    def _is_fresh(self, cookie: bytes, source: Source, now: float) -> bool:
        bucket = int(now // BUCKET)
        return any(hmac.compare_digest(cookie, self._cookie(source, made)) for made in (bucket, bucket - 1))

    def _cookie(self, source: Source, bucket: int) -> bytes:
        parts = (str(part).encode() for part in (*source, bucket))
        return digest(*parts, key=self._secret, person=b"rdpeer cookie", size=COOKIE_BYTES)
