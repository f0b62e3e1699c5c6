"""Brokering: stock's answers to the byte, answers bound to their questions, no amplifier, any bytes."""

from __future__ import annotations

import itertools
import json
import logging
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.crypto.identities import open_id_pk
from rdpeer.crypto.keys import IdentityKey
from rdpeer.server.broker import Broker
from rdpeer.server.commands import Caller, Close, Command, Notify, Send
from rdpeer.server.forwards import Forwards
from rdpeer.server.keys import Keys, Previous
from rdpeer.server.limits import MAX_FORWARD, Limits
from rdpeer.server.questions import Questions
from rdpeer.server.registry import Registration, Registry, Source
from rdpeer.server.relays import Relays
from rdpeer.values import Endpoint, ServerAddress
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.endpoints import mangle, unmangle

VECTORS = {
    entry["name"]: [bytes.fromhex(text) for text in entry["hex"]]
    for line in (Path(__file__).parents[1] / "vectors/stock-hbbs-1.1.17.jsonl").read_text().splitlines()
    if "name" in (entry := json.loads(line))
}

KEY = IdentityKey.from_seed(bytes(32))
PEER, OTHER = "710300010", "710300011"
PK = bytes(range(32))
HOME: Source = ("10.77.0.9", 40000)

ASKER = Caller(1, Endpoint("10.77.0.8", 50000))
NEIGHBOUR = Caller(2, Endpoint("10.77.0.9", 50000))
ASKER_V6 = Caller(3, Endpoint("2001:db8::8", 50000))
PEER_CALLS = Caller(4, Endpoint("10.77.0.9", 41000))
STRANGER = Caller(5, Endpoint("192.0.2.66", 41000))


class Table:
    """A broker with two online peers, and short words for what is said to it."""

    def __init__(
        self,
        *relays: str,
        limits: Limits | None = None,
        always_relay: bool = False,
        previous: IdentityKey | None = None,
    ) -> None:
        self.registry = Registry()
        for peer_id in (PEER, OTHER):
            self.registry.save(Registration(peer_id, b"uuid", PK, HOME[0])).heard(HOME, 0, 0.0)
        numbers = itertools.count(0x12345678)
        limits, draw = limits or Limits(), lambda: next(numbers)
        self.questions = Questions(limits, draw)
        self.broker = Broker(
            self.registry,
            self.questions,
            Keys(KEY, Previous(previous, math.inf) if previous else None),
            Relays([ServerAddress.parse(relay, 21117) for relay in relays]),
            limits,
            draw,
            always_relay=always_relay,
        )

    def say(self, caller: Caller, now: float = 0.0, **member: object) -> list[Command]:
        message = wire.RendezvousMessage(**member)  # type: ignore[arg-type]
        return self.broker.receive(caller, message.SerializeToString(), now)

    def punch(self, caller: Caller = ASKER, now: float = 0.0, **fields: object) -> list[Command]:
        fields = {"id": PEER, "licence_key": KEY.public.text, **fields}
        return self.say(caller, now, punch_hole_request=wire.PunchHoleRequest(**fields))  # type: ignore[arg-type]

    def relay(self, caller: Caller = ASKER, now: float = 0.0, **fields: object) -> list[Command]:
        fields = {"id": PEER, "uuid": "token", **fields}
        return self.say(caller, now, request_relay=wire.RequestRelay(**fields))  # type: ignore[arg-type]


def told(commands: list[Command]) -> wire.RendezvousMessage:
    """What the peer hears."""
    (notify,) = commands
    assert isinstance(notify, Notify)
    assert (notify.source, len(notify.payload) <= MAX_FORWARD) == (HOME, True)
    return wire.RendezvousMessage.FromString(notify.payload)


def heard(commands: list[Command], connection: int = ASKER.connection) -> wire.RendezvousMessage:
    """What the initiator hears; the peer's connection is closed behind it."""
    send, close = commands
    assert isinstance(send, Send)
    assert close == Close()
    assert send.connection == connection
    return wire.RendezvousMessage.FromString(send.payload)


IGNORED = [Close()]


