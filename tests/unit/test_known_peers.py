"""rdpeer.store.known_peers: the rule (docs/CHANNEL.md 3) and its memory."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from rdpeer.errors import IdentityMismatch, UsageError
from rdpeer.store.known_peers import Kind, KnownPeers, Pin, Proof, Verdict, judge
from rdpeer.values import PeerId, PinPolicy, PublicKey, ServerAddress

KEY, OTHER_KEY = PublicKey(b"k" * 32), PublicKey(b"o" * 32)
SERVER, ELSEWHERE = ServerAddress("here"), ServerAddress("elsewhere", 5000)
SEEN = Pin(str(SERVER), PeerId("612345678"), KEY, Kind.RDPEER, Proof.SERVER, date(2026, 1, 31))
ACCEPT, ASK, STRICT = PinPolicy.ACCEPT_NEW, PinPolicy.ASK, PinPolicy.STRICT


def _pinned(**changes: object) -> Pin:
    return replace(SEEN, where="known_peers line 1", **changes)


# the rule


@pytest.mark.parametrize("policy", PinPolicy)
@pytest.mark.parametrize("proof", Proof)
def test_a_pinned_key_is_known_whatever_else_is(policy: PinPolicy, proof: Proof) -> None:
    judgement = judge(replace(SEEN, proof=proof), [_pinned()], policy)
    assert (judgement.verdict, judgement.warning) == (Verdict.KNOWN, None)


@pytest.mark.parametrize("policy", PinPolicy)
@pytest.mark.parametrize("proof", Proof)
def test_another_key_ends_it_whatever_proved_it(policy: PinPolicy, proof: Proof) -> None:
    with pytest.raises(IdentityMismatch) as caught:
        judge(replace(SEEN, key=OTHER_KEY, proof=proof), [_pinned()], policy)
    for shown in (KEY.fingerprint, OTHER_KEY.fingerprint, "known_peers line 1"):
        assert str(shown) in str(caught.value)
    assert "known_peers line 1" in str(caught.value.hint)


def test_a_contradiction_among_the_pins_ends_it_too() -> None:
    with pytest.raises(IdentityMismatch):
        judge(SEEN, [_pinned(), _pinned(key=OTHER_KEY)], ACCEPT)


def test_a_peer_pinned_as_rdpeer_does_not_become_a_stock_desktop() -> None:
    with pytest.raises(IdentityMismatch, match="now speaks the stock protocol"):
        judge(replace(SEEN, kind=Kind.STOCK), [_pinned()], ACCEPT)
    with pytest.raises(IdentityMismatch, match="now speaks the stock protocol"):
        judge(replace(SEEN, kind=Kind.STOCK), [_pinned(server=str(ELSEWHERE))], ACCEPT)
    assert judge(SEEN, [_pinned(kind=Kind.STOCK)], ACCEPT).verdict is Verdict.KNOWN


@pytest.mark.parametrize(
    ("policy", "proof", "verdict"),
    [
        (ACCEPT, Proof.SERVER, Verdict.INTRODUCE),
        (ACCEPT, Proof.CODE, Verdict.RECORD),
        (ACCEPT, Proof.PEER_KEY, Verdict.RECORD),
        (ASK, Proof.SERVER, Verdict.ASK),
        (ASK, Proof.PASSWORD, Verdict.RECORD),
        (ASK, Proof.PEER_KEY, Verdict.RECORD),
        (STRICT, Proof.PEER_KEY, Verdict.RECORD),
    ],
)
def test_a_first_contact(policy: PinPolicy, proof: Proof, verdict: Verdict) -> None:
    stranger = _pinned(peer=PeerId("698765432"), key=OTHER_KEY)
    judgement = judge(replace(SEEN, proof=proof), [stranger], policy)
    assert (judgement.verdict, judgement.warning) == (verdict, None)


@pytest.mark.parametrize("proof", [Proof.SERVER, Proof.CODE, Proof.PASSWORD])
def test_strict_has_no_first_contact_but_by_the_key_itself(proof: Proof) -> None:
    with pytest.raises(IdentityMismatch, match="pin = strict") as caught:
        judge(replace(SEEN, proof=proof), [], STRICT)
    assert f"--peer-key {KEY.fingerprint}" in str(caught.value.hint)


@pytest.mark.parametrize("policy", PinPolicy)
def test_the_same_key_at_another_server_is_recorded_silently(policy: PinPolicy) -> None:
    judgement = judge(SEEN, [_pinned(server=str(ELSEWHERE))], policy)
    assert (judgement.verdict, judgement.warning) == (Verdict.RECORD, None)


def test_another_key_there_is_a_first_contact_and_a_warning() -> None:
    judgement = judge(SEEN, [_pinned(server=str(ELSEWHERE), key=OTHER_KEY)], ACCEPT)
    assert judgement.verdict is Verdict.INTRODUCE
    for shown in (KEY.fingerprint, OTHER_KEY.fingerprint, ELSEWHERE, "known_peers line 1"):
        assert str(shown) in str(judgement.warning)


# the file


def test_what_was_added_is_found_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "config" / "known_peers"
    known = KnownPeers(path)
    assert known.pins() == []
    known.add(SEEN)
    second = replace(SEEN, server=str(ELSEWHERE), key=OTHER_KEY, kind=Kind.STOCK, proof=Proof.PASSWORD)
    known.add(second)
    assert known.find(SEEN.peer, SERVER) == replace(SEEN, where=f"{path} line 1")
    assert known.find(SEEN.peer, ELSEWHERE) == replace(second, where=f"{path} line 2")
    assert known.find(PeerId("698765432"), SERVER) is None
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_people_wrote_stays(tmp_path: Path) -> None:
    path = tmp_path / "known_peers"
    path.write_text("# mine\n\n# more")
    KnownPeers(path).add(SEEN)
    assert path.read_text() == f"# mine\n\n# more\n{SEEN.line}\n"
    assert KnownPeers(path).pins() == [replace(SEEN, where=f"{path} line 4")]


def test_nothing_is_added_twice(tmp_path: Path) -> None:
    known = KnownPeers(tmp_path / "known_peers")
    known.add(SEEN)
    known.add(replace(SEEN, proof=Proof.CODE))
    assert len(known.pins()) == 1


def test_another_key_is_not_added_beside_the_first(tmp_path: Path) -> None:
    known = KnownPeers(tmp_path / "known_peers")
    known.add(SEEN)
    with pytest.raises(IdentityMismatch):
        known.add(replace(SEEN, key=OTHER_KEY))
    assert len(known.pins()) == 1


@pytest.mark.parametrize("peer", ["#hash#", "Käthe!", "a@b/c:d"])
@pytest.mark.parametrize("server", ["here", "[2001:db8::1]:5000"])
def test_odd_ids_and_servers_survive(tmp_path: Path, peer: str, server: str) -> None:
    known = KnownPeers(tmp_path / "known_peers")
    address = ServerAddress.parse(server)
    pin = replace(SEEN, peer=PeerId(peer), server=str(address))
    known.add(pin)
    found = known.find(PeerId(peer), address)
    assert found
    assert found.line == pin.line


@pytest.mark.parametrize(
    "line",
    [
        "word",
        SEEN.line + " more",
        SEEN.line.replace("rdpeer", "other"),
        SEEN.line.replace(" server ", " nobody "),
        SEEN.line.replace("2026-01-31", "yesterday"),
        SEEN.line.replace(str(KEY), "AAAA"),
        SEEN.line.replace("612345678", "61"),
        SEEN.line.replace("here:21116", "here:x"),
    ],
)
def test_a_line_that_cannot_be_read_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "known_peers"
    path.write_text(f"{SEEN.line}\n{line}\n")
    with pytest.raises(UsageError, match=f"cannot read {path} line 2: "):
        KnownPeers(path).find(SEEN.peer, SERVER)
