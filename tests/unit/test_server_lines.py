"""Peers that are registered over connections: by which rules, for how long, and what they are told."""

from __future__ import annotations

from rdpeer.crypto.keys import IdentityKey
from rdpeer.server.broker import Broker
from rdpeer.server.commands import Caller, Keep, Notify, Register, Seal
from rdpeer.server.keys import Keys
from rdpeer.server.limits import Limits
from rdpeer.server.lines import Lines
from rdpeer.server.questions import Questions
from rdpeer.server.registration import REQUEST_PK, Registrations, Save
from rdpeer.server.registry import Line, Registry
from rdpeer.server.relays import Relays
from rdpeer.values import Endpoint
from rdpeer.wire import rendezvous_pb2 as wire

PEER, OTHER = "710300010", "710300011"
LINE = Line("10.77.0.9", 40000, 7)
AGAIN = Line("10.77.0.9", 40001, 8)
DATAGRAMS = ("10.77.0.9", 41000)
ASKER = Caller(1, Endpoint("10.77.0.8", 50000))
KEY = IdentityKey.from_seed(bytes(32))


def register_pk(uuid: bytes = b"uuid", peer_id: str = PEER) -> wire.RendezvousMessage:
    return wire.RendezvousMessage(register_pk=wire.RegisterPk(id=peer_id, uuid=uuid, pk=bytes(32)))


def register_peer() -> wire.RendezvousMessage:
    return wire.RendezvousMessage(register_peer=wire.RegisterPeer(id=PEER))


class Table:
    """The machines of a server, as its driver joins them."""

    def __init__(self, **limits: float) -> None:
        self.registry = Registry()
        self.limits = Limits(**limits)  # type: ignore[arg-type]
        self.registrations = Registrations(self.registry, self.limits)
        self.lines = Lines(self.registry, self.limits.keep_alive)
        questions = Questions(self.limits, lambda: 1)
        self.broker = Broker(self.registry, questions, Keys(KEY), Relays(()), self.limits, lambda: 1)

    def say(self, line: Line, message: wire.RendezvousMessage, now: float = 0.0) -> wire.RendezvousMessage:
        """What is answered on ``line``; what is to be saved is saved at once."""
        answer = self.registrations.receive_over(line, message, now)
        if isinstance(answer, Save):
            answer = self.registrations.saved(answer, now)
        assert answer is not None
        self.lines.registered(line, message.register_pk.id or message.register_peer.id, now)
        return wire.RendezvousMessage.FromString(answer)

    def datagram(self, message: wire.RendezvousMessage, now: float = 0.0) -> object:
        answer = self.registrations.receive(message.SerializeToString(), DATAGRAMS, 0, now)
        return self.registrations.saved(answer, now) if isinstance(answer, Save) else answer


def test_a_registration_names_the_heartbeat_and_lasts_as_long_as_its_answers() -> None:
    table = Table()
    answer = table.say(LINE, register_pk()).register_pk_response
    assert (answer.result, answer.keep_alive) == (wire.RegisterPkResponse.OK, 20)
    assert table.lines.due(19.9) == []
    assert table.lines.due(20.0) == [LINE.connection]
    assert table.lines.heard(LINE.connection, 20.1)
    assert table.lines.due(39.9) == []
    assert table.lines.due(40.0) == [LINE.connection]
    assert table.registry.online(PEER, 50.0)
    assert not table.registry.online(PEER, 50.2)


def test_the_heartbeat_comes_before_the_patience_with_a_connection_is_over() -> None:
    assert Table(frame_timeout=9.0).say(LINE, register_pk()).register_pk_response.keep_alive == 6