@pytest.mark.parametrize(
    ("fields", "vector"),
    [
        ({"licence_key": "wrong"}, "punch bad key"),
        ({"licence_key": "wrong", "id": "nobody"}, "punch bad key"),
        ({"id": "nobody"}, "punch unknown id"),
    ],
)
def test_failures_are_stocks_to_the_byte(fields: dict[str, object], vector: str) -> None:
    assert Table().punch(**fields) == [Send(ASKER.connection, VECTORS[vector][0])]


def test_offline_is_thirty_seconds_after_the_last_sign_of_life() -> None:
    table = Table()
    assert told(table.punch(now=29.9))
    assert table.punch(now=30.0) == [Send(ASKER.connection, bytes.fromhex("5a021802"))]


def test_a_punch_passes_on_what_stock_drops() -> None:
    table = Table("relay.example")
    v6 = mangle(Endpoint("2001:db8::8", 9), 0)
    punch = told(
        table.punch(nat_type=1, udp_port=7, socket_addr_v6=v6, token="t", switch_code="s")
    ).punch_hole
    assert unmangle(punch.socket_addr) == ASKER.remote
    punch.ClearField("socket_addr")
    assert punch == wire.PunchHole(
        relay_server="relay.example:21117", nat_type=1, udp_port=7, socket_addr_v6=v6
    )


@pytest.mark.parametrize("caller", [ASKER, NEIGHBOUR])
def test_a_relay_that_is_wanted_is_said_so_that_every_responder_relays(caller: Caller) -> None:
    punch = told(Table().punch(caller, force_relay=True)).punch_hole
    assert punch.nat_type == wire.SYMMETRIC


def test_a_symmetric_nat_is_no_obstacle_between_neighbours() -> None:
    assert told(Table().punch(NEIGHBOUR, nat_type=wire.SYMMETRIC)).HasField("fetch_local_addr")


def test_a_neighbour_on_the_web_is_no_neighbour() -> None:
    """It can dial nobody, and its address may be a proxy's."""
    assert told(Table().punch(NEIGHBOUR._replace(path="ws"))).HasField("punch_hole")


def test_nonsense_is_not_passed_on() -> None:
    punch = told(Table().punch(nat_type=77, udp_port=-1, socket_addr_v6=b"x" * 30)).punch_hole
    punch.ClearField("socket_addr")
    assert punch == wire.PunchHole()


def test_a_punched_hole_is_told_as_stock_does() -> None:
    table = Table()
    mark = told(table.punch()).punch_hole.socket_addr
    sent = wire.PunchHoleSent(
        socket_addr=mark, id=PEER, relay_server="r.example", nat_type=wire.ASYMMETRIC, version="1.4.2"
    )
    ours = heard(table.say(PEER_CALLS, punch_hole_sent=sent)).punch_hole_response
    stock = wire.RendezvousMessage.FromString(VECTORS["punch all fields: A hears"][0]).punch_hole_response
    assert unmangle(ours.socket_addr) == PEER_CALLS.remote
    assert open_id_pk(KEY.public, ours.pk)[:2] == (PEER, PK)
    for response in (ours, stock):
        for differs in ("socket_addr", "pk"):
            response.ClearField(differs)
    assert ours.SerializeToString() == stock.SerializeToString()


def test_a_peer_without_a_version_gets_no_key_signed() -> None:
    table = Table()
    mark = told(table.punch()).punch_hole.socket_addr
    response = heard(table.say(PEER_CALLS, punch_hole_sent=wire.PunchHoleSent(socket_addr=mark, id=PEER)))
    assert not response.punch_hole_response.pk


def test_an_answer_counts_once() -> None:
    table = Table()
    sent = wire.PunchHoleSent(socket_addr=told(table.punch()).punch_hole.socket_addr, id=PEER)
    heard(table.say(PEER_CALLS, punch_hole_sent=sent))
    assert table.say(PEER_CALLS, punch_hole_sent=sent) == IGNORED


def test_a_repeated_question_keeps_its_mark() -> None:
    table = Table()
    marks = {told(table.punch(now=now)).punch_hole.socket_addr for now in (0.0, 3.0, 9.0)}
    assert len(marks) == 1
    assert told(table.punch(Caller(9, ASKER.remote), 9.0)).punch_hole.socket_addr not in marks


