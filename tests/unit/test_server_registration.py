"""Registration: stock's answers to the byte, the rules, the limits by a virtual clock, any bytes."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from rdpeer.server.limits import Limits
from rdpeer.server.registration import KEEP_ALIVE, REQUEST_PK, Registrations, Reply, Save
from rdpeer.server.registry import Registration, Registry, Source
from rdpeer.values import Endpoint
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire import stun

HOME: Source = ("10.77.0.9", 40000)
AWAY: Source = ("10.77.0.10", 40000)
PEER = "710300010"
PK = bytes(32)

# tests/vectors/stock-hbbs-1.1.17.jsonl
OK = bytes.fromhex("820100")
UUID_MISMATCH = bytes.fromhex("8201020802")
TOO_FREQUENT = bytes.fromhex("8201020804")
INVALID_ID = bytes.fromhex("8201020805")
NOT_SUPPORT = bytes.fromhex("8201020806")
SERVER_ERROR = bytes.fromhex("8201020807")


def machine(**limits: int) -> tuple[Registrations, Registry]:
    registry = Registry()
    return Registrations(registry, Limits(**limits)), registry  # type: ignore[arg-type]


def alive(peer_id: str = PEER, serial: int = 3) -> bytes:
    message = wire.RendezvousMessage(register_peer=wire.RegisterPeer(id=peer_id, serial=serial))
    return message.SerializeToString()


def register_pk(peer_id: str = PEER, uuid: bytes = b"uuid", pk: bytes = PK) -> bytes:
    message = wire.RendezvousMessage(register_pk=wire.RegisterPk(id=peer_id, uuid=uuid, pk=pk))
    return message.SerializeToString()


def ask(registrations: Registrations, datagram: bytes, now: float = 0.0, source: Source = HOME) -> Reply:
    """One datagram; what is to be saved is saved at once."""
    answer = registrations.receive(datagram, source, 0, now)
    return registrations.saved(answer, now) if isinstance(answer, Save) else answer


def test_a_peer_becomes_known_and_stays_online_by_its_keep_alives() -> None:
    registrations, registry = machine()
    assert ask(registrations, alive()) == REQUEST_PK == bytes.fromhex("3a021001")
    assert ask(registrations, register_pk()) == OK
    assert registry.online(PEER, 29.9)
    assert not registry.online(PEER, 30.0)
    assert ask(registrations, alive(), 31.0) == KEEP_ALIVE == bytes.fromhex("3a00")
    assert registry.online(PEER, 60.9)


def test_a_keep_alive_from_another_port_moves_the_peer_and_from_another_ip_does_not() -> None:
    registrations, registry = machine()
    ask(registrations, register_pk())
    assert ask(registrations, alive(), source=("10.77.0.9", 5)) == KEEP_ALIVE
    assert registry.get(PEER).source == ("10.77.0.9", 5)
    assert ask(registrations, alive(), source=AWAY) == REQUEST_PK
    assert registry.get(PEER).source == ("10.77.0.9", 5)


def test_an_id_belongs_to_the_uuid_that_registered_it_first() -> None:
    registrations, registry = machine()
    ask(registrations, register_pk())
    assert ask(registrations, register_pk(uuid=b"other")) == UUID_MISMATCH
    assert ask(registrations, register_pk(pk=bytes([1]) * 32)) == OK
    assert ask(registrations, register_pk(pk=bytes([1]) * 32), 7, AWAY) == OK
    assert ask(registrations, register_pk(pk=bytes([2]) * 32), 14, HOME) == UUID_MISMATCH
    assert registry.get(PEER).registration == Registration(PEER, b"uuid", bytes([1]) * 32, AWAY[0])


def test_ok_comes_only_when_it_is_saved() -> None:
    registrations, registry = machine()
    save = registrations.receive(register_pk(), HOME, 0, 0.0)
    assert isinstance(save, Save)
    assert registry.get(PEER) is None
    assert registrations.receive(register_pk(uuid=b"other"), AWAY, 0, 0.0) is None
    assert registrations.saved(save, 1.0) == OK
    assert ask(registrations, register_pk(uuid=b"other"), 1.0, AWAY) == UUID_MISMATCH


def test_what_could_not_be_saved_has_not_happened() -> None:
    registrations, registry = machine()
    save = registrations.receive(register_pk(), HOME, 0, 0.0)
    assert isinstance(save, Save)
    assert registrations.save_failed(save) == SERVER_ERROR
    assert not registry.all()
    assert ask(registrations, register_pk(uuid=b"other")) == OK


def test_what_stock_lets_in_and_should_not() -> None:
    registrations, registry = machine()
    assert ask(registrations, register_pk("12345")) == UUID_MISMATCH
    assert ask(registrations, register_pk("x" * 101)) == INVALID_ID
    assert ask(registrations, register_pk("12345\n6")) == INVALID_ID
    assert ask(registrations, register_pk("123 456")) == INVALID_ID
    assert ask(registrations, register_pk(pk=bytes(31))) == NOT_SUPPORT
    assert ask(registrations, register_pk(uuid=bytes(129))) == NOT_SUPPORT
    assert ask(registrations, register_pk(uuid=b"")) is None
    assert ask(registrations, register_pk(pk=b"")) is None
    assert not registry.all()


def test_three_for_one_id_in_a_row_then_six_seconds_of_rest() -> None:
    registrations, _ = machine()
    answers = [ask(registrations, register_pk(), now) for now in range(6)]
    assert answers == [OK] * 3 + [TOO_FREQUENT] * 3
    assert ask(registrations, register_pk(), 8.0) == TOO_FREQUENT
    assert ask(registrations, register_pk(), 8.1) == OK


def test_thirty_from_one_address_in_a_row() -> None:
    registrations, _ = machine()
    answers = [ask(registrations, register_pk(f"peer{n:03}")) for n in range(31)]
    assert answers == [OK] * 30 + [TOO_FREQUENT]
    assert ask(registrations, register_pk("another"), source=AWAY) == OK
    assert ask(registrations, register_pk("another2"), 60.1) == OK


def test_a_slash_64_is_one_address() -> None:
    registrations, _ = machine()
    sources: list[Source] = [(f"2001:db8::{n:x}", 5, 0, 0) for n in range(31)]
    answers = [ask(registrations, register_pk(f"peer{n:03}"), 0, source) for n, source in enumerate(sources)]
    assert answers == [OK] * 30 + [TOO_FREQUENT]


def test_three_hundred_new_ids_a_day_from_one_address() -> None:
    registrations, _ = machine()
    clock = [float(n // 30 * 61) for n in range(301)]
    answers = [ask(registrations, register_pk(f"peer{n:03}"), now) for n, now in enumerate(clock)]
    assert answers == [OK] * 300 + [TOO_FREQUENT]
    assert ask(registrations, register_pk("peer000"), 700.0) == OK
    assert ask(registrations, register_pk("peer301"), 24 * 3600.0) == OK


def test_full_tables_refuse_and_do_not_grow() -> None:
    registrations, registry = machine(peers=2, unsaved=1)
    first = registrations.receive(register_pk("peer001"), HOME, 0, 0.0)
    assert isinstance(first, Save)
    assert registrations.receive(register_pk("peer002"), HOME, 0, 0.0) is None
    registrations.saved(first, 0.0)
    assert ask(registrations, register_pk("peer002")) == OK
    assert ask(registrations, register_pk("peer003")) == SERVER_ERROR
    assert len(registry) == 2


def test_the_port_is_told_in_eight_bytes_and_stun_by_a_padded_request() -> None:
    registrations, _ = machine()
    answer = registrations.receive(bytes.fromhex("a20100"), HOME, 0, 0.0)
    assert isinstance(answer, bytes)
    assert len(answer) <= 8
    assert wire.RendezvousMessage.FromString(answer).test_nat_response.port == HOME[1]
    answer = registrations.receive(stun.encode_request(bytes(12)), HOME, 0, 0.0)
    assert isinstance(answer, bytes)
    assert stun.parse_answer(answer, bytes(12)) == Endpoint.of(HOME)


@given(st.text(max_size=140), st.integers(-(2**31), 2**31 - 1))
def test_the_hand_reads_what_the_schema_reads(peer_id: str, serial: int) -> None:
    registrations, registry = machine()
    registry.save(Registration(peer_id, b"uuid", PK, HOME[0]))
    assert ask(registrations, alive(peer_id, serial)) == KEEP_ALIVE


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda rest: b"\x32" + bytes([len(rest)]) + rest))
@example(b"\x52\x00")
@example(b"\xa2\x01\x00")
def test_no_datagram_raises_or_is_amplified(datagram: bytes) -> None:
    registrations, _ = machine()
    answer = ask(registrations, datagram)
    assert not isinstance(answer, bytes) or len(answer) <= max(len(datagram), 8)


@given(st.binary(max_size=20), st.binary(max_size=3))
def test_the_hand_never_reads_more_than_the_schema(peer_id: bytes, rest: bytes) -> None:
    body = b"\x0a" + bytes([len(peer_id)]) + peer_id + rest
    datagram = b"\x32" + bytes([len(body)]) + body
    registrations, _ = machine()
    answer = ask(registrations, datagram)
    try:
        wire.RendezvousMessage.FromString(datagram)
    except Exception:  # whatever the library says: it is not a message
        assert answer is None
