from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.crypto.identities import IdPk, open_id_pk, peek_id_pk, sign_id_pk
from rdpeer.crypto.keys import IdentityKey
from rdpeer.errors import IdentityMismatch, RemoteProtocolError
from rdpeer.values import PeerId

KEY = IdentityKey.from_seed(bytes(range(32)))
OTHER = IdentityKey.from_seed(bytes(32))
PEER = PeerId("612345678")


def test_signed_and_opened() -> None:
    blob = sign_id_pk(KEY, PEER, b"p" * 32, versions=[1])
    assert open_id_pk(KEY.public, blob) == IdPk("612345678", b"p" * 32, (1,))
    assert peek_id_pk(blob) == ("612345678", b"p" * 32, (1,))


def test_without_versions_it_is_what_a_stock_server_signs() -> None:
    blob = sign_id_pk(KEY, PEER, b"p" * 32)
    assert blob[64:] == b"\x0a\x09612345678\x12\x20" + b"p" * 32


def test_signed_by_another_key() -> None:
    blob = sign_id_pk(OTHER, PEER, b"p" * 32)
    with pytest.raises(IdentityMismatch, match="not signed by the server's key"):
        open_id_pk(KEY.public, blob, "the server's key")


def test_a_flipped_bit_anywhere_is_refused() -> None:
    blob = sign_id_pk(KEY, PEER, b"p" * 32, versions=[1])
    for at in range(len(blob)):
        flipped = blob[:at] + bytes((blob[at] ^ 1,)) + blob[at + 1 :]
        with pytest.raises(IdentityMismatch):
            open_id_pk(KEY.public, flipped)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_signed_key_of_another_length(length: int) -> None:
    with pytest.raises(RemoteProtocolError, match="32 bytes"):
        open_id_pk(KEY.public, sign_id_pk(KEY, PEER, bytes(length)))


@given(st.binary(max_size=120))
def test_whatever_is_signed_is_read_or_refused(body: bytes) -> None:
    try:
        identity = open_id_pk(KEY.public, KEY.sign_combined(body))
    except RemoteProtocolError:
        return
    assert len(identity.pk) == 32


@given(st.binary(max_size=120))
def test_hostile_blobs(blob: bytes) -> None:
    with pytest.raises(IdentityMismatch):
        open_id_pk(KEY.public, blob)
    with contextlib.suppress(RemoteProtocolError):
        peek_id_pk(blob)
