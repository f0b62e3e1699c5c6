"""Sealing one direction of the channel, version 1: libsodium's secretstream (docs/CHANNEL.md 2).

Two things keep this safe, and neither of them is enforced by libsodium:

*A key seals one direction of one connection, once.* Both ends make their state
with ``init_pull(state, header, key)``, the sealing one too: it does the same as
``init_push`` but takes the header instead of drawing it, so no header travels
and test vectors are possible. ``init_push`` draws a random header because the
same key under the same header gives the same keystream. Here the header is
derived beside the key, so the key alone must never come back: it hangs on two
fresh X25519 keys, a fresh session key and the transcript, drawn anew for each
connection and each racing path. Never store a key, never make two Sealers of
one.

*Two calls never overlap.* cffi releases the GIL in a push, and two threads that
push on one state seal two records with one keystream.

libsodium takes any tag byte; we take MESSAGE and FINAL.
"""

from __future__ import annotations

from nacl import bindings

from rdpeer.crypto import sealing
from rdpeer.errors import RemoteProtocolError

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


class Sealer(sealing.Sealer):
    """``key`` has 32 bytes, ``header`` 24."""

    __slots__ = ("_state",)

    def __init__(self, key: bytes, header: bytes) -> None:
        super().__init__()
        self._state = _state(key, header)

    def _seal(self, plaintext: bytes, final: bool) -> bytes:
        return _push(self._state, plaintext, None, _FINAL if final else _MESSAGE)


class Opener(sealing.Opener):
    """``key`` has 32 bytes, ``header`` 24."""

    __slots__ = ("_state",)

    overhead = OVERHEAD

    def __init__(self, key: bytes, header: bytes) -> None:
        super().__init__()
        self._state = _state(key, header)

    def _open(self, sealed: bytes) -> tuple[bytes, bool]:
        plaintext, tag = _pull(self._state, sealed)
        if tag not in (_MESSAGE, _FINAL):
            raise RemoteProtocolError(f"a sealed record with the unknown tag {tag}")
        return plaintext, tag == _FINAL


def _state(key: bytes, header: bytes) -> _State:
    state = _State()
    _init(state, header, key)
    return state
