"""Public keys, and what is shown of them."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A raw Ed25519 public key: 32 bytes, written as base64."""

    raw: bytes

    def __post_init__(self) -> None:
        if len(self.raw) != 32:
            raise ValueError("an Ed25519 public key has 32 bytes")

    @classmethod
    def parse(cls, text: str) -> Self:
        """From base64 with or without padding."""
        text = text.strip().rstrip("=")
        try:
            return cls(base64.b64decode(text + "=" * (-len(text) % 4), validate=True))
        except (binascii.Error, ValueError):
            raise ValueError("not an Ed25519 public key (base64 of 32 bytes)") from None

    @property
    def text(self) -> str:
        return base64.b64encode(self.raw).decode()

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint(hashlib.sha256(self.raw).digest())

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """SHA-256 of a raw public key, written as ssh does: ``SHA256:`` and unpadded base64."""

    digest: bytes

    def __post_init__(self) -> None:
        if len(self.digest) != 32:
            raise ValueError("a fingerprint has 32 bytes")

    @classmethod
    def parse(cls, text: str) -> Self:
        """From ``SHA256:...``, whole: a shortened fingerprint is refused."""
        name, _, value = text.strip().partition(":")
        try:
            if name != "SHA256":
                raise ValueError
            return cls(base64.b64decode(value + "=" * (-len(value) % 4), validate=True))
        except (binascii.Error, ValueError):
            raise ValueError("not a fingerprint (SHA256: and 43 characters of base64)") from None

    def __str__(self) -> str:
        return "SHA256:" + base64.b64encode(self.digest).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class ServerKey:
    """A rendezvous server's key as it is configured: what is presented to it, and what it signs with.

    Usually base64 of an Ed25519 key. A server may also be started with any text
    (``hbbs -k TEXT``): then ``public`` is None, and it signs no peer's key
    (docs/PROTOCOL.md 3.1, 9.7).
    """

    text: str

    @property
    def public(self) -> PublicKey | None:
        try:
            key = PublicKey.parse(self.text)
        except ValueError:
            return None
        return key

    @property
    def label(self) -> str:
        """What may be shown of it: its fingerprint, or that it is a text (which works as a password)."""
        return str(self.public.fingerprint) if self.public else "a text key"

    def __str__(self) -> str:
        return self.text