def test_who_sends_a_health_check_is_kept_like_a_line_and_is_none() -> None:
    table = Table()
    check = wire.RendezvousMessage(hc=wire.HealthCheck(token="token")).SerializeToString()
    assert table.broker.receive(ASKER, check, 0.0) == [Keep(ASKER.connection)]
    assert not table.lines.heard(ASKER.connection, 0.0)
    table.lines.keep(ASKER.connection, 0.0)
    assert table.lines.due(20.0) == [ASKER.connection]
    assert table.lines.heard(ASKER.connection, 20.1)
    assert len(table.lines) == 0
    table.lines.closed(Line(ASKER.remote.ip, ASKER.remote.port, ASKER.connection))
    assert table.lines.due(100.0) == []
    assert not table.lines.heard(ASKER.connection, 100.0)


def test_the_end_of_the_line_is_the_end_of_being_online() -> None:
    table = Table()
    table.say(LINE, register_pk())
    table.lines.closed(LINE)
    assert not table.registry.online(PEER, 1.0)
    assert table.lines.due(100.0) == []
    assert not table.lines.heard(LINE.connection, 100.0)


def test_a_new_line_takes_over_and_the_end_of_the_old_one_changes_nothing() -> None:
    table = Table()
    table.say(LINE, register_pk())
    table.say(AGAIN, register_pk(), 1.0)
    assert not table.lines.heard(LINE.connection, 2.0)
    table.lines.closed(LINE)
    assert table.registry.online(PEER, 2.0)
    assert table.lines.heard(AGAIN.connection, 2.0)


def test_a_forged_keep_alive_takes_nobody_off_his_line() -> None:
    table = Table()
    table.say(LINE, register_pk())
    assert table.datagram(register_peer(), 1.0) == REQUEST_PK
    assert table.say(AGAIN, register_peer(), 1.0).register_peer_response.request_pk
    assert table.registry.get(PEER).source == LINE
    assert table.datagram(register_pk(), 1.0)
    assert table.registry.get(PEER).source == DATAGRAMS
    assert not table.lines.heard(LINE.connection, 2.0)


def test_a_known_peer_may_come_with_register_peer_alone() -> None:
    table = Table()
    table.say(LINE, register_pk())
    table.lines.closed(LINE)
    assert not table.say(AGAIN, register_peer(), 1.0).register_peer_response.request_pk
    assert table.lines.heard(AGAIN.connection, 2.0)


def test_the_rules_are_those_of_datagrams() -> None:
    table = Table()
    table.say(LINE, register_pk())
    answer = table.say(AGAIN, register_pk(b"another")).register_pk_response
    assert (answer.result, answer.keep_alive) == (wire.RegisterPkResponse.UUID_MISMATCH, 0)
    assert not table.lines.heard(AGAIN.connection, 0.0)
    assert table.registry.get(PEER).source == LINE


def test_a_line_holds_one_peer() -> None:
    table = Table()
    table.say(LINE, register_pk())
    table.say(LINE, register_pk(peer_id=OTHER))
    assert len(table.lines) == 1
    table.lines.closed(LINE)
    assert not table.registry.online(OTHER, 1.0)


def test_one_that_is_on_a_line_is_told_there_however_often_and_never_to_listen() -> None:
    table = Table()
    table.say(LINE, register_pk())
    for caller in (ASKER, Caller(2, Endpoint(LINE.ip, 5))):
        for second in range(10):
            request = wire.PunchHoleRequest(id=PEER, licence_key=KEY.public.text)
            message = wire.RendezvousMessage(punch_hole_request=request)
            (notify,) = table.broker.receive(caller, message.SerializeToString(), second / 100)
            assert isinstance(notify, Notify)
            assert notify.source == LINE
            assert wire.RendezvousMessage.FromString(notify.payload).HasField("punch_hole")


def test_the_broker_leaves_registration_and_sealing_to_others() -> None:
    table = Table()
    caller = Caller(LINE.connection, Endpoint(LINE.ip, LINE.port))
    for message in (register_pk(), register_peer()):
        assert table.broker.receive(caller, message.SerializeToString(), 0.0) == [Register(LINE, message)]
    exchange = wire.RendezvousMessage(key_exchange=wire.KeyExchange(keys=[b"a", b"b"]))
    assert table.broker.receive(caller, exchange.SerializeToString(), 0.0) == [Seal(7, [b"a", b"b"])]
