from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings

from rdpeer.crypto.secretstream import HEADER_BYTES, KEY_BYTES, OVERHEAD, Opener, Sealer
from rdpeer.errors import LocalProtocolError, RemoteProtocolError

KEY, HEADER = bytes(range(KEY_BYTES)), bytes(range(HEADER_BYTES))


def pair() -> tuple[Sealer, Opener]:
    return Sealer(KEY, HEADER), Opener(KEY, HEADER)


def foreign(tag: int, plaintext: bytes = b"x") -> bytes:
    """A record that libsodium seals with any tag."""
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    bindings.crypto_secretstream_xchacha20poly1305_init_pull(state, HEADER, KEY)
    return bindings.crypto_secretstream_xchacha20poly1305_push(state, plaintext, None, tag)


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_what_is_sealed_opens_in_order(records: list[bytes]) -> None:
    sealer, opener = pair()
    for record in records:
        sealed = sealer.seal(record)
        assert len(sealed) == len(record) + OVERHEAD
        assert opener.open(sealed) == (record, False)
    assert opener.open(sealer.seal(b"", final=True)) == (b"", True)


def test_sealing_from_a_derived_header_interoperates_with_init_push() -> None:
    state = bindings.crypto_secretstream_xchacha20poly1305_state()
    header = bindings.crypto_secretstream_xchacha20poly1305_init_push(state, KEY)
    push = bindings.crypto_secretstream_xchacha20poly1305_push
    opener, sealer = Opener(KEY, header), Sealer(KEY, header)
    for record in (b"one", b"", b"three" * 1000):
        sealed = push(state, record)
        assert sealer.seal(record) == sealed
        assert opener.open(sealed) == (record, False)


def test_nothing_is_sealed_after_the_final_record() -> None:
    sealer, _ = pair()
    sealer.seal(b"", final=True)
    with pytest.raises(LocalProtocolError):
        sealer.seal(b"more")


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


@pytest.mark.parametrize("length", [0, 1, 16])
def test_a_record_under_seventeen_bytes_ends_the_channel(length: int) -> None:
    sealer, opener = pair()
    with pytest.raises(RemoteProtocolError, match="too few"):
        opener.open(bytes(length))
    with pytest.raises(RemoteProtocolError):
        opener.open(sealer.seal(b"good"))


@pytest.mark.parametrize("mischief", ["flip", "repeat", "skip", "swap", "cut", "extend"])
def test_one_failed_open_ends_the_channel_for_good(mischief: str) -> None:
    sealer, opener = pair()
    first, second, third = (sealer.seal(record) for record in (b"one", b"two", b"three"))
    opener.open(first)
    hostile = {
        "flip": second[:5] + bytes((second[5] ^ 1,)) + second[6:],
        "repeat": first,
        "skip": third,
        "swap": third,
        "cut": second[:-1],
        "extend": second + b"\0",
    }[mischief]
    with pytest.raises(RemoteProtocolError, match="does not open"):
        opener.open(hostile)
    with pytest.raises(RemoteProtocolError, match="after the end"):
        opener.open(second)


def test_other_key_and_other_header_do_not_open() -> None:
    sealed = Sealer(KEY, HEADER).seal(b"hello")
    for opener in (Opener(bytes(32), HEADER), Opener(KEY, bytes(24))):
        with pytest.raises(RemoteProtocolError):
            opener.open(sealed)
