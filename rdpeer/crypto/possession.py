"""The proof that who registers an ID holds its key (docs/CHANNEL.md 8).

A signature over everything that it is to be worth something for: this server,
this ID, this key, and a cookie that the server gave to the place that we speak
from. At another server, for another ID or from another place it is worthless.
"""

from __future__ import annotations

from dataclasses import dataclass

from rdpeer.crypto.keys import IdentityKey, verify
from rdpeer.values import PublicKey

COOKIE_BYTES = 16

_LABEL = b"rdpeer register 1\0"


@dataclass(frozen=True, slots=True)
class Claim:
    """What is signed: ``pk`` is to be the key of ``peer_id`` at the server with the public key ``server``."""

    server: PublicKey
    peer_id: str
    uuid: bytes
    pk: bytes
    cookie: bytes

    def sign(self, key: IdentityKey) -> bytes:
        """64 bytes. By the key of ``pk``, or by the one that ``pk`` is to replace."""
        return key.sign(self._message())

    def is_signed_by(self, pk: bytes, signature: bytes) -> bool:
        """Whether ``signature``, of any length, is by the key ``pk`` (32 bytes)."""
        return verify(PublicKey(pk), self._message(), signature)

    def _message(self) -> bytes:
        parts = (_LABEL, self.server.raw, self.peer_id.encode(), self.uuid, self.pk, self.cookie)
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


@dataclass(frozen=True, slots=True)
class Possession:
    """What it takes to prove an identity to the server whose public key is ``server``."""

    key: IdentityKey
    server: PublicKey

    def proof(self, peer_id: str, uuid: bytes, cookie: bytes) -> bytes:
        return Claim(self.server, peer_id, uuid, self.key.public.raw, cookie).sign(self.key)
