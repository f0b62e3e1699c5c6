"""Registrations that prove possession, at the server: what they win, and what stolen parts of them do not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.crypto.keys import IdentityKey
from rdpeer.crypto.possession import COOKIE_BYTES, Claim
from rdpeer.server.enrolment import Enrolment, Mode
from rdpeer.server.keys import Keys, Previous
from rdpeer.server.limits import Limits
from rdpeer.server.proofs import BUCKET, Proofs
from rdpeer.server.registration import KEEP_ALIVE, REQUEST_PK, Registrations, Save
from rdpeer.server.registry import Line, Registration, Registry, Source
from rdpeer.wire import rendezvous_pb2 as wire

SERVER, NEW_SERVER = IdentityKey.from_seed(b"\x01" * 32), IdentityKey.from_seed(b"\x02" * 32)
OWNER, OTHER = IdentityKey.from_seed(b"\x03" * 32), IdentityKey.from_seed(b"\x04" * 32)
HOME: Source = ("10.77.0.9", 40000)
NEXT_DOOR: Source = ("10.77.0.9", 40001)
AWAY: Source = ("192.0.2.10", 40000)
LINE = Line("10.77.0.9", 50000, 7)
PEER = "612345678"
OK, MISMATCH, FREQUENT = (
    wire.RegisterPkResponse.OK,
    wire.RegisterPkResponse.UUID_MISMATCH,
    wire.RegisterPkResponse.TOO_FREQUENT,
)


class Table:
    """A server, by a virtual clock."""

    def __init__(self, *known: Registration, keys: Keys | None = None, mode: Mode = Mode.OPEN) -> None:
        self.now = 1000.0
        self.registry = Registry(known)
        self.enrolment = Enrolment(mode, (), 10)
        proofs = Proofs(keys or Keys(SERVER), 100)
        self.registrations = Registrations(self.registry, Limits(), None, self.enrolment, None, proofs)

    def say(self, message: wire.RendezvousMessage, source: Source) -> wire.RendezvousMessage | None:
        if isinstance(source, Line):
            answer = self.registrations.receive_over(source, message, self.now)
        else:
            datagram = message.SerializeToString()
            reply = self.registrations.receive(datagram, source, 0, self.now)
            assert not isinstance(reply, wire.PunchHoleSent)
            assert not isinstance(reply, bytes) or len(reply) <= max(len(datagram), 8)
            answer = reply
        if isinstance(answer, Save):
            answer = self.registrations.saved(answer, self.now)
        return None if answer is None else wire.RendezvousMessage.FromString(answer)

    def here(self, source: Source = HOME, padding: int = COOKIE_BYTES) -> wire.RegisterPeerResponse:
        request = wire.RegisterPeer(id=PEER, padding=bytes(padding))
        answer = self.say(wire.RendezvousMessage(register_peer=request), source)
        assert answer is not None
        return answer.register_peer_response

    def register(self, request: wire.RegisterPk, source: Source = HOME) -> wire.RegisterPkResponse | None:
        answer = self.say(wire.RendezvousMessage(register_pk=request), source)
        return None if answer is None else answer.register_pk_response

    def prove(self, source: Source = HOME, key: IdentityKey = OWNER) -> wire.RegisterPkResponse | None:
        return self.register(signed(self.here(source).cookie, key), source)

    @property
    def registration(self) -> Registration:
        return self.registry.get(PEER).registration


def unsigned(key: IdentityKey = OWNER, uuid: bytes = b"uuid") -> wire.RegisterPk:
    return wire.RegisterPk(id=PEER, uuid=uuid, pk=key.public.raw)


def signed(
    cookie: bytes,
    key: IdentityKey = OWNER,
    *,
    server: IdentityKey = SERVER,
    uuid: bytes = b"uuid",
    previous: IdentityKey | None = None,
) -> wire.RegisterPk:
    request = unsigned(key, uuid)
    claim = Claim(server.public, PEER, uuid, key.public.raw, cookie)
    request.cookie, request.signature = cookie, claim.sign(key)
    if previous:
        request.previous_signature = claim.sign(previous)
    return request


def proven(key: IdentityKey = OWNER) -> Registration:
    return Registration(PEER, b"uuid", key.public.raw, str(HOME[0]), proven=True)


def result(answer: wire.RegisterPkResponse | None) -> tuple[int, bool]:
    assert answer is not None
    return answer.result, answer.unproven


def test_a_newcomer_is_asked_for_a_proof_and_then_left_in_peace() -> None:
    table = Table()
    answer = table.here()
    assert answer.request_pk
    assert len(answer.cookie) == COOKIE_BYTES
    assert result(table.register(signed(answer.cookie))) == (OK, False)
    assert table.registration == proven()
    assert table.here() == wire.RegisterPeerResponse()


def test_a_known_id_of_stock_s_kind_becomes_a_proven_one() -> None:
    table = Table(proven()._replace(proven=False))
    answer = table.here()
    assert not answer.request_pk
    assert result(table.register(signed(answer.cookie))) == (OK, False)
    assert table.registration == proven()


def test_who_does_not_ask_for_a_cookie_gets_stock_s_answers() -> None:
    table = Table(proven()._replace(proven=False))
    assert table.here(padding=0) == wire.RegisterPeerResponse()
    assert table.here(AWAY, padding=0) == wire.RegisterPeerResponse(request_pk=True)
    assert result(table.register(unsigned(), AWAY)) == (OK, False)
    assert not table.registration.proven


@pytest.mark.parametrize("padding", range(1, COOKIE_BYTES))
def test_no_answer_is_longer_than_its_question(padding: int) -> None:
    assert len(Table().here(padding=padding).cookie) in (0, COOKIE_BYTES)


def test_another_port_changes_nothing_without_a_proof() -> None:
    table = Table()
    table.prove()
    for source in (NEXT_DOOR, AWAY):
        assert table.here(source, padding=0) == wire.RegisterPeerResponse(request_pk=True)
        assert table.here(source).cookie
        assert result(table.register(unsigned(), source)) == (MISMATCH, True)
        assert table.registry.get(PEER).source == HOME
        assert table.registration.ip == HOME[0]
    assert result(table.prove(AWAY)) == (OK, False)
    assert table.registry.get(PEER).source == AWAY
    assert table.registration.ip == AWAY[0]


def test_after_a_restart_the_old_address_is_not_enough() -> None:
    table = Table(proven())
    assert table.here().request_pk
    assert not table.registry.online(PEER, table.now)
    table.prove()
    assert table.registry.online(PEER, table.now)


def test_a_cookie_is_for_one_source() -> None:
    table = Table()
    cookie = table.here(HOME).cookie
    for source in (NEXT_DOOR, AWAY, LINE):
        assert table.register(signed(cookie), source) is None
    assert not table.registry.all()


def test_a_cookie_is_old_after_a_minute_at_most() -> None:
    table = Table()
    cookie = table.here().cookie
    table.now += BUCKET
    assert result(table.register(signed(cookie))) == (OK, False)
    table.now += BUCKET
    assert table.register(signed(cookie)) is None


@given(st.binary(max_size=40))
def test_a_cookie_cannot_be_made_up(cookie: bytes) -> None:
    table = Table()
    assert table.register(signed(cookie)) is None
    assert not table.registry.all()


def test_a_cookie_of_before_the_restart_is_worth_nothing() -> None:
    assert Table().register(signed(Table().here().cookie)) is None


def test_a_repeated_proof_moves_nobody() -> None:
    table = Table()
    overheard = signed(table.here().cookie)
    table.register(overheard)
    table.prove(AWAY)
    assert table.register(overheard, NEXT_DOOR) is None
    table.now += 2 * BUCKET
    assert table.register(overheard, HOME) is None
    assert table.registry.get(PEER).source == AWAY


def test_a_proof_for_another_server_is_none() -> None:
    table = Table(proven())
    request = signed(table.here().cookie, server=NEW_SERVER)
    assert result(table.register(request)) == (MISMATCH, True)
    assert not table.registry.online(PEER, table.now)


def test_a_stolen_uuid_with_another_key_wins_nothing() -> None:
    table = Table()
    table.prove()
    before = table.registration
    assert result(table.register(unsigned(OTHER))) == (MISMATCH, True)
    assert result(table.prove(NEXT_DOOR, OTHER)) == (MISMATCH, False)
    forged = signed(table.here(NEXT_DOOR).cookie, OTHER, previous=OTHER)
    assert result(table.register(forged, NEXT_DOOR)) == (MISMATCH, False)
    borrowed = signed(table.here(AWAY).cookie, OTHER)
    borrowed.pk = OWNER.public.raw
    assert result(table.register(borrowed, AWAY)) == (MISMATCH, True)
    assert table.registration == before


def test_the_key_changes_by_the_word_of_the_old_one() -> None:
    table = Table()
    table.prove()
    request = signed(table.here(AWAY).cookie, OTHER, previous=OWNER)
    assert result(table.register(request, AWAY)) == (OK, False)
    assert table.registration == proven(OTHER)._replace(ip=AWAY[0])
    assert result(table.register(signed(table.here().cookie, OWNER))) == (MISMATCH, False)


def test_another_uuid_is_another_installation_even_with_the_key() -> None:
    table = Table(proven())
    request = signed(table.here().cookie, uuid=b"another")
    assert result(table.register(request)) == (MISMATCH, False)


def test_the_operator_can_free_it() -> None:
    table = Table(proven())
    assert table.registry.remove(PEER)
    assert result(table.register(unsigned(OTHER))) == (OK, False)


def test_both_keys_of_the_server_count_while_it_rotates() -> None:
    today = 1000.0
    keys = Keys(NEW_SERVER, Previous(SERVER, 2000.0), lambda: today)
    table = Table(proven(), keys=keys)
    for server in (SERVER, NEW_SERVER):
        assert result(table.register(signed(table.here(AWAY).cookie, server=server), AWAY)) == (OK, False)
        table.registry.get(PEER).forget()
    today = 2000.0
    request = signed(table.here(NEXT_DOOR).cookie)
    assert result(table.register(request, NEXT_DOOR)) == (MISMATCH, True)


def test_strangers_cannot_use_up_the_owner_s_turns() -> None:
    table = Table(proven())
    for _ in range(20):
        assert result(table.register(unsigned(OTHER), AWAY)) == (MISMATCH, True)
    for port in range(20):
        assert result(table.prove(("10.77.0.9", port))) == (OK, False)


def test_forged_sources_cannot_use_up_the_owner_s_turns() -> None:
    table = Table(proven())
    answers = [result(table.register(unsigned(OTHER)))[0] for _ in range(40)]
    assert answers == [MISMATCH] * 30 + [FREQUENT] * 10
    assert result(table.prove()) == (OK, False)


def test_nobody_makes_us_verify_without_end() -> None:
    table = Table(proven())
    wrong = signed(table.here().cookie, server=NEW_SERVER)
    answers = [result(table.register(wrong))[0] for _ in range(302)]
    assert answers[-1] == FREQUENT
    table.now += 10.1
    assert result(table.prove()) == (OK, False)


def test_on_a_line_the_cookie_comes_with_the_answer() -> None:
    table = Table()
    first = table.register(unsigned(), LINE)
    assert first is not None
    assert (first.result, len(first.cookie), first.keep_alive) == (OK, COOKIE_BYTES, 20)
    second = table.register(signed(first.cookie), LINE)
    assert second == wire.RegisterPkResponse(keep_alive=20)
    assert table.registration == proven()
    again = Line(LINE.ip, LINE.port, LINE.connection + 1)
    refused = table.register(unsigned(), again)
    assert result(refused) == (MISMATCH, True)
    assert table.registry.get(PEER).source == LINE
    assert table.register(signed(first.cookie), again) is None
    assert refused is not None
    assert result(table.register(signed(refused.cookie), again)) == (OK, False)
    assert table.registry.get(PEER).source == again


def test_who_has_proven_his_key_keeps_his_place_in_the_queue() -> None:
    table = Table(mode=Mode.APPROVE)
    deployed = wire.RegisterPkResponse.NOT_DEPLOYED
    assert result(table.prove()) == (deployed, False)
    assert result(table.register(unsigned(OTHER), AWAY)) == (deployed, False)
    assert result(table.prove(AWAY, OTHER)) == (deployed, False)
    assert result(table.register(unsigned())) == (deployed, False)
    assert table.enrolment.waiting == [proven()]


def test_the_fast_path_answers_with_its_constants() -> None:
    table = Table()
    usual = wire.RendezvousMessage(register_peer=wire.RegisterPeer(id=PEER)).SerializeToString()
    assert table.registrations.receive(usual, HOME, 0, table.now) is REQUEST_PK
    table.prove()
    assert table.registrations.receive(usual, HOME, 0, table.now) is KEEP_ALIVE
    assert table.registrations.receive(usual, NEXT_DOOR, 0, table.now) is REQUEST_PK
