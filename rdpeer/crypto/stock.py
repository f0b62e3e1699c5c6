"""The stock session's own sealing and password proof (docs/PROTOCOL.md 3.2, 3.4).

For talking to a RustDesk desktop, never between two rdpeers: both directions
share one key and one sequence of nonces, so the two first records are sealed
with one keystream, and the password proof can be guessed at offline.
"""

from __future__ import annotations

from hashlib import sha256

from nacl.bindings import crypto_secretbox, crypto_secretbox_open
from nacl.exceptions import CryptoError

from rdpeer.errors import RemoteProtocolError

SEAL_BYTES = 16
"""By how much a sealed message is longer."""


class StockChannel:
    """Both directions under one 32-byte ``session_key``; records count from 1 in each."""

    __slots__ = ("_key", "_opened", "_sealed")

    def __init__(self, session_key: bytes) -> None:
        self._key = session_key
        self._sealed = 0
        self._opened = 0

    def seal(self, plaintext: bytes) -> bytes:
        """``plaintext`` sealed: SEAL_BYTES longer."""
        self._sealed += 1
        return crypto_secretbox(plaintext, _nonce(self._sealed), self._key)

    def open(self, payload: bytes) -> bytes:
        """The plaintext of a frame payload.

        An empty payload is a heartbeat: it is not sealed and does not count.
        Stock passes one byte in clear, too; no peer has a use for it, so here it
        is RemoteProtocolError, as everything that does not open.
        """
        if not payload:
            return b""
        if len(payload) < SEAL_BYTES:
            raise RemoteProtocolError(f"{len(payload)} bytes are too few for a sealed message")
        self._opened += 1
        try:
            return crypto_secretbox_open(payload, _nonce(self._opened), self._key)
        except CryptoError:
            raise RemoteProtocolError("a sealed message does not open") from None


def password_digest(password: str, salt: str) -> bytes:
    """All that a desktop keeps of a password: 32 bytes. Whoever has them needs no password."""
    return sha256(password.encode() + salt.encode()).digest()


def digest_proof(digest: bytes, challenge: str) -> bytes:
    """What LoginRequest.password carries: 32 bytes."""
    return sha256(digest + challenge.encode()).digest()


def password_proof(password: str, salt: str, challenge: str) -> bytes:
    """The proof of who knows the password itself."""
    return digest_proof(password_digest(password, salt), challenge)


def _nonce(counter: int) -> bytes:
    return counter.to_bytes(8, "little") + bytes(16)
