from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.crypto.keys import ExchangeKey, IdentityKey, open_signed, verify
from rdpeer.errors import RemoteProtocolError
from rdpeer.values import PublicKey

ALICE = IdentityKey.from_seed(bytes(range(32)))
BOB = IdentityKey.from_seed(bytes(32))

LOW_ORDER = [
    bytes(32),
    b"\x01" + bytes(31),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    bytes.fromhex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
    bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]


def test_rfc8032_key_and_signature() -> None:
    key = IdentityKey.from_seed(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    )
    assert key.public.raw.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert key.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b"
    )


def test_sign_and_open() -> None:
    blob = ALICE.sign_combined(b"hello")
    assert blob == ALICE.sign(b"hello") + b"hello"
    assert open_signed(ALICE.public, blob) == b"hello"
    assert open_signed(BOB.public, blob) is None
    assert verify(ALICE.public, b"hello", blob[:64])
    assert not verify(ALICE.public, b"hello!", blob[:64])
    assert not verify(ALICE.public, b"ello", blob[:64] + b"h")


@given(st.binary(max_size=200))
def test_hostile_signatures_are_refused(blob: bytes) -> None:
    assert open_signed(ALICE.public, blob) is None
    assert not verify(ALICE.public, b"hello", blob)


def test_a_public_key_of_small_order_signs_nothing() -> None:
    identity_point = b"\x01" + bytes(31)
    assert open_signed(PublicKey(identity_point), identity_point + bytes(32) + b"any") is None


def test_the_seed_is_not_shown() -> None:
    assert ALICE.seed.hex() not in repr(ALICE)
    assert repr(ALICE.seed) not in repr(ALICE)
    assert "secret" not in repr(ExchangeKey(bytes(range(32))))


def test_generate_uses_the_randomness_given() -> None:
    assert IdentityKey.generate(lambda n: bytes(range(n))) == ALICE
    assert IdentityKey.generate() != IdentityKey.generate()
    assert ExchangeKey.generate().public != ExchangeKey.generate().public


@pytest.mark.parametrize("length", [0, 31, 33])
def test_wrong_lengths(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        IdentityKey.from_seed(bytes(length))
    with pytest.raises(ValueError, match="32 bytes"):
        ExchangeKey(bytes(length))
    with pytest.raises(RemoteProtocolError):
        ExchangeKey.generate().shared(bytes(length))


def test_exchange_agrees() -> None:
    a, b = ExchangeKey.generate(), ExchangeKey.generate()
    assert a.shared(b.public) == b.shared(a.public)
    sealed = a.seal_session_key(b"k" * 32, b.public)
    assert len(sealed) == 48
    assert b.open_session_key(sealed, a.public) == b"k" * 32


@pytest.mark.parametrize("point", LOW_ORDER, ids=lambda p: p.hex()[:8])
def test_points_of_small_order_are_refused(point: bytes) -> None:
    key = ExchangeKey.generate()
    for use in (
        lambda: key.shared(point),
        lambda: key.seal_session_key(bytes(32), point),
        lambda: key.open_session_key(bytes(48), point),
    ):
        with pytest.raises(RemoteProtocolError, match="small order"):
            use()


@given(st.binary(max_size=64))
def test_hostile_sealed_session_keys_are_refused(sealed: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        ExchangeKey(b"1" * 32).open_session_key(sealed, ExchangeKey(b"2" * 32).public)
