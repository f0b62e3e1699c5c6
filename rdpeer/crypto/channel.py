"""The channel's key schedule: what hangs on what (docs/CHANNEL.md 2 and 3).

There are two versions of the channel, which differ only in what seals the
records: XChaCha20-Poly1305 in version 1, fast on any processor; AEGIS-256 in
version 2, faster where there are instructions for AES. A version is a whole,
nothing in it is to be chosen. The responder signs those that it offers, and the
one chosen is part of T0: nobody in between has a say in it.

The transcript T0 is the two messages that open a connection, byte for byte as
they were on the wire; every key of the channel hangs on it. T1 adds the
responder's proof, T2 the initiator's. Whoever changes one bit of what they saw
ends with other keys, a signature over another transcript, or another
confirmation, and the two ends never meet.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Self

from rdpeer.crypto import aegis, secretstream
from rdpeer.crypto.sealing import Opener, Sealer
from rdpeer.values import PublicKey

OVERHEAD = max(secretstream.OVERHEAD, aegis.OVERHEAD)
"""Bytes that sealing adds to a record at most."""

_KEY_BYTES = secretstream.KEY_BYTES
_HEADER_BYTES = secretstream.HEADER_BYTES
_SEALED_BY: dict[int, tuple[Callable[[bytes, bytes], Sealer], Callable[[bytes, bytes], Opener]]] = {
    1: (secretstream.Sealer, secretstream.Opener),
    2: (aegis.Sealer, aegis.Opener),
}

_RESPONDER_PROOF = b"rdpeer channel 1 responder\0"
_INITIATOR_PROOF = b"rdpeer channel 1 initiator\0"


def versions() -> tuple[int, ...]:
    """The versions of the channel spoken here, rising: what the responder's mark says."""
    return tuple(_SEALED_BY) if aegis.is_fast() else (1,)


def digest(*parts: bytes, key: bytes = b"", person: bytes = b"", size: int = 32) -> bytes:
    """BLAKE2b over ``parts``, each behind its length (u32, big endian), so that none runs into the next."""
    state = blake2b(digest_size=size, key=key, person=person)
    for part in parts:
        state.update(len(part).to_bytes(4, "big"))
        state.update(part)
    return state.digest()


def opening_transcript(signed_id: bytes, public_key: bytes) -> bytes:
    """T0, of the payloads of the responder's and the initiator's opening message."""
    return digest(signed_id, public_key, person=b"rdpeer-channel-1")


def extend_transcript(transcript: bytes, record: bytes) -> bytes:
    """T1 or T2: ``transcript`` and the proof that follows it, as the whole record that was sealed."""
    return digest(transcript, record)


def responder_proof(t0: bytes, key: PublicKey, methods: bytes) -> bytes:
    """What the responder signs; ``methods`` is one byte each."""
    return _RESPONDER_PROOF + t0 + key.raw + methods


def initiator_proof(t1: bytes, key: PublicKey, method: int) -> bytes:
    """What the initiator signs."""
    return _INITIATOR_PROOF + t1 + key.raw + bytes((method,))


class SecureChannel:
    """Both directions, sealed. One task at an end seals, in the order of the wire; one opens."""

    __slots__ = ("exporter", "open", "seal")

    def __init__(
        self,
        sealer: Sealer,
        opener: Opener,
        exporter: bytes,
    ) -> None:
        self.seal = sealer.seal
        """``seal(record, final=False) -> payload``: see :meth:`Sealer.seal`."""
        self.open = opener.open
        """``open(payload) -> (record, final)``: see :meth:`Opener.open`."""
        self.exporter = exporter
        """A secret beside the keys of the directions, from which others are made (docs/CHANNEL.md 6.1)."""

    @classmethod
    def derive(cls, *, initiator: bool, shared: bytes, session_key: bytes, t0: bytes, version: int) -> Self:
        """The channel of one end, from the X25519 secret, the session key and T0."""
        secret = digest(t0, key=shared + session_key, size=64)
        i2r = _direction(secret, b"i2r")
        r2i = _direction(secret, b"r2i")
        ours, theirs = (i2r, r2i) if initiator else (r2i, i2r)
        sealer, opener = _SEALED_BY[version]
        return cls(sealer(*ours), opener(*theirs), digest(key=secret, person=b"exporter"))


def _direction(secret: bytes, name: bytes) -> tuple[bytes, bytes]:
    """Key and header of the direction ``name``."""
    return (
        digest(key=secret, person=name + b" key", size=_KEY_BYTES),
        digest(key=secret, person=name + b" head", size=_HEADER_BYTES),
    )