def test_only_who_saw_the_question_can_answer_it() -> None:
    table = Table()
    mark = told(table.punch()).punch_hole.socket_addr
    guesses = [mangle(ASKER.remote, 0), mangle(ASKER.remote, 0x12345679), mark[:-1], mark + b"\0", b""]
    for guess in guesses:
        for answer in (
            {"punch_hole_sent": wire.PunchHoleSent(socket_addr=guess, id=PEER)},
            {"relay_response": wire.RelayResponse(socket_addr=guess, uuid="u", id=PEER)},
            {"relay_response": wire.RelayResponse(socket_addr=guess, uuid="u")},
            {"local_addr": wire.LocalAddr(socket_addr=guess, id=PEER, local_addr=mark)},
        ):
            assert table.say(STRANGER, **answer) == IGNORED
    assert unmangle(mark) == ASKER.remote  # some of the guesses were as good as stock would take
    heard(table.say(PEER_CALLS, punch_hole_sent=wire.PunchHoleSent(socket_addr=mark, id=PEER)))


def test_an_answer_names_the_peer_that_was_asked_for() -> None:
    table = Table()
    mark = told(table.punch()).punch_hole.socket_addr
    for peer_id in (OTHER, "nobody", ""):
        sent = wire.PunchHoleSent(socket_addr=mark, id=peer_id)
        assert table.say(PEER_CALLS, punch_hole_sent=sent) == IGNORED
        response = wire.RelayResponse(socket_addr=mark, uuid="u", id=peer_id)
        assert table.say(PEER_CALLS, relay_response=response) == IGNORED


def test_a_local_address_comes_from_the_peers_own_network() -> None:
    table = Table()
    mark = told(table.punch(NEIGHBOUR)).fetch_local_addr.socket_addr
    local = mangle(Endpoint("192.168.1.2", 5), 1)
    answer = wire.LocalAddr(socket_addr=mark, id=PEER, local_addr=local, version="1")
    assert table.say(STRANGER, local_addr=answer) == IGNORED
    response = heard(table.say(PEER_CALLS, local_addr=answer), NEIGHBOUR.connection).punch_hole_response
    assert response.is_local
    assert unmangle(response.socket_addr) == Endpoint("192.168.1.2", 5)


@pytest.mark.parametrize("local", [b"", b"x" * 17, mangle(Endpoint("192.168.1.2", 0), 1)])
def test_a_local_address_must_be_one(local: bytes) -> None:
    table = Table()
    mark = told(table.punch(NEIGHBOUR)).fetch_local_addr.socket_addr
    answer = wire.LocalAddr(socket_addr=mark, id=PEER, local_addr=local)
    assert table.say(PEER_CALLS, local_addr=answer) == IGNORED


def test_a_v6_initiator_is_answered_from_the_peers_own_network_only() -> None:
    table = Table()
    mark = told(table.punch(ASKER_V6)).punch_hole.socket_addr
    assert mark == mangle(ASKER_V6.remote, 0)
    sent = wire.PunchHoleSent(socket_addr=mark, id=PEER)
    assert table.say(STRANGER, punch_hole_sent=sent) == IGNORED
    assert heard(table.say(PEER_CALLS, punch_hole_sent=sent), ASKER_V6.connection)


def test_an_answer_that_is_late_or_whose_initiator_is_gone_is_none() -> None:
    table = Table()
    late = wire.PunchHoleSent(socket_addr=told(table.punch()).punch_hole.socket_addr, id=PEER)
    assert table.say(PEER_CALLS, 30.1, punch_hole_sent=late) == IGNORED
    gone = wire.PunchHoleSent(
        socket_addr=told(table.punch(NEIGHBOUR, nat_type=2)).punch_hole.socket_addr, id=PEER
    )
    table.broker.closed(NEIGHBOUR.connection)
    assert table.say(PEER_CALLS, punch_hole_sent=gone) == IGNORED


# By UDP

BY_UDP: Source = (HOME[0], 50123)


def punched_by_udp(table: Table, mark: bytes, source: Source = BY_UDP, now: float = 0.0, **fields: object):
    sent = wire.PunchHoleSent(**{"socket_addr": mark, "id": PEER, "version": "1.4.9", **fields})  # type: ignore[arg-type]
    return table.broker.punched_by_udp(source, sent, now)


