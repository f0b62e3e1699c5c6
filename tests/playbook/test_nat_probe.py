"""What the NAT does: two questions from one port, and whatever may come instead of their answers."""

from __future__ import annotations

import pytest
from playbook import Deadline, Playbook, wire

from rdpeer.errors import ServerUnreachable
from rdpeer.protocol.conversation import (
    Done,
    Fail,
    FrameReceived,
    OpenStream,
    SendFrame,
    Started,
    StreamClosed,
    StreamFailed,
    StreamOpened,
)
from rdpeer.protocol.nat import Mapping, Nat, NatProbe
from rdpeer.values import Endpoint, ServerAddress
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.endpoints import mangle

LOCAL = Endpoint("192.168.1.7", 50000)
EXTERNAL = Endpoint("198.51.100.1", 40000)
REMOTE = Endpoint("203.0.113.5", 21116)
QUESTION = wire(test_nat_request=pb.TestNatRequest())
BY_NAME = ServerAddress("server.example")
SECOND = Endpoint("203.0.113.5", 21115)


def asked() -> Playbook:
    """Both at once; the second one at the address that the first one reached."""
    return (
        Playbook(NatProbe(BY_NAME))
        >> Started()
        << OpenStream("server", BY_NAME, reuse=True)
        >> StreamOpened("server", LOCAL, REMOTE)
        << SendFrame("server", QUESTION)
        << OpenStream("second", ServerAddress("203.0.113.5", 21115), beside="server")
    )


def both_asked() -> Playbook:
    return asked() >> StreamOpened("second", LOCAL, SECOND) << SendFrame("second", QUESTION)


def port(stream: str, number: int, external: Endpoint | None = None) -> FrameReceived:
    told = mangle(external, 0) if external else b""
    answer = pb.TestNatResponse(port=number, socket_addr=told)
    return FrameReceived(stream, wire(test_nat_response=answer))


def test_one_port_for_both_is_a_cone() -> None:
    nat = Nat(Mapping.ASYMMETRIC, LOCAL, (40000, 40000), None)
    assert (
        both_asked() >> port("server", 40000) >> StreamClosed("server") >> port("second", 40000) << Done(nat)
    )
    assert nat.translates


def test_another_port_for_each_is_symmetric_whichever_answers_first() -> None:
    nat = Nat(Mapping.SYMMETRIC, LOCAL, (40000, 40001), EXTERNAL)
    assert both_asked() >> port("second", 40001) >> port("server", 40000, EXTERNAL) << Done(nat)


@pytest.mark.parametrize(
    ("external", "translates"), [(LOCAL, False), (Endpoint("198.51.100.1", LOCAL.port), True), (None, None)]
)
def test_only_the_whole_endpoint_says_that_there_is_no_nat(
    external: Endpoint | None, translates: bool | None
) -> None:
    nat = Nat(Mapping.ASYMMETRIC, LOCAL, (LOCAL.port, LOCAL.port), external)
    first, second = port("server", LOCAL.port, external), port("second", LOCAL.port)
    assert both_asked() >> first >> second << Done(nat)
    assert nat.translates is translates


def test_an_endpoint_that_contradicts_the_port_is_none() -> None:
    nat = Nat(Mapping.ASYMMETRIC, LOCAL, (40001, 40001), None)
    assert both_asked() >> port("server", 40001, EXTERNAL) >> port("second", 40001) << Done(nat)


def unknown(reason: str, *ports: int) -> Done:
    return Done(Nat(Mapping.UNKNOWN, LOCAL, ports, None, reason))


def test_a_second_port_that_is_closed() -> None:
    reason = "203.0.113.5:21115: Connection refused"
    assert asked() >> port("server", 40000) >> StreamFailed("second", reason) << unknown(reason, 40000)


def test_a_second_port_that_says_nothing() -> None:
    reason = "no answer from server.example:21115 for 3 s"
    assert both_asked() >> port("server", 40000) >> Deadline(3.0) << unknown(reason, 40000)


def test_a_server_that_says_nothing() -> None:
    assert both_asked() >> Deadline(3.0) << unknown("no answer from server.example:21116 for 3 s")


def test_a_server_that_hangs_up() -> None:
    assert both_asked() >> StreamClosed("server") << unknown("no answer from server.example:21116")


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"\xff", "1 bytes are not a RendezvousMessage"),
        (wire(online_response=pb.OnlineResponse()), "no port in online_response"),
        (b"", "no port in an unknown message"),
        (wire(test_nat_response=pb.TestNatResponse()), "no port in test_nat_response"),
        (wire(test_nat_response=pb.TestNatResponse(port=65536)), "no port in test_nat_response"),
        (wire(test_nat_response=pb.TestNatResponse(port=-1)), "no port in test_nat_response"),
        (
            wire(test_nat_response=pb.TestNatResponse(port=40000, socket_addr=b"x" * 17)),
            "17 bytes are not a mangled endpoint",
        ),
    ],
)
def test_an_answer_that_is_none(payload: bytes, why: str) -> None:
    nat = unknown(f"server.example:21115 sent what cannot be read: {why}")
    assert both_asked() >> FrameReceived("second", payload) << nat


def test_a_key_exchange_is_passed_by() -> None:
    greeting = FrameReceived("server", wire(key_exchange=pb.KeyExchange(keys=[b"k"])))
    assert both_asked() >> greeting >> Deadline(3.0) << unknown("no answer from server.example:21116 for 3 s")


def test_a_server_that_is_not_there() -> None:
    opening = Playbook(NatProbe(BY_NAME)) >> Started() << OpenStream("server", BY_NAME, reuse=True)
    error = ServerUnreachable("cannot reach server.example:21116: refused")
    assert opening >> StreamFailed("server", "refused") << Fail(error)


def test_a_server_that_takes_no_connection() -> None:
    opening = Playbook(NatProbe(BY_NAME)) >> Started() << OpenStream("server", BY_NAME, reuse=True)
    assert (
        opening >> Deadline(15.0) << Fail(ServerUnreachable("no answer from server.example:21116 for 15 s"))
    )


@pytest.mark.parametrize(
    ("server", "remote"), [(BY_NAME, None), (ServerAddress.parse("wss://server.example"), REMOTE)]
)
def test_a_way_that_others_go_on_says_nothing(server: ServerAddress, remote: Endpoint | None) -> None:
    reason = f"a proxy, or the web, is between us and {server}"
    assert (
        Playbook(NatProbe(server))
        >> Started()
        << OpenStream("server", server, reuse=True)
        >> StreamOpened("server", LOCAL, remote)
        << Done(Nat(Mapping.UNKNOWN, LOCAL, (), None, reason))
    )
