"""Sealing one direction of the channel, version 1: libsodium's secretstream (docs/CHANNEL.md 2).

Three things keep this safe, and none of them is enforced by libsodium:

*A key seals one direction of one connection, once.* Both ends make their state
with ``init_pull(state, header, key)``, the sealing one too: it does the same as
``init_push`` but takes the header instead of drawing it, so no header travels
and test vectors are possible. ``init_push`` draws a random header because the
same key under the same header gives the same keystream. Here the header is
derived beside the key, so the key alone must never come back: it hangs on two
fresh X25519 keys, a fresh session key and the transcript, drawn anew for each
connection and each racing path. Never store a key, never make two Sealers of
one.

*A direction has one owner.* A record must reach the wire in the order in which
it was sealed, and two calls must never overlap: cffi releases the GIL in a
push, and two threads that push on one state seal two records with one
keystream. Seal where you write, in one task of the event loop.

*The end is the end.* libsodium goes on after the FINAL tag, takes any tag byte,
and leaves the state usable after a failed open. We do not: tags are MESSAGE and
FINAL, and whatever is wrong is wrong for good. A stream that ends without FINAL
was cut, which is for the caller to notice.
"""

from __future__ import annotations

from nacl import bindings
from nacl.exceptions import CryptoError

from rdpeer.errors import LocalProtocolError, RemoteProtocolError

KEY_BYTES: int = bindings.crypto_secretstream_xchacha20poly1305_KEYBYTES
HEADER_BYTES: int = bindings.crypto_secretstream_xchacha20poly1305_HEADERBYTES
OVERHEAD: int = bindings.crypto_secretstream_xchacha20poly1305_ABYTES
"""Bytes that sealing adds: 17."""

_State = bindings.crypto_secretstream_xchacha20poly1305_state
_init = bindings.crypto_secretstream_xchacha20poly1305_init_pull
_push = bindings.crypto_secretstream_xchacha20poly1305_push
_pull = bindings.crypto_secretstream_xchacha20poly1305_pull
_MESSAGE: int = bindings.crypto_secretstream_xchacha20poly1305_TAG_MESSAGE
_FINAL: int = bindings.crypto_secretstream_xchacha20poly1305_TAG_FINAL


class Sealer:
    """Seals the records of one direction, in order. ``key`` has 32 bytes, ``header`` 24."""

    __slots__ = ("_state",)

    def __init__(self, key: bytes, header: bytes) -> None:
        self._state: _State | None = _state(key, header)

    def seal(self, plaintext: bytes, final: bool = False) -> bytes:
        """``plaintext`` sealed, OVERHEAD bytes longer; LocalProtocolError after the ``final`` one."""
        if self._state is None:
            raise LocalProtocolError("nothing is sealed after the final record")
        sealed = _push(self._state, plaintext, None, _FINAL if final else _MESSAGE)
        if final:
            self._state = None
        return sealed


class Opener:
    """Opens the records of one direction, in order. ``key`` has 32 bytes, ``header`` 24."""

    __slots__ = ("_state",)

    def __init__(self, key: bytes, header: bytes) -> None:
        self._state: _State | None = _state(key, header)

    def open(self, sealed: bytes) -> tuple[bytes, bool]:
        """The plaintext, and whether it is the final one.

        Raises RemoteProtocolError for good: after a record that does not open,
        and after the final one, every further call raises it too.
        """
        state, self._state = self._state, None
        if state is None:
            raise after_the_end()
        if len(sealed) < OVERHEAD:
            raise too_short(sealed)
        try:
            plaintext, tag = _pull(state, sealed)
        except CryptoError:
            raise does_not_open() from None
        if tag == _MESSAGE:
            self._state = state
        elif tag != _FINAL:
            raise RemoteProtocolError(f"a sealed record with the unknown tag {tag}")
        return plaintext, tag == _FINAL


def after_the_end() -> RemoteProtocolError:
    return RemoteProtocolError("a sealed record after the end of the channel")


def too_short(sealed: bytes) -> RemoteProtocolError:
    return RemoteProtocolError(f"{len(sealed)} bytes are too few for a sealed record")


def does_not_open() -> RemoteProtocolError:
    return RemoteProtocolError(
        "a sealed record does not open: it was changed, repeated, dropped or moved on its way"
    )


def _state(key: bytes, header: bytes) -> _State:
    state = _State()
    _init(state, header, key)
    return state
