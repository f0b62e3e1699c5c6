"""rdpeer.store.confirmed: what a server has confirmed, for each of its keys and each ID."""

from __future__ import annotations

from pathlib import Path

from rdpeer.store.confirmed import Confirmed
from rdpeer.values import PeerId, PublicKey

PEER, KEY = PeerId("612345678"), PublicKey(b"k" * 32)


def test_remembers_by_server_key_id_and_key(tmp_path: Path) -> None:
    Confirmed(tmp_path / "state" / "confirmed").add("server key", PEER, KEY)
    confirmed = Confirmed(tmp_path / "state" / "confirmed")
    assert confirmed.holds("server key", PEER, KEY)
    assert not confirmed.holds("", PEER, KEY)
    assert not confirmed.holds("server key", PeerId("698765432"), KEY)
    assert not confirmed.holds("server key", PEER, PublicKey(b"o" * 32))


def test_forgets_what_is_asked_for_again(tmp_path: Path) -> None:
    confirmed = Confirmed(tmp_path / "confirmed")
    confirmed.add("a", PEER, KEY)
    confirmed.add("b", PEER, KEY)
    confirmed.discard("a", PEER, KEY)
    confirmed.discard("a", PEER, KEY)
    assert not confirmed.holds("a", PEER, KEY)
    assert confirmed.holds("b", PEER, KEY)


def test_nothing_known_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "confirmed"
    confirmed = Confirmed(path)
    confirmed.discard("a", PEER, KEY)
    assert not path.exists()
    confirmed.add("a", PEER, KEY)
    before = path.stat().st_ino
    confirmed.add("a", PEER, KEY)
    assert path.stat().st_ino == before


def test_the_server_key_is_not_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "confirmed"
    Confirmed(path).add("hunter2", PEER, KEY)
    assert "hunter2" not in path.read_text()


def test_the_oldest_go(tmp_path: Path) -> None:
    path = tmp_path / "confirmed"
    confirmed = Confirmed(path)
    confirmed.add("first", PEER, KEY)
    path.write_text(path.read_text() + "".join(f"{n:064} 612345678 x\n" for n in range(255)))
    assert confirmed.holds("first", PEER, KEY)
    confirmed.add("last", PEER, KEY)
    assert not confirmed.holds("first", PEER, KEY)
    assert confirmed.holds("last", PEER, KEY)
    assert len(path.read_text().splitlines()) == 256
