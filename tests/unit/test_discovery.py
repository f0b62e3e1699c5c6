"""Discovery: pings and pongs as bytes, and what is made of hostile ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.net.interfaces import Interface, address_towards, hardware_address_towards, interfaces
from rdpeer.net.lan import own_card
from rdpeer.protocol.discovery import MOST_FOUND, Answerer, Card, Census, ping
from rdpeer.values import PeerId
from rdpeer.wire import rendezvous_pb2 as pb

CARD = Card(PeerId("612345678"), "box", "ada", "Linux", "rdpeer")
MAC = "02:00:00:00:00:01"


def message(**fields: str) -> bytes:
    return pb.RendezvousMessage(peer_discovery=pb.PeerDiscovery(**fields)).SerializeToString()


def pong(**fields: str) -> bytes:
    return message(**{"cmd": "pong", "id": "612345678", **fields})


def census(*answers: tuple[bytes, str]) -> list[tuple[str, str]]:
    census = Census()
    for datagram, ip in answers:
        census.hear(datagram, ip)
    return [(str(found.card.peer), found.ip) for found in census.found]


def test_the_ping_is_that_of_stock() -> None:
    assert ping() == bytes.fromhex("b20106") + b"\n\x04ping"


def test_the_pong_has_every_field() -> None:
    answer = Answerer(CARD).pong(MAC)
    assert pb.RendezvousMessage.FromString(answer).peer_discovery == pb.PeerDiscovery(
        cmd="pong",
        mac=MAC,
        id="612345678",
        username="ada",
        hostname="box",
        platform="Linux",
        misc="rdpeer",
    )
    heard = Census()
    heard.hear(answer, "192.0.2.7")
    (found,) = heard.found
    assert (found.card, found.ip, found.mac) == (CARD, "192.0.2.7", MAC)


def test_a_ping_is_answered_unless_it_is_our_own() -> None:
    answerer = Answerer(CARD)
    assert answerer.is_asked(ping(), 0.0)
    assert answerer.is_asked(message(cmd="ping", id="733221100"), 0.0)
    assert not answerer.is_asked(message(cmd="ping", id="612345678"), 0.0)
    assert not answerer.is_asked(pong(id="733221100"), 0.0)


def test_a_flood_of_pings_is_answered_at_a_rate() -> None:
    answerer = Answerer(CARD)
    assert sum(answerer.is_asked(ping(), 0.0) for _ in range(1000)) == 20
    assert sum(answerer.is_asked(ping(), 1.0) for _ in range(1000)) == 5


@given(st.binary(max_size=200))
def test_any_bytes_are_taken(datagram: bytes) -> None:
    assert census((datagram, "192.0.2.7")) == []
    Answerer(CARD).is_asked(datagram, 0.0)


@pytest.mark.parametrize("peer", ["", "short", "has a space", "line\nfeed", "x" * 101])
def test_an_answer_without_an_id_is_none(peer: str) -> None:
    assert census((pong(id=peer), "192.0.2.7")) == []


def test_text_is_fit_for_a_terminal_and_short() -> None:
    heard = Census()
    heard.hear(pong(hostname="\x1b[2J\tbox", username="\u202eadmin", mac="x" * 1000), "192.0.2.7")
    (found,) = heard.found
    assert found.card.hostname == "?[2J?box"
    assert found.card.username == "?admin"
    assert len(found.mac) == 67


def test_answers_are_told_once_in_the_order_of_addresses() -> None:
    ten, nine = (pong(id="peer-ten"), "192.0.2.10"), (pong(id="peer-nine"), "192.0.2.9")
    assert census(ten, nine, ten) == [("peer-nine", "192.0.2.9"), ("peer-ten", "192.0.2.10")]


def test_two_machines_with_one_id_are_two() -> None:
    assert len(census((pong(), "192.0.2.9"), (pong(), "192.0.2.10"))) == 2


def test_loopback_counts_only_where_there_is_nothing_else() -> None:
    here, also = (pong(), "127.0.0.1"), (pong(), "192.0.2.9")
    assert census(here) == [("612345678", "127.0.0.1")]
    assert census(here, also) == [("612345678", "192.0.2.9")]


def test_a_flood_of_answers_is_bounded() -> None:
    assert len(census(*((pong(id=f"peer-{number}"), "192.0.2.9") for number in range(2000)))) == MOST_FOUND


# What this machine says


def test_our_card_names_this_machine() -> None:
    card = own_card(CARD.peer)
    assert card.peer == CARD.peer
    assert card.hostname
    assert card.platform
    assert card.misc == "rdpeer"


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)
    assert own_card(CARD.peer).username == ""


@pytest.mark.skipif(not Path("/sys/class/net").exists(), reason="hardware addresses are known on Linux")
def test_interfaces_are_those_of_the_kernel() -> None:
    assert Interface("127.0.0.1", "", 8) in interfaces()
    known = {path.read_text().strip() for path in Path("/sys/class/net").glob("*/address")}
    assert {interface.mac for interface in interfaces()} <= known | {""}


def test_the_address_towards_loopback_is_loopback() -> None:
    assert address_towards("127.0.0.1") == "127.0.0.1"
    assert hardware_address_towards("127.0.0.1") == ""
    assert address_towards("255.255.255.255") is None  # needs SO_BROADCAST
