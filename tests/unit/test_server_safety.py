"""Who is served and who hears an answer: blocks, strangers, enrolment."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdpeer.errors import UsageError
from rdpeer.server.blocks import Blocks, meant, normal, read_list
from rdpeer.server.enrolment import Enrolment, Mode
from rdpeer.server.limits import Limits
from rdpeer.server.registration import KEEP_ALIVE, REQUEST_PK, Registrations, Save
from rdpeer.server.registry import Registration, Registry, neighbourhood
from rdpeer.server.strangers import ANSWERS_PER_SECOND, Strangers
from rdpeer.values import PublicKey
from rdpeer.wire import rendezvous_pb2 as wire

PEER = "710300010"
PK, OTHER_PK = bytes(32), bytes(range(32))
HOME = ("10.77.0.9", 40000)
OK = bytes.fromhex("820100")
NOT_DEPLOYED = bytes.fromhex("8201020808")


def alive(peer_id: str = PEER) -> bytes:
    return wire.RendezvousMessage(register_peer=wire.RegisterPeer(id=peer_id)).SerializeToString()


def register_pk(peer_id: str = PEER, pk: bytes = PK) -> bytes:
    request = wire.RegisterPk(id=peer_id, uuid=b"uuid", pk=pk)
    return wire.RendezvousMessage(register_pk=request).SerializeToString()


def ask(registrations: Registrations, datagram: bytes, now: float = 0.0) -> bytes | None:
    answer = registrations.receive(datagram, HOME, 0, now)
    return registrations.saved(answer, now) if isinstance(answer, Save) else answer


@pytest.mark.parametrize(
    ("entry", "blocked", "free"),
    [
        ("192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("192.0.2.7/24", "192.0.2.255", "192.0.3.0"),
        ("0.0.0.0/0", "8.8.8.8", "::1"),
        ("2001:db8::/32", "2001:db8:5::1", "2001:db9::"),
        ("2001:db8::1", "2001:db8::1", "2001:db8::2"),
        ("fe80::/10", "fe80::1%eth0", "::ffff:192.0.2.7"),
        ("fe80::1%eth0", "fe80::1%eth1", "fe80::2"),
        ("192.0.2.7", "::ffff:192.0.2.7", "::192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7", "192.0.2.8"),
        ("::ffff:192.0.2.7/120", "::ffff:192.0.2.255", "192.0.3.0"),
    ],
)
def test_addresses_and_networks(entry: str, blocked: str, free: str) -> None:
    blocks = Blocks([entry, "612345678"])
    assert (blocks.has_ip(blocked), blocks.has_ip(free)) == (True, False)


@pytest.mark.parametrize(
    ("entry", "listed"), [("fe80::1%\x1b[2J", "fe80::1"), ("fe80::%eth0/64", "fe80::/64"), ("::1", "::1")]
)
def test_entries_have_one_form_that_may_be_shown(entry: str, listed: str) -> None:
    assert normal(entry) == normal(listed) == listed


def test_what_was_asked_before_is_answered_by_the_list_of_now() -> None:
    blocks = Blocks(["192.0.2.7"])
    for listed in ("192.0.2.7", "192.0.2.8", "192.0.2.7"):
        blocks.set([listed])
        assert [ip for ip in ("192.0.2.7", "192.0.2.8") if blocks.has_ip(ip)] == [listed]


@pytest.mark.parametrize(
    "entry", ["10.77.0.0/33", "192.0.2.256", "2001:db8::/129", "fe80::1::2", "10.77.0.1:21116", "1.2.3.4.5"]
)
def test_what_looks_like_an_address_and_is_none_is_no_id_either(entry: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="looks like an address"):
        meant(entry)
    (tmp_path / "list").write_text(f"612345678\n{entry}\n")
    with pytest.raises(UsageError, match=r"list:2: .* looks like an address"):
        read_list(tmp_path / "list")


@pytest.mark.parametrize("entry", ["612345678", "face.cafe", "x:y/z1", "iMac_hac", "192.0.2.0/24"])
def test_what_does_not_look_like_one_may_be_meant(entry: str) -> None:
    assert meant(entry) == entry


def test_what_is_no_address_is_an_id() -> None:
    blocks = Blocks()
    assert not blocks.any
    blocks.set(["612345678", "10.0.0.1"])
    assert blocks.any
    assert blocks.has_id("612345678")
    assert not blocks.has_id("10.0.0.1")
    assert [normal(entry) for entry in ("10.1.2.3/8", "10.1.2.3/32", "2001:DB8::1", "iMac_hac")] == [
        "10.0.0.0/8",
        "10.1.2.3",
        "2001:db8::1",
        "iMac_hac",
    ]
    for entry in ("", "short", "with space"):
        with pytest.raises(ValueError, match="peer ID"):
            normal(entry)


def test_a_list_is_read_as_hbbr_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "blocklist.txt"
    assert read_list(path) == []
    path.write_text("192.0.2.7 annoying\n\n# a comment\n  \n10.0.0.0/8# all\n612345678\r\n")
    assert read_list(path) == ["192.0.2.7", "10.0.0.0/8", "612345678"]
    path.write_text("192.0.2.7\nno\n")
    with pytest.raises(UsageError, match=r"blocklist\.txt:2: 'no'"):
        read_list(path)


def test_who_is_blocked_hears_nothing_and_changes_nothing() -> None:
    registry, blocks = Registry(), Blocks()
    registrations = Registrations(registry, Limits(), blocks)
    assert ask(registrations, register_pk()) == OK
    for entry in ("10.77.0.0/16", PEER):
        blocks.set([entry])
        assert ask(registrations, alive(), 31.0) is None
        assert ask(registrations, register_pk(pk=OTHER_PK), 31.0) is None
        assert not registry.online(PEER, 31.0)
    blocks.set(["10.78.0.0/16", "another-id"])
    assert ask(registrations, alive(), 31.0) == KEEP_ALIVE


def test_strangers_hear_twenty_answers_a_second_and_neighbours_of_peers_all() -> None:
    registry = Registry()
    strangers = Strangers(registry, 100)
    heard = [strangers.may_hear(f"192.0.2.{n}", 0.5) for n in range(ANSWERS_PER_SECOND + 5)]
    assert heard == [True] * ANSWERS_PER_SECOND + [False] * 5
    assert strangers.may_hear("192.0.3.1", 0.5)
    assert not strangers.may_hear("192.0.2.1", 1.49)
    assert strangers.may_hear("192.0.2.1", 1.5)
    registry.save(Registration(PEER, b"u", PK, "192.0.2.99"))
    assert all(strangers.may_hear("192.0.2.1", 1.5) for _ in range(1000))
    registry.remove(PEER)
    assert not all(strangers.may_hear("192.0.2.1", 1.5) for _ in range(1000))


def test_a_flood_of_questions_is_not_answered_but_peers_are() -> None:
    registry = Registry([Registration("neighbour", b"u", PK, "198.51.100.1")])
    registrations = Registrations(registry, Limits())
    answers = [registrations.receive(alive(f"no-{n}"), HOME, 0, 0.0) for n in range(100)]
    assert [answer for answer in answers if answer] == [REQUEST_PK] * ANSWERS_PER_SECOND
    assert registrations.receive(alive("neighbour"), ("198.51.100.1", 1), 0, 0.0) == KEEP_ALIVE


@pytest.mark.parametrize(
    ("one", "other"),
    [("192.0.2.1", "192.0.2.255"), ("2001:db8::1", "2001:db8:0:ff::1"), ("fe80::1%lo", "fe80::2")],
)
def test_a_neighbourhood_is_a_24_or_a_56(one: str, other: str) -> None:
    assert neighbourhood(one) == neighbourhood(other)


def test_neighbourhoods_follow_their_peers() -> None:
    registry = Registry([Registration(PEER, b"u", PK, "192.0.2.1")])
    registry.save(Registration(PEER, b"u", PK, "2001:db8::1"))
    registry.save(Registration("other-1", b"u", PK, "2001:db8::2"))
    old, new = neighbourhood("192.0.2.1"), neighbourhood("2001:db8::1")
    assert (registry.is_inhabited(old), registry.is_inhabited(new)) == (False, True)
    assert registry.remove(PEER)
    assert not registry.remove(PEER)
    assert registry.is_inhabited(new)
    assert registry.remove("other-1")
    assert not registry.is_inhabited(new)


def test_newcomers_wait_for_approval_and_then_are_known() -> None:
    registry = Registry()
    enrolment = Enrolment(Mode.APPROVE, [], 2)
    registrations = Registrations(registry, Limits(), None, enrolment)
    assert ask(registrations, register_pk()) == NOT_DEPLOYED
    assert [waiting.id for waiting in enrolment.waiting] == [PEER]
    assert enrolment.take("nobody") is None
    approved = enrolment.take(PEER)
    assert approved == Registration(PEER, b"uuid", PK, HOME[0])
    registry.save(approved)
    assert ask(registrations, register_pk(), 10.0) == OK
    assert ask(registrations, register_pk(pk=OTHER_PK), 20.0) == NOT_DEPLOYED
    assert enrolment.waiting[0].pk == OTHER_PK


def test_of_those_who_wait_the_oldest_gives_way() -> None:
    enrolment = Enrolment(Mode.APPROVE, [], 2)
    for peer_id in ("first-1", "second", "first-1", "third-1"):
        assert not enrolment.admits(Registration(peer_id, b"u", PK, ""))
    assert [waiting.id for waiting in enrolment.waiting] == ["first-1", "third-1"]


def test_who_waits_first_is_who_is_approved() -> None:
    enrolment = Enrolment(Mode.APPROVE, [PublicKey(PK)], 2)
    first = Registration(PEER, b"u", OTHER_PK, "192.0.2.1")
    assert not enrolment.admits(first)
    assert not enrolment.admits(Registration(PEER, b"another", b"x" * 32, "192.0.2.2"))
    assert enrolment.waiting == [first]
    moved = Registration(PEER, b"u", OTHER_PK, "192.0.2.3")
    assert not enrolment.admits(moved)
    assert enrolment.waiting == [moved]
    assert enrolment.admits(Registration(PEER, b"its own", PK, "192.0.2.4"))
    assert enrolment.waiting == []


def test_a_listed_key_passes_and_a_closed_server_remembers_nobody() -> None:
    enrolment = Enrolment(Mode.CLOSED, [PublicKey(PK)], 2)
    registrations = Registrations(Registry(), Limits(), None, enrolment)
    assert ask(registrations, register_pk()) == OK
    assert ask(registrations, register_pk("another-1", OTHER_PK)) == NOT_DEPLOYED
    assert enrolment.waiting == []
    enrolment.set(Mode.OPEN, [])
    assert ask(registrations, register_pk("another-1", OTHER_PK)) == OK


def test_nobody_waits_for_the_id_of_another() -> None:
    registry = Registry([Registration(PEER, b"its own uuid", PK, HOME[0])])
    enrolment = Enrolment(Mode.APPROVE, [], 2)
    registrations = Registrations(registry, Limits(), None, enrolment)
    mismatch = bytes.fromhex("8201020802")
    assert ask(registrations, register_pk(pk=OTHER_PK)) == mismatch
    assert enrolment.waiting == []
