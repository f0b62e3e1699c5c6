"""What both versions of the channel hold of sealing: the end is the end.

libsodium goes on after a failed open and after a final record. We do not:
whatever is wrong is wrong for good. A stream that ends without FINAL was cut,
which is for the caller to notice.

A direction has one owner: a record must reach the wire in the order in which it
was sealed. Seal where you write, in one task of the event loop.
"""

from __future__ import annotations

from nacl.exceptions import CryptoError

from rdpeer.errors import LocalProtocolError, RemoteProtocolError


class Sealer:
    """Seals the records of one direction, in order."""

    __slots__ = ("_over",)

    def __init__(self) -> None:
        self._over = False

    def seal(self, plaintext: bytes, final: bool = False) -> bytes:
        """``plaintext`` sealed; LocalProtocolError after the ``final`` one."""
        if self._over:
            raise LocalProtocolError("nothing is sealed after the final record")
        sealed = self._seal(plaintext, final)
        self._over = final
        return sealed

    def _seal(self, plaintext: bytes, final: bool) -> bytes:
        raise NotImplementedError


class Opener:
    """Opens the records of one direction, in order."""

    __slots__ = ("_over",)

    overhead: int
    """Bytes that sealing adds."""

    def __init__(self) -> None:
        self._over = False

    def open(self, sealed: bytes) -> tuple[bytes, bool]:
        """The plaintext, and whether it is the final one.

        Raises RemoteProtocolError for good: after a record that does not open,
        and after the final one, every further call raises it too.
        """
        if self._over:
            raise RemoteProtocolError("a sealed record after the end of the channel")
        self._over = True
        if len(sealed) < self.overhead:
            raise RemoteProtocolError(f"{len(sealed)} bytes are too few for a sealed record")
        try:
            plaintext, final = self._open(sealed)
        except CryptoError:
            raise RemoteProtocolError(
                "a sealed record does not open: it was changed, repeated, dropped or moved on its way"
            ) from None
        self._over = final
        return plaintext, final

    def _open(self, sealed: bytes) -> tuple[bytes, bool]:
        """CryptoError where it does not open."""
        raise NotImplementedError