def test_a_hole_punched_by_udp_is_told_once_and_where_it_was_asked(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "rdpeer.server")
    table = Table()
    punch = told(table.punch(udp_port=40404)).punch_hole
    assert punch.udp_port == 40404
    (send,) = punched_by_udp(table, punch.socket_addr, relay_server="relay", nat_type=wire.ASYMMETRIC)
    assert isinstance(send, Send)
    assert send.connection == ASKER.connection
    response = wire.RendezvousMessage.FromString(send.payload).punch_hole_response
    assert response.is_udp
    assert unmangle(response.socket_addr) == Endpoint.of(BY_UDP)
    assert (response.relay_server, response.nat_type) == ("relay", wire.ASYMMETRIC)
    assert open_id_pk(KEY.public, response.pk)[:2] == (PEER, PK)
    assert punched_by_udp(table, punch.socket_addr) == []  # its repetitions
    passed_on = f"10.77.0.9:50123 answer passed on id={PEER} why=punch_hole_sent path=udp"
    assert [line for line in caplog.messages if "answer" in line] == [passed_on]


@pytest.mark.parametrize(
    ("source", "now", "fields"),
    [
        (("192.0.2.66", 50123), 0.0, {}),
        (BY_UDP, 10.5, {}),
        (BY_UDP, 0.0, {"id": OTHER}),
        (BY_UDP, 0.0, {"socket_addr": b"guessed"}),
    ],
    ids=["from elsewhere", "late", "of another peer", "without the mark"],
)
def test_what_else_claims_by_udp_to_have_punched_is_ignored(source: Source, now: float, fields) -> None:
    table = Table()
    mark = told(table.punch(udp_port=40404)).punch_hole.socket_addr
    assert punched_by_udp(table, mark, source, now, **fields) == []
    assert heard(table.say(PEER_CALLS, now, punch_hole_sent=wire.PunchHoleSent(socket_addr=mark, id=PEER)))


def test_udp_proves_no_address() -> None:
    table = Table()
    for _ in range(5):
        mark = told(table.punch(udp_port=40404)).punch_hole.socket_addr
        assert punched_by_udp(table, mark)
    assert table.punch(udp_port=40404) == []


def test_no_udp_where_the_mark_could_be_guessed_or_only_a_relay_is_wanted() -> None:
    assert told(Table().punch(ASKER_V6, udp_port=40404)).punch_hole.udp_port == 0
    assert told(Table().punch(udp_port=40404, force_relay=True)).punch_hole.udp_port == 0
    assert told(Table(always_relay=True).punch(udp_port=40404)).punch_hole.udp_port == 0


@given(st.binary(max_size=20), st.text(max_size=12), st.binary(max_size=20), st.integers(-9, 99999))
def test_any_claim_by_udp_is_passed_on_or_ignored(mark: bytes, version: str, v6: bytes, port: int) -> None:
    table = Table()
    question = told(table.punch(udp_port=40404)).punch_hole.socket_addr
    fields = {"version": version, "socket_addr_v6": v6, "upnp_port": port, "relay_server": version}
    assert punched_by_udp(table, mark, **fields) == []
    (send,) = punched_by_udp(table, question, **fields)
    assert isinstance(send, Send)
    response = wire.RendezvousMessage.FromString(send.payload).punch_hole_response
    assert len(response.socket_addr_v6) in (0, 18)
    assert 0 <= response.upnp_port < 65536


def test_a_relay_response_is_told_as_stock_does() -> None:
    table = Table()
    mark = told(table.punch()).punch_hole.socket_addr
    stock = wire.RendezvousMessage.FromString(VECTORS["punch answered by RelayResponse: A hears"][0])
    answer = wire.RelayResponse()
    answer.CopyFrom(stock.relay_response)
    answer.socket_addr, answer.id = mark, PEER
    answer.dials = True  # rdpeer's own, passed on too
    ours = heard(table.say(PEER_CALLS, relay_response=answer)).relay_response
    assert open_id_pk(KEY.public, ours.pk)[:2] == (PEER, PK)
    assert ours.dials
    ours.pk, ours.dials = stock.relay_response.pk, False
    assert ours == stock.relay_response


def test_a_peer_may_not_bring_a_key_of_its_own() -> None:
    table = Table()
    mark = told(table.punch()).punch_hole.socket_addr
    answer = wire.RelayResponse(socket_addr=mark, uuid="u", pk=b"forged", refuse_reason="no")
    response = heard(table.say(PEER_CALLS, relay_response=answer)).relay_response
    assert response == wire.RelayResponse(uuid="u", refuse_reason="no")


