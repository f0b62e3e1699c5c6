"""Sealing one direction of the channel, version 2: libsodium's AEGIS-256 (docs/CHANNEL.md 2).

Four times as fast as the secretstream of version 1 where the processor has
instructions for AES, and without them far slower: so an end offers, and takes,
version 2 only where it has them.

What was said of version 1 (:mod:`rdpeer.crypto.secretstream`) holds here, too:
a key seals one direction of one connection, once; a direction has one owner;
the end is the end. What is different:

*The nonce is a counter.* 24 bytes that were derived beside the key, and the
number of the record, from zero. It is not on the wire, so a record that was
changed, repeated, dropped or moved meets another nonce and does not open. It is
taken before libsodium is called, since cffi releases the GIL there: even two
threads at one Sealer would never use one twice. 2**64 records are more than a
connection lives for, and AEGIS-256 asks for no new key before.

*The end needs no tag.* A record is the final one if it is FINAL, one byte that
no other record is.
"""

from __future__ import annotations

from functools import cache

from nacl import bindings
from nacl.exceptions import CryptoError, UnavailableError

from rdpeer.crypto.secretstream import after_the_end, does_not_open, too_short
from rdpeer.errors import LocalProtocolError
from rdpeer.wire.records import RecordType, encode

OVERHEAD: int = bindings.crypto_aead_aegis256_ABYTES
"""Bytes that sealing adds: 32."""

_encrypt = bindings.crypto_aead_aegis256_encrypt
_decrypt = bindings.crypto_aead_aegis256_decrypt
_FINAL = encode(RecordType.FINAL)
_COUNTER_BYTES = 8


@cache
def is_fast() -> bool:
    """Whether the processor has instructions for AES, as libsodium finds them."""
    key, nonce = (
        bytes(bindings.crypto_aead_aes256gcm_KEYBYTES),
        bytes(bindings.crypto_aead_aes256gcm_NPUBBYTES),
    )
    try:
        bindings.crypto_aead_aes256gcm_encrypt(b"", None, nonce, key)  # the one call that says so
    except UnavailableError:
        return False
    return True


class _Nonces:
    """``header`` (24 bytes) and the number of the record, as ``next`` is called for each."""

    __slots__ = ("_count", "_header")

    def __init__(self, header: bytes) -> None:
        self._header = header
        self._count = -1

    def next(self) -> bytes:
        self._count += 1
        return self._header + self._count.to_bytes(_COUNTER_BYTES, "big")


class Sealer:
    """Seals the records of one direction, in order. ``key`` has 32 bytes, ``header`` 24."""

    __slots__ = ("_key", "_nonces")

    def __init__(self, key: bytes, header: bytes) -> None:
        self._key: bytes | None = key
        self._nonces = _Nonces(header)

    def seal(self, plaintext: bytes, final: bool = False) -> bytes:
        """``plaintext`` sealed, OVERHEAD bytes longer; ``final`` with FINAL and nothing else.

        LocalProtocolError otherwise, and for whatever comes after that.
        """
        if self._key is None:
            raise LocalProtocolError("nothing is sealed after the final record")
        if final != (plaintext == _FINAL):
            raise LocalProtocolError("FINAL, and nothing else, is the final record")
        sealed = _encrypt(plaintext, None, self._nonces.next(), self._key)
        if final:
            self._key = None
        return sealed


class Opener:
    """Opens the records of one direction, in order. ``key`` has 32 bytes, ``header`` 24."""

    __slots__ = ("_key", "_nonces")

    def __init__(self, key: bytes, header: bytes) -> None:
        self._key: bytes | None = key
        self._nonces = _Nonces(header)

    def open(self, sealed: bytes) -> tuple[bytes, bool]:
        """The plaintext, and whether it is the final one.

        Raises RemoteProtocolError for good: after a record that does not open,
        and after the final one, every further call raises it too.
        """
        key, self._key = self._key, None
        if key is None:
            raise after_the_end()
        if len(sealed) < OVERHEAD:
            raise too_short(sealed)
        try:
            plaintext = _decrypt(sealed, None, self._nonces.next(), key)
        except CryptoError:
            raise does_not_open() from None
        final = plaintext == _FINAL
        if not final:
            self._key = key
        return plaintext, final
