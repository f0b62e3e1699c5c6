"""Sealing one direction of the channel, version 2: libsodium's AEGIS-256 (docs/CHANNEL.md 2).

Several times as fast as the secretstream of version 1 where the processor has
instructions for AES, and fifty times slower without: so an end offers, and
takes, version 2 only where it has them.

As there, a key seals one direction of one connection, once. What is different:

*The nonce is a counter.* 24 bytes that were derived beside the key, and the
number of the record, from zero. It is not on the wire, so a record that was
changed, repeated, dropped or moved meets another nonce and does not open. Two
records with one nonce would give both away: a number is taken by one operation,
before libsodium is called, and never comes back, whatever fails behind it. 2**64
records are more than a connection lives for, and AEGIS-256 asks for no new key
before.

*The end needs no tag.* A record is the final one if it is FINAL, one byte that
no other record is.
"""

from __future__ import annotations

import itertools
from functools import cache

from nacl import bindings
from nacl.exceptions import UnavailableError

from rdpeer.crypto import sealing
from rdpeer.errors import LocalProtocolError
from rdpeer.wire.records import RecordType, encode

OVERHEAD: int = bindings.crypto_aead_aegis256_ABYTES
"""Bytes that sealing adds: 32."""

_encrypt = bindings.crypto_aead_aegis256_encrypt
_decrypt = bindings.crypto_aead_aegis256_decrypt
_FINAL = encode(RecordType.FINAL)
_NUMBER_BYTES = 8


@cache
def is_fast() -> bool:
    """Whether the processor has instructions for AES: as it has where libsodium offers AES-256-GCM."""
    key = bytes(bindings.crypto_aead_aes256gcm_KEYBYTES)
    nonce = bytes(bindings.crypto_aead_aes256gcm_NPUBBYTES)
    try:
        bindings.crypto_aead_aes256gcm_encrypt(b"", None, nonce, key)  # the one call that says so
    except UnavailableError:
        return False
    return True


class Nonces:
    """``header`` (24 bytes) and a number, another one each time; OverflowError when there are no more."""

    __slots__ = ("_header", "_numbers")

    def __init__(self, header: bytes, first: int = 0) -> None:
        self._header = header
        self._numbers = itertools.count(first)

    def next(self) -> bytes:
        return self._header + next(self._numbers).to_bytes(_NUMBER_BYTES, "big")


class Sealer(sealing.Sealer):
    """``key`` has 32 bytes, ``header`` 24. ``final`` is FINAL and nothing else, or LocalProtocolError."""

    __slots__ = ("_key", "_nonces")

    def __init__(self, key: bytes, header: bytes) -> None:
        super().__init__()
        self._key = key
        self._nonces = Nonces(header)

    def _seal(self, plaintext: bytes, final: bool) -> bytes:
        if final != (plaintext == _FINAL):
            raise LocalProtocolError("FINAL, and nothing else, is the final record")
        return _encrypt(plaintext, None, self._nonces.next(), self._key)


class Opener(sealing.Opener):
    """``key`` has 32 bytes, ``header`` 24."""

    __slots__ = ("_key", "_nonces")

    overhead = OVERHEAD

    def __init__(self, key: bytes, header: bytes) -> None:
        super().__init__()
        self._key = key
        self._nonces = Nonces(header)

    def _open(self, sealed: bytes) -> tuple[bytes, bool]:
        plaintext = _decrypt(sealed, None, self._nonces.next(), self._key)
        return plaintext, plaintext == _FINAL
