"""The group of SPAKE2: the package's Ed25519 group, computed by libsodium.

The ``spake2`` package brings its own group in pure Python: slow (10 ms an
exchange) and not constant-time. This one has the same points, encodings and
scalars, so the two interoperate byte for byte; tests hold them together. It is
stricter with what the other end sends: a point that is not canonical, not of
the prime-order subgroup, or of small order is refused, and so is a product that
is the identity.

Importing this module imports ``spake2``, which takes some 60 ms: import it only
where a secret is used.
"""

from __future__ import annotations

from nacl.bindings import (
    crypto_core_ed25519_add,
    crypto_core_ed25519_BYTES,
    crypto_core_ed25519_is_valid_point,
    crypto_core_ed25519_SCALARBYTES,
    crypto_scalarmult_ed25519_noclamp,
)
from spake2.ed25519_group import Ed25519Group
from spake2.params import _Params

from rdpeer.crypto.keys import Random

ORDER: int = Ed25519Group.order()


class Element:
    """A point of the prime-order subgroup, in its canonical encoding."""

    __slots__ = ("_point",)

    def __init__(self, point: bytes) -> None:
        self._point = point

    def add(self, other: Element) -> Element:
        return Element(crypto_core_ed25519_add(self._point, other._point))

    def scalarmult(self, scalar: int) -> Element:
        """``scalar`` may be negative; libsodium raises where the product is the identity."""
        reduced = (scalar % ORDER).to_bytes(crypto_core_ed25519_SCALARBYTES, "little")
        return Element(crypto_scalarmult_ed25519_noclamp(reduced, self._point))

    def to_bytes(self) -> bytes:
        return self._point


class SodiumGroup:
    """What ``spake2`` asks of a group; scalars are integers, as the package's are."""

    scalar_size_bytes = crypto_core_ed25519_SCALARBYTES
    element_size_bytes = crypto_core_ed25519_BYTES
    Base = Element(Ed25519Group.Base.to_bytes())

    def order(self) -> int:
        return ORDER

    def random_scalar(self, entropy: Random) -> int:
        scalar: int = Ed25519Group.random_scalar(entropy)
        return scalar

    def password_to_scalar(self, password: bytes) -> int:
        scalar: int = Ed25519Group.password_to_scalar(password)
        return scalar

    def arbitrary_element(self, seed: bytes) -> Element:
        """A point whose logarithm nobody knows; made of public seeds only, so pure Python may make it."""
        return Element(Ed25519Group.arbitrary_element(seed).to_bytes())

    def bytes_to_element(self, encoded: bytes) -> Element:
        if len(encoded) != self.element_size_bytes or not crypto_core_ed25519_is_valid_point(encoded):
            raise ValueError("not a point of the group")
        return Element(encoded)


PARAMS = _Params(SodiumGroup())
"""For ``params=`` of SPAKE2_A and SPAKE2_B."""
