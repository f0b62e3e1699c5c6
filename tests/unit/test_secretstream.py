from __future__ import annotations

import pytest
from nacl import bindings

from rdpeer.crypto.secretstream import HEADER_BYTES, KEY_BYTES, Opener, Sealer
from rdpeer.errors import RemoteProtocolError

KEY, HEADER = bytes(range(KEY_BYTES)), bytes(range(HEADER_BYTES))


def foreign(tag: int, plaintext: bytes = b"x") -> bytes:
    """A record that libsodium seals with any tag."""
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, HEADER, KEY)
    return bindings.crypto_secretstream_xchacha20poly1305_push(state, plaintext, None, tag)


def test_sealing_from_a_derived_header_interoperates_with_init_push() -> None:
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    header = bindings.crypto_secretstream_xchacha20poly1305_init_push(state, KEY)
    push = bindings.crypto_secretstream_xchacha20poly1305_push
    opener, sealer = Opener(KEY, header), Sealer(KEY, header)
    for record in (b"one", b"", b"three" * 1000):
        sealed = push(state, record)
        assert sealer.seal(record) == sealed
        assert opener.open(sealed) == (record, False)


def test_nothing_opens_after_the_final_record() -> None:
    sealer = bindings.crypto_secretstream_xchacha20poly1305_state()
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(sealer, HEADER, KEY)
    push = bindings.crypto_secretstream_xchacha20poly1305_push
    opener = Opener(KEY, HEADER)
    assert opener.open(push(sealer, b"last", None, 3)) == (b"last", True)
    with pytest.raises(RemoteProtocolError, match="after the end"):
        opener.open(push(sealer, b"more", None, 0))


@pytest.mark.parametrize("tag", [1, 2, 4, 255])
def test_another_tag_ends_the_channel(tag: int) -> None:
    opener = Opener(KEY, HEADER)
    with pytest.raises(RemoteProtocolError, match="unknown tag"):
        opener.open(foreign(tag))
    with pytest.raises(RemoteProtocolError, match="after the end"):
        opener.open(foreign(0))