def test_a_relay_is_requested_with_the_key_or_shortly_after_it() -> None:
    table = Table()
    assert table.relay() == IGNORED
    assert table.relay(licence_key="wrong") == IGNORED
    assert told(table.relay(licence_key=KEY.public.text)).request_relay.uuid == "token"
    told(table.punch())
    assert told(table.relay(Caller(7, Endpoint(ASKER.remote.ip, 50001)), 29.9))
    assert table.relay(Caller(8, Endpoint(ASKER.remote.ip, 50001)), 29.9, licence_key="wrong") == IGNORED
    assert table.relay(Caller(8, Endpoint(ASKER.remote.ip, 50001)), 29.9, id=OTHER) == IGNORED
    assert table.relay(STRANGER, 29.9) == IGNORED
    assert table.relay(Caller(8, Endpoint(ASKER.remote.ip, 50001)), 60.0) == IGNORED


def test_a_request_for_a_relay_is_built_anew() -> None:
    table = Table()
    stock = wire.RendezvousMessage.FromString(VECTORS["relay all fields: B hears"][0]).request_relay
    request = wire.RequestRelay()
    request.CopyFrom(stock)
    request.licence_key = KEY.public.text
    ours = told(table.say(ASKER, request_relay=request)).request_relay
    for secret in ("licence_key", "token", "control_permissions", "socket_addr"):
        stock.ClearField(secret)
    assert unmangle(ours.socket_addr) == ASKER.remote
    ours.ClearField("socket_addr")
    assert ours == stock


def test_a_relay_to_a_peer_that_is_not_online_is_not_answered() -> None:
    assert Table().relay(licence_key=KEY.public.text, id="nobody") == []
    assert Table().relay(now=31.0, licence_key=KEY.public.text) == []


@pytest.mark.parametrize("fields", [{"uuid": ""}, {"uuid": "x" * 129}])
def test_a_relay_needs_a_token(fields: dict[str, object]) -> None:
    assert Table().relay(licence_key=KEY.public.text, **fields) == IGNORED


def test_what_is_too_long_is_not_sent_on() -> None:
    assert Table().relay(licence_key=KEY.public.text, relay_server="x" * 600) == []


def test_five_a_second_to_an_address_that_has_not_answered_yet() -> None:
    table = Table()
    callers = [Caller(100 + n, Endpoint("10.77.0.8", 50000 + n)) for n in range(20)]
    sent = [table.punch(caller, 1.0) for caller in callers[:7]]
    assert [len(commands) for commands in sent] == [1] * 5 + [0] * 2
    assert not table.punch(callers[6], 1.99)
    assert table.punch(callers[6], 2.0)
    mark = told(sent[0]).punch_hole.socket_addr
    heard(table.say(PEER_CALLS, 2.0, punch_hole_sent=wire.PunchHoleSent(socket_addr=mark, id=PEER)), 100)
    assert all(table.punch(caller, 2.0) for caller in callers)


def test_an_address_that_has_answered_is_free_for_ten_minutes() -> None:
    forwards = Forwards(100)
    forwards.answered("192.0.2.1", 0.0)
    for now, free in ((599.9, True), (600.0, False)):
        assert all(forwards.allow("192.0.2.1", b"", now) for _ in range(6)) is free


def test_a_connection_has_few_questions_and_the_table_has_a_bound() -> None:
    table = Table(limits=Limits(questions=3, questions_per_connection=1))
    assert table.punch()
    assert table.punch(id=OTHER) == IGNORED
    marks = [
        told(table.punch(Caller(10 + n, Endpoint("10.77.0.8", n)))).punch_hole.socket_addr for n in (1, 2, 3)
    ]
    assert len(table.questions) == 3
    assert heard(table.say(PEER_CALLS, punch_hole_sent=wire.PunchHoleSent(socket_addr=marks[0], id=PEER)), 11)


