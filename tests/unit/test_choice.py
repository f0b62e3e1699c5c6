from __future__ import annotations

import itertools

import pytest

from rdpeer.errors import AuthenticationFailed, IdentityMismatch, RdpeerError
from rdpeer.protocol.choice import SecretNeeded, choose_method
from rdpeer.protocol.gate import Method

KEY, CODE, PASSWORD, OPEN = Method.KEY, Method.CODE, Method.PASSWORD, Method.OPEN


@pytest.mark.parametrize(
    ("offered", "given", "key_proven", "server_signed", "chosen"),
    [
        ({KEY}, (), False, True, KEY),
        ({OPEN}, (), False, True, OPEN),
        ({KEY, OPEN}, (), False, True, OPEN),
        ({KEY, CODE, PASSWORD}, (), False, True, KEY),
        ({CODE}, {CODE}, False, True, CODE),
        ({CODE}, {CODE}, False, False, CODE),
        ({KEY, OPEN, PASSWORD}, {PASSWORD}, False, True, PASSWORD),
        ({CODE, PASSWORD}, {CODE, PASSWORD}, False, False, CODE),
        ({CODE, PASSWORD}, {PASSWORD}, False, False, PASSWORD),
        # a secret was given, but the key is pinned: it may go without
        ({KEY}, {CODE}, True, False, KEY),
        ({OPEN}, {PASSWORD}, True, True, OPEN),
        ({KEY}, (), True, False, KEY),
    ],
)
def test_chosen(
    offered: set[Method], given: set[Method], key_proven: bool, server_signed: bool, chosen: Method
) -> None:
    assert choose_method(offered, given=given, key_proven=key_proven, server_signed=server_signed) is chosen


@pytest.mark.parametrize("offered", [{OPEN}, {KEY}, {KEY, OPEN}])
@pytest.mark.parametrize("server_signed", [True, False])
def test_a_given_secret_is_insisted_on(offered: set[Method], server_signed: bool) -> None:
    with pytest.raises(AuthenticationFailed, match="does not ask for the password") as caught:
        choose_method(offered, given={PASSWORD}, key_proven=False, server_signed=server_signed)
    assert not isinstance(caught.value, SecretNeeded)


def test_a_secret_of_the_other_kind() -> None:
    with pytest.raises(AuthenticationFailed, match="asks for its one-time code, but a password was given"):
        choose_method({CODE, KEY}, given={PASSWORD}, key_proven=False, server_signed=True)


@pytest.mark.parametrize(("offered", "methods"), [({CODE}, (CODE,)), ({CODE, PASSWORD}, (CODE, PASSWORD))])
def test_without_a_secret_a_person_is_asked_first(offered: set[Method], methods: tuple[Method, ...]) -> None:
    with pytest.raises(SecretNeeded) as caught:
        choose_method(offered, key_proven=False, server_signed=True)
    assert caught.value.methods == methods
    assert caught.value.hint
    assert "terminal" in caught.value.hint


def test_a_refused_key_leads_to_the_secret() -> None:
    with pytest.raises(SecretNeeded):
        choose_method({KEY, PASSWORD}, key_proven=True, server_signed=True, refused={KEY})
    with pytest.raises(AuthenticationFailed, match="does not let us in"):
        choose_method({KEY}, key_proven=True, server_signed=True, refused={KEY})


def test_nothing_offered() -> None:
    with pytest.raises(AuthenticationFailed, match="lets nobody in"):
        choose_method((), key_proven=True, server_signed=True)


@pytest.mark.parametrize("offered", [{KEY}, {OPEN}, {KEY, OPEN}])
def test_without_any_proof_of_the_peer_only_the_exchange_will_do(offered: set[Method]) -> None:
    with pytest.raises(IdentityMismatch, match="signs no keys"):
        choose_method(offered, key_proven=False, server_signed=False)
    with pytest.raises(SecretNeeded):
        choose_method(offered | {CODE}, key_proven=False, server_signed=False)


def test_the_rules_hold_for_every_case() -> None:
    subsets = [set(c) for n in range(5) for c in itertools.combinations(Method, n)]
    for offered, given, refused in itertools.product(
        subsets, [set(), {CODE}, {PASSWORD}, {CODE, PASSWORD}], subsets
    ):
        for pinned, signed in itertools.product((True, False), repeat=2):
            try:
                chosen = choose_method(
                    offered, given=given, key_proven=pinned, server_signed=signed, refused=refused
                )
            except RdpeerError:
                continue
            assert chosen in offered - refused
            if chosen.needs_secret:
                assert chosen in given
            else:
                assert pinned or (signed and not given)
