"""Whether the server answers by UDP."""

from __future__ import annotations

import pytest

from rdpeer.errors import LocalProtocolError
from rdpeer.protocol.conversation import (
    Command,
    DatagramReceived,
    DeadlineReached,
    Done,
    Fail,
    Rebind,
    RouteChanged,
    SendDatagram,
    SocketBound,
    SocketFailed,
    Started,
    StreamClosed,
)
from rdpeer.protocol.udp_probe import UdpProbe
from rdpeer.values import Endpoint, ServerAddress
from rdpeer.wire import rendezvous_pb2 as pb

SERVER = ServerAddress("rs.example")
REMOTE = Endpoint("203.0.113.5", 21116)


def asked() -> tuple[UdpProbe, Command]:
    probe = UdpProbe(SERVER)
    assert probe.deadline is None
    assert probe.handle(Started(), 0.0) == [Rebind(SERVER)]
    (question,) = probe.handle(SocketBound(REMOTE), 0.0)
    return probe, question


def test_it_asks_with_an_id_that_nobody_has() -> None:
    questions = []
    for _ in range(2):
        _, command = asked()
        assert isinstance(command, SendDatagram)
        questions.append(pb.RendezvousMessage.FromString(command.payload).register_peer.id)
    assert len(set(questions)) == 2


@pytest.mark.parametrize("answer", ["3a00", "3a021001"])
def test_any_answer_will_do(answer: str) -> None:
    probe, _ = asked()
    assert probe.handle(DatagramReceived(bytes.fromhex(answer)), 0.1) == [Done(REMOTE)]


@pytest.mark.parametrize("noise", [b"", b"\xff", bytes.fromhex("820100")])
def test_other_datagrams_are_no_answer(noise: bytes) -> None:
    probe, _ = asked()
    assert probe.handle(DatagramReceived(noise), 0.1) == []


def test_it_asks_three_times() -> None:
    probe, question = asked()
    for deadline in (1.0, 2.5):
        assert probe.deadline == deadline
        assert probe.handle(DeadlineReached(), deadline) == [question]
    assert probe.deadline == 5.0
    (end,) = probe.handle(DeadlineReached(), 5.0)
    assert isinstance(end, Fail)
    assert str(end.error) == "no answer from rs.example:21116 (203.0.113.5) by UDP"


def test_a_move_meanwhile_is_no_answer() -> None:
    probe, _ = asked()
    assert probe.handle(RouteChanged(), 0.1) == []


def test_a_name_that_does_not_resolve() -> None:
    probe = UdpProbe(SERVER)
    probe.handle(Started(), 0.0)
    (end,) = probe.handle(SocketFailed("rs.example:21116: no such name"), 0.1)
    assert isinstance(end, Fail)
    assert str(end.error) == "cannot reach rs.example:21116: no such name"


def test_a_resolver_that_does_not_answer() -> None:
    probe = UdpProbe(SERVER)
    probe.handle(Started(), 0.0)
    (end,) = probe.handle(DeadlineReached(), 10.0)
    assert isinstance(end, Fail)


def test_what_is_none_of_its_business() -> None:
    with pytest.raises(LocalProtocolError):
        UdpProbe(SERVER).handle(StreamClosed("x"), 0.0)
