"""What is known of a peer before it has said anything, and what is remembered afterwards."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from rdpeer.crypto.keys import IdentityKey
from rdpeer.errors import IdentityMismatch, UsageError
from rdpeer.peer.trust import Trust, expected_key
from rdpeer.protocol.gate import Method
from rdpeer.protocol.handshake import ExpectedKey
from rdpeer.store.known_peers import Kind, KnownPeers, Pin, Proof, Verdict
from rdpeer.values import PeerId, PinPolicy, PublicKey, ServerAddress

PEER = PeerId("612345678")
SERVER = ServerAddress("hbbs.example.org")
ALICE = IdentityKey.from_seed(b"a" * 32).public
BOB = IdentityKey.from_seed(b"b" * 32).public


@pytest.fixture
def known(tmp_path: Path) -> KnownPeers:
    return KnownPeers(tmp_path / "known_peers")


def trust(
    known: KnownPeers, policy: PinPolicy = PinPolicy.ACCEPT_NEW, peer_key: ExpectedKey | None = None
) -> Trust:
    return Trust(known, policy, PEER, SERVER, peer_key)


def pinned(known: KnownPeers, key: PublicKey = BOB, kind: Kind = Kind.RDPEER) -> KnownPeers:
    known.add(Pin(str(SERVER), PEER, key, kind, Proof.SERVER, date(2026, 1, 31)))
    return known


def test_a_peer_key_is_a_whole_fingerprint_or_the_key() -> None:
    assert expected_key(f" {BOB.fingerprint}\n") == ExpectedKey("--peer-key", fingerprint=BOB.fingerprint)
    assert expected_key(BOB.text) == ExpectedKey("--peer-key", key=BOB)


@pytest.mark.parametrize("text", ["", "SHA256:", str(BOB.fingerprint)[:-1], BOB.text[:-4], "MD5:aa:bb"])
def test_what_is_no_peer_key(text: str) -> None:
    with pytest.raises(ValueError, match="not a"):
        expected_key(text)


def test_all_that_vouch_for_the_key_are_expected(known: KnownPeers) -> None:
    by_user = expected_key(BOB.text)
    keys = trust(pinned(known), peer_key=by_user).expected(BOB)
    assert [key.key for key in keys] == [BOB] * 3
    assert [key.source.split(" line ")[0][:11] for key in keys] == ["--peer-key", "the pin in ", "the server"]
    assert "line 1" in keys[1].source
    assert trust(KnownPeers(Path("/nowhere/known_peers"))).expected(None) == []


def test_contradictions_are_left_to_the_handshake(known: KnownPeers) -> None:
    assert [key.key for key in trust(pinned(known)).expected(ALICE)] == [BOB, ALICE]


def test_the_key_is_proven_by_a_pin_or_a_peer_key(known: KnownPeers) -> None:
    assert not trust(known).key_proven
    assert trust(known, peer_key=expected_key(BOB.text)).key_proven
    assert trust(pinned(known)).key_proven


def test_what_a_peer_is_spoken_to_as(known: KnownPeers) -> None:
    """The user's word is for the first time, and never makes less of a peer than its pin says."""
    assert trust(known).kind is Kind.RDPEER
    told = Trust(known, PinPolicy.ACCEPT_NEW, PEER, SERVER, stock=True)
    assert told.kind is Kind.STOCK
    pin, _ = told.judge(BOB, None)
    assert (pin.kind, pin.proof) == (Kind.STOCK, Proof.SERVER)
    told.remember(pin)
    assert trust(known).kind is Kind.STOCK


def test_a_pinned_rdpeer_is_no_desktop_whatever_the_user_says(known: KnownPeers) -> None:
    told = Trust(pinned(known), PinPolicy.ACCEPT_NEW, PEER, SERVER, stock=True)
    assert told.kind is Kind.RDPEER


def test_a_pin_that_cannot_be_read_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "known_peers"
    path.write_text(f"{SERVER} {PEER} broken\n")
    path.chmod(0o600)
    with pytest.raises(UsageError, match="line 1"):
        trust(KnownPeers(path))


@pytest.mark.parametrize(
    ("method", "proof"),
    [
        (Method.OPEN, Proof.SERVER),
        (Method.KEY, Proof.SERVER),
        (Method.CODE, Proof.CODE),
        (Method.PASSWORD, Proof.PASSWORD),
    ],
)
def test_what_the_method_proves(known: KnownPeers, method: Method, proof: Proof) -> None:
    assert trust(known).judge(BOB, method)[0].proof is proof
    assert trust(known, peer_key=expected_key(BOB.text)).judge(BOB, method)[0].proof is Proof.PEER_KEY


def test_an_approved_key_is_recorded_and_no_other(known: KnownPeers) -> None:
    ours = trust(known, PinPolicy.ASK)
    assert ours.judge(BOB, Method.OPEN)[1].verdict is Verdict.ASK
    ours.approve(BOB)
    assert ours.judge(BOB, Method.OPEN)[1].verdict is Verdict.RECORD
    assert ours.judge(ALICE, Method.OPEN)[1].verdict is Verdict.ASK


def test_judging_writes_nothing_and_remembering_does(known: KnownPeers) -> None:
    pin, _ = trust(known).judge(BOB, Method.OPEN)
    assert known.pins() == []
    trust(known).remember(pin)
    assert known.find(PEER, SERVER) is not None
    assert trust(known).judge(BOB, Method.OPEN)[1].verdict is Verdict.KNOWN
    with pytest.raises(IdentityMismatch, match="has changed"):
        trust(known).judge(ALICE, Method.OPEN)
