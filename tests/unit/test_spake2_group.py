"""The libsodium group against the spake2 package's own, and the exchange built on it."""

from __future__ import annotations

import random

import pytest
from spake2 import SPAKE2_A, SPAKE2_B
from spake2.ed25519_basic import bytes_to_unknown_group_element
from spake2.ed25519_group import Ed25519Group
from spake2.parameters.ed25519 import ParamsEd25519

from rdpeer.crypto.keys import Random
from rdpeer.crypto.secret_exchange import SHARE_BYTES, SecretExchange
from rdpeer.crypto.spake2_group import ORDER, PARAMS, SodiumGroup
from rdpeer.errors import AuthenticationFailed
from rdpeer.values import PublicKey

GROUP = SodiumGroup()
KEYS = (PublicKey(b"i" * 32), PublicKey(b"r" * 32))
T2 = bytes(range(32))

IDENTITY = b"\x01" + bytes(31)
ORDER_2 = bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")
ORDER_4 = bytes(32)
ORDER_8 = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
NOT_ON_CURVE = b"\x02" + bytes(31)
NOT_CANONICAL = b"\xff" * 32
OUTSIDE_SUBGROUP = Ed25519Group.Base.add(bytes_to_unknown_group_element(ORDER_2)).to_bytes()


def entropy(seed: int) -> Random:
    return random.Random(seed).randbytes


def begin(
    initiator: bool, secret: bytes = b"secret", seed: int | None = None, t2: bytes = T2
) -> SecretExchange:
    source = {} if seed is None else {"random": entropy(seed)}
    return SecretExchange.begin(initiator=initiator, secret=secret, keys=KEYS, t2=t2, **source)


def test_blinding_points_are_the_packages() -> None:
    for name in ("M", "N", "S"):
        assert getattr(PARAMS, name).to_bytes() == getattr(ParamsEd25519, name).to_bytes()


def test_scalars_and_products_are_the_packages() -> None:
    assert GROUP.order() == Ed25519Group.order() == ORDER
    assert GROUP.random_scalar(entropy(1)) == Ed25519Group.random_scalar(entropy(1))
    assert GROUP.password_to_scalar(b"pw") == Ed25519Group.password_to_scalar(b"pw")
    theirs = Ed25519Group.Base
    for scalar in (1, 2, 7, ORDER - 1, ORDER + 5, -3, GROUP.random_scalar(entropy(2))):
        assert GROUP.Base.scalarmult(scalar).to_bytes() == theirs.scalarmult(scalar).to_bytes()
    total = GROUP.Base.scalarmult(3).add(GROUP.Base.scalarmult(4))
    assert total.to_bytes() == theirs.scalarmult(7).to_bytes()


@pytest.mark.parametrize("seed", range(4))
def test_interoperates_with_the_packages_group_both_ways(seed: int) -> None:
    for ours, theirs in ((SPAKE2_A, SPAKE2_B), (SPAKE2_B, SPAKE2_A)):
        sodium = ours(b"pw", idA=b"a", idB=b"b", params=PARAMS, entropy_f=entropy(seed))
        pure = theirs(b"pw", idA=b"a", idB=b"b", entropy_f=entropy(seed + 100))
        twin = ours(b"pw", idA=b"a", idB=b"b", entropy_f=entropy(seed))
        share = sodium.start()
        assert share == twin.start()
        assert sodium.finish(pure.start()) == pure.finish(share)


@pytest.mark.parametrize(
    "point",
    [IDENTITY, ORDER_2, ORDER_4, ORDER_8, NOT_ON_CURVE, NOT_CANONICAL, OUTSIDE_SUBGROUP, b"", b"x" * 31],
    ids=["identity", "order 2", "order 4", "order 8", "curve", "canonical", "subgroup", "empty", "short"],
)
def test_hostile_points_are_refused(point: bytes) -> None:
    with pytest.raises(ValueError, match="not a point"):
        GROUP.bytes_to_element(point)
    with pytest.raises(AuthenticationFailed):
        begin(True).finish(b"B" + point)
    with pytest.raises(AuthenticationFailed):
        begin(False).finish(b"A" + point)


def test_the_product_with_the_identity_is_refused() -> None:
    """A share that takes exactly our own blinding back would make the key independent of us."""
    unblinding = PARAMS.N.scalarmult(GROUP.password_to_scalar(b"secret"))
    with pytest.raises(AuthenticationFailed):
        begin(True).finish(b"B" + unblinding.to_bytes())


@pytest.mark.parametrize("side", [b"A", b"S", b"C", b"\0"])
def test_a_share_of_the_wrong_side_is_refused(side: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        begin(True).finish(side + begin(False).share[1:])


def test_our_own_share_reflected_is_refused() -> None:
    exchange = begin(True)
    for reflected in (exchange.share, b"B" + exchange.share[1:]):
        with pytest.raises(AuthenticationFailed):
            exchange.finish(reflected)


@pytest.mark.parametrize("length", [0, 1, SHARE_BYTES - 1, SHARE_BYTES + 1])
def test_a_share_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(AuthenticationFailed, match="bytes"):
        begin(True).finish((begin(False).share * 2)[:length])


def test_the_same_secret_confirms_both_ways() -> None:
    a, b = begin(True), begin(False)
    assert len(a.share) == SHARE_BYTES
    confirm_a, confirm_b = a.finish(b.share), b.finish(a.share)
    assert a.verify(confirm_b)
    assert b.verify(confirm_a)
    assert not a.verify(confirm_a), "a reflected confirmation is not the other end's"


def test_nothing_verifies_before_the_share_came() -> None:
    assert not begin(True).verify(b"")


def test_another_secret_does_not_confirm() -> None:
    a, b = begin(True), begin(False, b"another")
    confirm_a, confirm_b = a.finish(b.share), b.finish(a.share)
    assert not a.verify(confirm_b)
    assert not b.verify(confirm_a)


def test_another_transcript_does_not_confirm() -> None:
    a, b = begin(True), begin(False, t2=bytes(32))
    confirm_a, confirm_b = a.finish(b.share), b.finish(a.share)
    assert not a.verify(confirm_b)
    assert not b.verify(confirm_a)


def test_randomness_is_injectable() -> None:
    assert begin(True, seed=7).share == begin(True, seed=7).share != begin(True, seed=8).share