@pytest.mark.parametrize(
    ("member", "vector"),
    [
        ({"online_request": wire.OnlineRequest(id="x")}, "nat OnlineRequest nobody"),
        (
            {"online_request": wire.OnlineRequest(peers=["a", PEER, "b", PEER, "c", PEER, "d", PEER, "e"])},
            "nat OnlineRequest nine",
        ),
    ],
)
def test_queries_are_answered_as_stock_does(member: dict[str, object], vector: str) -> None:
    assert Table().say(ASKER, **member) == [Send(ASKER.connection, VECTORS[vector][0]), Close()]


def test_nat_test_tells_the_port_as_stock_does_and_the_address_behind_it() -> None:
    caller = Caller(1, Endpoint("10.77.0.8", 37843))
    answer = wire.RendezvousMessage.FromString(VECTORS["tcp TestNatRequest"][0])
    answer.test_nat_response.socket_addr = mangle(caller.remote, 0)
    sent = answer.SerializeToString()
    assert Table().say(caller, test_nat_request=wire.TestNatRequest()) == [Send(1, sent), Close()]


@pytest.mark.parametrize(
    "member",
    [
        {"http_proxy_response": wire.HttpProxyResponse()},
        {},
    ],
)
def test_anything_else_closes(member: dict[str, object]) -> None:
    assert Table().say(ASKER, **member) == IGNORED


MEMBERS = [field.name for field in wire.RendezvousMessage.DESCRIPTOR.fields]


@given(st.binary(max_size=200))
def test_any_bytes_are_answered_or_close(payload: bytes) -> None:
    assert isinstance(Table().broker.receive(ASKER, payload, 0.0), list)


@given(st.sampled_from(MEMBERS), st.binary(max_size=60))
def test_any_body_of_any_member_is_answered_or_closes(member: str, body: bytes) -> None:
    number = wire.RendezvousMessage.DESCRIPTOR.fields_by_name[member].number
    head = number << 3 | 2
    tag = bytes([head]) if head < 128 else bytes([head & 127 | 128, head >> 7])
    assert isinstance(Table().broker.receive(ASKER, tag + bytes([len(body)]) + body, 0.0), list)


def test_relays_have_turns_and_one_question_has_one() -> None:
    table = Table("a", "b")
    first, again, other = (
        told(table.punch(who)).punch_hole.relay_server
        for who in (ASKER, ASKER, Caller(9, Endpoint("10.77.0.7", 1)))
    )
    assert (first, {first, other}) == (again, {"a:21117", "b:21117"})


def test_always_relay_keeps_neighbours_too_from_a_direct_path() -> None:
    for caller in (ASKER, NEIGHBOUR):
        punch = told(Table(always_relay=True).punch(caller, nat_type=wire.ASYMMETRIC)).punch_hole
        assert (punch.nat_type, punch.force_relay) == (wire.SYMMETRIC, True)


def test_who_names_the_previous_key_gets_answers_signed_with_it() -> None:
    old = IdentityKey.from_seed(b"1" * 32)
    for key in (old, KEY):
        table = Table(previous=old)
        mark = told(table.punch(licence_key=key.public.text)).punch_hole.socket_addr
        answer = wire.PunchHoleSent(id=PEER, socket_addr=mark, version="1")
        send, _ = table.say(PEER_CALLS, punch_hole_sent=answer)
        assert isinstance(send, Send)
        response = wire.RendezvousMessage.FromString(send.payload).punch_hole_response
        assert open_id_pk(key.public, response.pk).pk == PK


def test_a_relay_without_a_key_counts_for_the_one_named_before() -> None:
    old = IdentityKey.from_seed(b"1" * 32)
    table = Table(previous=old)
    table.punch(licence_key=old.public.text)
    mark = told(table.relay(Caller(8, ASKER.remote))).request_relay.socket_addr
    answer = wire.RelayResponse(id=PEER, socket_addr=mark, uuid="t", version="1")
    send, _ = table.say(PEER_CALLS, relay_response=answer)
    assert isinstance(send, Send)
    response = wire.RendezvousMessage.FromString(send.payload).relay_response
    assert open_id_pk(old.public, response.pk).pk == PK


def test_an_answer_of_a_peer_that_was_removed_counts_no_more() -> None:
    table = Table()
    mark = told(table.punch()).punch_hole.socket_addr
    table.registry.remove(PEER)
    sent = wire.PunchHoleSent(id=PEER, socket_addr=mark, version="1")
    assert table.say(PEER_CALLS, punch_hole_sent=sent) == IGNORED
