"""Key pairs: the Ed25519 one that is an identity, the X25519 one that lives for one connection.

Randomness always comes in as a function, so that test vectors are possible;
nobody but a test passes another one than the operating system's.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from nacl.bindings import (
    crypto_box,
    crypto_box_open,
    crypto_scalarmult,
    crypto_scalarmult_base,
    crypto_sign,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import CryptoError

from rdpeer.errors import RemoteProtocolError
from rdpeer.values import PublicKey

Random = Callable[[int], bytes]
"""So many bytes, from a generator fit for keys."""

SEED_BYTES = 32
SIGNATURE_BYTES = 64
EXCHANGE_BYTES = 32
SESSION_KEY_BYTES = 32
SEALED_SESSION_KEY_BYTES = 48

_ZERO_NONCE = bytes(24)


@dataclass(frozen=True, slots=True)
class IdentityKey:
    """A long-term Ed25519 key pair, made of its 32-byte ``seed``, which is the secret."""

    seed: bytes = field(repr=False)
    public: PublicKey = field(init=False)
    _secret: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if len(self.seed) != SEED_BYTES:
            raise ValueError("the seed of an Ed25519 key has 32 bytes")
        public, secret = crypto_sign_seed_keypair(self.seed)
        object.__setattr__(self, "public", PublicKey(public))
        object.__setattr__(self, "_secret", secret)

    @classmethod
    def generate(cls, random: Random = secrets.token_bytes) -> IdentityKey:
        return cls(random(SEED_BYTES))

    @classmethod
    def from_seed(cls, seed: bytes) -> IdentityKey:
        """ValueError unless ``seed`` has 32 bytes."""
        return cls(seed)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature alone."""
        return self.sign_combined(message)[:SIGNATURE_BYTES]

    def sign_combined(self, message: bytes) -> bytes:
        """Signature, then message: the form that stands in messages (docs/PROTOCOL.md 3.1)."""
        return crypto_sign(message, self._secret)


def verify(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """True if ``signature`` over ``message`` is by ``key``; any other length than 64 bytes is False."""
    return len(signature) == SIGNATURE_BYTES and open_signed(key, signature + message) is not None


def open_signed(key: PublicKey, blob: bytes) -> bytes | None:
    """The message behind a combined signature, or None where ``key`` did not sign it.

    libsodium refuses keys of small order and encodings that are not canonical.
    """
    try:
        return crypto_sign_open(blob, key.raw)
    except (CryptoError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class ExchangeKey:
    """A fresh X25519 key pair, for one connection and one path: never stored, never used twice."""

    secret: bytes = field(repr=False)
    public: bytes = field(init=False)

    def __post_init__(self) -> None:
        if len(self.secret) != EXCHANGE_BYTES:
            raise ValueError("an X25519 secret has 32 bytes")
        object.__setattr__(self, "public", crypto_scalarmult_base(self.secret))

    @classmethod
    def generate(cls, random: Random = secrets.token_bytes) -> ExchangeKey:
        return cls(random(EXCHANGE_BYTES))

    def shared(self, other: bytes) -> bytes:
        """The X25519 secret shared with the public key ``other``.

        Raises RemoteProtocolError for another length than 32 bytes, which the
        binding would read past, and for points of small order, whose result
        would not depend on our secret.
        """
        _check_exchange_key(other)
        try:
            return crypto_scalarmult(self.secret, other)
        except CryptoError:
            raise RemoteProtocolError("an X25519 key of small order") from None

    def seal_session_key(self, session_key: bytes, recipient: bytes) -> bytes:
        """``session_key`` (32 bytes) in a crypto_box for ``recipient``: 48 bytes (docs/PROTOCOL.md 3.1).

        The nonce is zero, as the wire has it: both keys are fresh and seal this one message.
        """
        self.shared(recipient)
        return crypto_box(session_key, _ZERO_NONCE, recipient, self.secret)

    def open_session_key(self, sealed: bytes, sender: bytes) -> bytes:
        """The 32-byte session key that ``sender`` sealed for us; RemoteProtocolError if it does not open."""
        if len(sealed) != SEALED_SESSION_KEY_BYTES:
            raise RemoteProtocolError(f"a sealed session key has 48 bytes, not {len(sealed)}")
        self.shared(sender)
        try:
            return crypto_box_open(sealed, _ZERO_NONCE, sender, self.secret)
        except CryptoError:
            raise RemoteProtocolError("the session key is not sealed for us") from None


def _check_exchange_key(key: bytes) -> None:
    if len(key) != EXCHANGE_BYTES:
        raise RemoteProtocolError(f"an X25519 key has 32 bytes, not {len(key)}")
