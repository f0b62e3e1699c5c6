"""The responder's answers: listening, relaying, refusing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from playbook import Deadline, Playbook, wire

from rdpeer.errors import ServerUnreachable
from rdpeer.protocol.answer import Answer, Dropped, Listening, Refused, Responder
from rdpeer.protocol.conversation import (
    CloseStream,
    Done,
    Fail,
    Listen,
    ListenerFailed,
    ListenerOpened,
    OpenStream,
    SendFrame,
    Started,
    StreamClosed,
    StreamFailed,
    StreamOpened,
)
from rdpeer.protocol.nat import Mapping
from rdpeer.protocol.notifications import (
    FetchLocalAddr,
    Notification,
    PunchHole,
    RequestRelay,
    read_notification,
)
from rdpeer.protocol.question import RendezvousServer
from rdpeer.protocol.relay_leg import Joined
from rdpeer.protocol.relays import Relays
from rdpeer.protocol.tokens import UsedTokens
from rdpeer.values import Endpoint, PeerId, ServerAddress, ServerKey
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.endpoints import mangle

ADDRESS = ServerAddress("203.0.113.5")
OWN_RELAY = ServerAddress("203.0.113.5", 21117)
FRESH = "00000000-0000-4000-8000-000000000001"
ASKED = "00000000-0000-4000-8000-00000000000A"
A = mangle(Endpoint("198.51.100.1", 40000), 0x1234)
LOCAL = Endpoint("192.168.1.7", 50000)
REMOTE = Endpoint("203.0.113.5", 21116)
NOW = 1000.0
TM = int(NOW * 1_000_000) & 0xFFFFFFFF

OPENED = StreamOpened("server", LOCAL, REMOTE)
AT_RELAY = StreamOpened("relay", LOCAL, REMOTE)
CLOSE = CloseStream("server")


def responder(*configured: ServerAddress) -> Responder:
    server = RendezvousServer(ADDRESS, ServerKey("KEY"))
    return Responder(PeerId("612345678"), server, Relays(ADDRESS, *configured), UsedTokens())


def answering(
    notification: Notification, who: Responder | None = None, refuse: str | None = None
) -> Playbook:
    return Playbook(Answer(who or responder(), notification, FRESH, refuse=refuse), NOW) >> Started()


def relay_response(**fields: object) -> SendFrame:
    response = pb.RelayResponse(socket_addr=A, version="1.4.9", **fields)  # type: ignore[arg-type]
    return SendFrame("server", wire(relay_response=response))


def waiting_at(relay: str) -> SendFrame:
    return relay_response(uuid=FRESH, relay_server=relay, id="612345678")


def joining(token: str) -> SendFrame:
    return SendFrame("relay", wire(request_relay=pb.RequestRelay(uuid=token, licence_key="KEY")))


def test_a_neighbour_is_told_where_we_listen_already() -> None:
    local_addr = pb.LocalAddr(
        socket_addr=A,
        local_addr=mangle(LOCAL, TM),
        relay_server="203.0.113.5:21117",
        id="612345678",
        version="1.4.9",
    )
    assert (
        answering(FetchLocalAddr(A, ""))
        << OpenStream("server", ADDRESS, reuse=True)
        >> OPENED
        << Listen("peer", beside="server")
        >> ListenerOpened("peer", LOCAL)
        << SendFrame("server", wire(local_addr=local_addr))
        << CLOSE
        << Done(Listening(LOCAL), ("peer",))
    )


def test_a_neighbour_is_met_at_the_relay_where_we_cannot_listen() -> None:
    assert (
        answering(FetchLocalAddr(A, ""))
        << OpenStream("server", ADDRESS, reuse=True)
        >> OPENED
        << Listen("peer", beside="server")
        >> ListenerFailed("peer", "Address already in use")
        << waiting_at("203.0.113.5:21117")
        << CLOSE
        << OpenStream("relay", OWN_RELAY)
        >> AT_RELAY
        << joining(FRESH)
        << Done(Joined(OWN_RELAY, FRESH), ("relay",))
    )


STRANGER = Endpoint("198.51.100.1", 40000)
PUNCHED = PunchHole(A, "")
PUNCHING = Listen("peer", beside="server", dial=STRANGER)


def punch_sent(relay: str, nat_type: pb.NatType.ValueType = pb.UNKNOWN_NAT) -> SendFrame:
    sent = pb.PunchHoleSent(
        socket_addr=A, id="612345678", relay_server=relay, nat_type=nat_type, version="1.4.9"
    )
    return SendFrame("server", wire(punch_hole_sent=sent))


@pytest.mark.parametrize("mapping", [Mapping.UNKNOWN, Mapping.ASYMMETRIC])
def test_a_stranger_is_dialled_from_where_we_listen_before_it_is_told(mapping: Mapping) -> None:
    who = responder()
    who.mapping = mapping
    assert (
        answering(PUNCHED, who)
        << OpenStream("server", ADDRESS, reuse=True)
        >> OPENED
        << PUNCHING
        >> ListenerOpened("peer", LOCAL)
        << punch_sent("203.0.113.5:21117", mapping.value)
        << CLOSE
        << Done(Listening(LOCAL), ("peer",))
    )


@pytest.mark.parametrize(
    ("named", "configured", "relay"),
    [
        ("", [], OWN_RELAY),
        ("r.example", [], ServerAddress("r.example", 21117)),
        ("r.example:443", [], ServerAddress("r.example", 443)),
        ("127.0.0.1", [], OWN_RELAY),
        ("no host!", [], OWN_RELAY),
        ("r.example", [ServerAddress("mine.example", 9)], ServerAddress("mine.example", 9)),
    ],
)
def test_the_relay_that_a_stranger_may_ask_for_is_one_that_we_go_to(
    named: str, configured: Sequence[ServerAddress], relay: ServerAddress
) -> None:
    who = responder(*configured)
    assert (
        answering(PunchHole(A, named), who)
        << OpenStream("server", ADDRESS, reuse=True)
        >> OPENED
        << PUNCHING
        >> ListenerOpened("peer", LOCAL)
        << punch_sent(str(relay))
        << CLOSE
        << Done(Listening(LOCAL), ("peer",))
    )
    assert invited(relay, who, str(relay))


def relaying(playbook: Playbook, *, dials: bool = False, relay: ServerAddress = OWN_RELAY) -> Playbook:
    """The rest of an answer by relay."""
    response = relay_response(uuid=FRESH, relay_server=str(relay), id="612345678", dials=dials)
    return (
        playbook
        << response
        << CLOSE
        << OpenStream("relay", relay)
        >> AT_RELAY
        << joining(FRESH)
        << Done(Joined(relay, FRESH), ("relay",))
    )


def test_where_we_cannot_listen_a_stranger_is_met_at_the_relay() -> None:
    opened = answering(PUNCHED) << OpenStream("server", ADDRESS, reuse=True) >> OPENED << PUNCHING
    assert relaying(opened >> ListenerFailed("peer", "Address already in use"))


@pytest.mark.parametrize(
    ("named", "configured", "relay"),
    [
        ("", [], OWN_RELAY),
        ("r.example:443", [], ServerAddress("r.example", 443)),
        ("r.example", [ServerAddress("mine.example", 9)], ServerAddress("mine.example", 9)),
    ],
)
def test_who_wants_a_relay_gets_one(
    named: str, configured: Sequence[ServerAddress], relay: ServerAddress
) -> None:
    wanted = PunchHole(A, named, relay_only=True)
    opened = answering(wanted, responder(*configured)) << OpenStream("server", ADDRESS) >> OPENED
    assert relaying(opened, relay=relay)


@pytest.mark.parametrize(
    "endpoint",
    [
        None,
        Endpoint("0.0.0.0", 9),
        Endpoint("224.0.0.1", 9),
        Endpoint("255.255.255.255", 9),
        Endpoint("240.0.0.1", 9),
        Endpoint("127.0.0.1", 22),
        Endpoint("ff02::1", 9),
        Endpoint("::", 9),
        Endpoint("::1", 22),
    ],
)
def test_an_address_that_no_peer_has_is_not_dialled(endpoint: Endpoint | None) -> None:
    mark = mangle(endpoint, 0) if endpoint else b""
    asked = PunchHole(mark, "")
    answer = Answer(responder(), asked, FRESH)
    commands = [*answer.handle(Started(), NOW), *answer.handle(OPENED, NOW)]
    assert OpenStream("relay", OWN_RELAY) in commands
    assert not [command for command in commands if isinstance(command, Listen)]


def test_loopback_is_dialled_where_the_server_is_there_too() -> None:
    who = responder()
    who.relays.server_ip = "127.0.0.1"
    here = Endpoint("127.0.0.1", 40000)
    assert (
        answering(PunchHole(mangle(here, 5), ""), who)
        << OpenStream("server", ServerAddress("127.0.0.1"), reuse=True)
        >> StreamOpened("server", Endpoint("127.0.0.1", 50000), Endpoint("127.0.0.1", 21116))
        << Listen("peer", beside="server", dial=here)
    )


def test_an_initiator_of_the_other_family_is_met_at_the_relay() -> None:
    mark = mangle(Endpoint("2001:db8::9", 40000), 0)
    answer = Answer(responder(), PunchHole(mark, ""), FRESH)
    commands = [*answer.handle(Started(), NOW), *answer.handle(OPENED, NOW)]
    assert OpenStream("relay", OWN_RELAY) in commands


def test_behind_a_symmetric_nat_we_relay_at_once_and_say_that_we_dial() -> None:
    who = responder()
    who.mapping = Mapping.SYMMETRIC
    assert Answer(who, PUNCHED, FRESH).dials == STRANGER
    opened = answering(PUNCHED, who) << OpenStream("server", ADDRESS) >> OPENED
    assert relaying(opened, dials=True)


@pytest.mark.parametrize(
    ("asked", "options"),
    [
        (PunchHole(A, "", relay_only=True), {}),
        (PunchHole(mangle(Endpoint("127.0.0.1", 22), 0), ""), {}),
        (PUNCHED, {"relay_only": True}),
        (PUNCHED, {"refuse": "no"}),
        (FetchLocalAddr(A, ""), {}),
        (RequestRelay(A, "", ASKED), {}),
    ],
)
def test_behind_a_symmetric_nat_nothing_else_is_dialled(asked: Notification, options: dict[str, Any]) -> None:
    who = responder()
    who.mapping = Mapping.SYMMETRIC
    assert Answer(who, asked, FRESH, **options).dials is None


@pytest.mark.parametrize("kind", [PunchHole, FetchLocalAddr])
def test_with_no_room_for_more_listeners_all_are_met_at_the_relay(kind: type[Notification]) -> None:
    playbook = Playbook(Answer(responder(), kind(A, ""), FRESH, relay_only=True), NOW) >> Started()
    assert relaying(playbook << OpenStream("server", ADDRESS) >> OPENED)


def invited(relay: ServerAddress, who: Responder, named: str, token: str = ASKED) -> Playbook:
    return (
        answering(RequestRelay(A, named, token), who)
        << OpenStream("server", ADDRESS)
        >> OPENED
        << relay_response()
        << CLOSE
        << OpenStream("relay", relay)
        >> AT_RELAY
        << joining(token)
        << Done(Joined(relay, token), ("relay",))
    )


def test_an_invitation_to_an_allowed_relay() -> None:
    mine = ServerAddress("mine.example", 9)
    assert invited(OWN_RELAY, responder(), "")
    assert invited(OWN_RELAY, responder(), "203.0.113.5:21117")
    assert invited(mine, responder(mine), "mine.example:9")
    assert invited(OWN_RELAY, responder(), "203.0.113.5", token="")


def test_an_invitation_to_a_relay_that_the_server_named_within_10_minutes() -> None:
    who = responder()
    named = ServerAddress("r.example", 21117)
    who.relays.name("r.example", NOW - 599.0)
    assert invited(named, who, "r.example")
    who.relays.name("r.example", NOW - 600.0)
    assert refusing(who, "r.example")


def refusing(who: Responder, relay: str) -> Playbook:
    reason = f"relay {relay} is not allowed here"
    return (
        answering(RequestRelay(A, relay, ASKED), who)
        << OpenStream("server", ADDRESS)
        >> OPENED
        << relay_response(refuse_reason=reason, id="612345678")
        << CLOSE
        << Done(Refused(reason))
    )


@pytest.mark.parametrize("relay", ["evil.example:21117", "203.0.113.5:22", "10.0.0.1", "no host!"])
def test_an_invitation_elsewhere_is_refused(relay: str) -> None:
    assert refusing(responder(), relay)


@pytest.mark.parametrize("secure", [False, True])
def test_an_invitation_to_speak_in_clear_is_one_as_any_other(secure: bool) -> None:
    asked = pb.RequestRelay(socket_addr=A, relay_server="r.example", uuid=ASKED, secure=secure)
    assert read_notification(pb.RendezvousMessage(request_relay=asked)) == RequestRelay(A, "r.example", ASKED)


def test_an_invitation_does_not_make_its_relay_allowed() -> None:
    who = responder()
    assert refusing(who, "evil.example:1")
    assert refusing(who, "evil.example:1")


def test_a_token_is_joined_once() -> None:
    who = responder()
    assert invited(OWN_RELAY, who, "")
    dropped = Done(Dropped("the pairing token was used before"))
    assert answering(RequestRelay(A, "", ASKED.lower()), who) << dropped


def test_a_token_that_is_none_is_dropped() -> None:
    dropped = Done(Dropped("the pairing token is not a UUID"))
    assert answering(RequestRelay(A, "", "uuid-2")) << dropped


@pytest.mark.parametrize("kind", [PunchHole, FetchLocalAddr, RequestRelay])
def test_who_does_not_listen_says_so(kind: type[Notification]) -> None:
    assert (
        answering(kind(A, ""), refuse="not listening")
        << OpenStream("server", ADDRESS)
        >> OPENED
        << relay_response(refuse_reason="not listening", id="612345678")
        << CLOSE
        << Done(Refused("not listening"))
    )


def test_a_server_that_is_gone() -> None:
    opening = answering(PUNCHED) << OpenStream("server", ADDRESS, reuse=True)
    error = ServerUnreachable("cannot reach 203.0.113.5:21116: Connection refused")
    assert opening >> StreamFailed("server", "203.0.113.5:21116: Connection refused") << Fail(error)


def test_a_server_that_does_not_take_the_answer() -> None:
    opening = answering(PUNCHED) << OpenStream("server", ADDRESS, reuse=True)
    assert opening >> Deadline(15.0) << Fail(ServerUnreachable("no answer from 203.0.113.5:21116 for 15 s"))


def test_a_server_that_closes_before_the_answer() -> None:
    error = ServerUnreachable("203.0.113.5:21116 closed the connection before our answer")
    assert (
        answering(FetchLocalAddr(A, ""))
        << OpenStream("server", ADDRESS, reuse=True)
        >> OPENED
        << Listen("peer", beside="server")
        >> StreamClosed("server")
        << Fail(error)
    )


def test_the_answer_goes_to_the_address_where_we_are_registered() -> None:
    by_name = ServerAddress("server.example")
    relays = Relays(by_name)
    relays.server_ip = "203.0.113.5"
    who = Responder(PeerId("612345678"), RendezvousServer(by_name), relays, UsedTokens())
    failed = ServerUnreachable("cannot reach server.example:21116: refused")
    assert (
        answering(FetchLocalAddr(A, ""), who)
        << OpenStream("server", ADDRESS, reuse=True)
        >> StreamFailed("server", "refused")
        << Fail(failed)
    )
