"""Registration, step by step: PROTOCOL 9.1 and 9.2, silence, refusals, hostile datagrams."""

from __future__ import annotations

import pytest
from playbook import After, Deadline, Playbook, wire

from rdpeer.errors import ServerRefused, ServerUnreachable
from rdpeer.protocol.conversation import (
    DatagramReceived,
    Done,
    Fail,
    Rebind,
    Report,
    RouteChanged,
    SendDatagram,
    SocketBound,
    SocketFailed,
    Started,
    StoreRecord,
)
from rdpeer.protocol.notifications import FetchLocalAddr, PunchHole, RequestRelay
from rdpeer.protocol.registrant import Registrant
from rdpeer.protocol.registration import (
    Contested,
    Ignored,
    KeyConfirmed,
    Offline,
    Online,
    OtherServers,
    Registration,
)
from rdpeer.values import Endpoint, PeerId, PublicKey, ServerAddress
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.endpoints import mangle

SERVER = ServerAddress("rs.example")
REMOTE = Endpoint("203.0.113.5", 21116)
OTHER = Endpoint("2001:db8::5", 21116)
PEER = PeerId("612345678")
WHERE = "rs.example:21116 (203.0.113.5)"

I_AM_HERE = SendDatagram(wire(register_peer=pb.RegisterPeer(id="612345678")))
MY_KEY = SendDatagram(wire(register_pk=pb.RegisterPk(id="612345678", uuid=b"machine", pk=bytes(32))))
TAKEN = DatagramReceived(bytes.fromhex("3a00"))
WANTS_KEY = DatagramReceived(bytes.fromhex("3a021001"))
OK = DatagramReceived(bytes.fromhex("820100"))
ONLINE = Report(Online(PEER, SERVER, REMOTE))
CONFIRMED = StoreRecord(KeyConfirmed(PEER))


def refused(result: int) -> DatagramReceived:
    return DatagramReceived(wire(register_pk_response=pb.RegisterPkResponse(result=result)))  # type: ignore[arg-type]


def registration(
    *, confirmed: bool = True, once: bool = False, patience: float | None = None
) -> Registration:
    registrant = Registrant(PEER, b"machine", PublicKey(bytes(32)))
    return Registration(registrant, SERVER, confirmed=confirmed, once=once, patience=patience)


def started(conversation: Registration) -> Playbook:
    """Bound, its first question not yet looked at."""
    return Playbook(conversation) >> Started() << Rebind(SERVER) >> SocketBound(REMOTE)


def online() -> Playbook:
    return started(registration()) << I_AM_HERE >> TAKEN << ONLINE


def test_a_confirmed_key_needs_one_datagram() -> None:
    assert started(registration(once=True)) << I_AM_HERE >> TAKEN << ONLINE << Done(None)


def test_a_new_key_is_online_only_when_the_address_is_stored() -> None:
    assert (
        started(registration(confirmed=False, once=True))
        << MY_KEY
        >> OK
        << CONFIRMED
        << I_AM_HERE
        >> TAKEN
        << ONLINE
        << Done(None)
    )


def test_a_key_is_sent_when_asked_for_and_not_recorded_twice() -> None:
    assert started(registration()) << I_AM_HERE >> WANTS_KEY << MY_KEY >> OK << I_AM_HERE >> TAKEN << ONLINE


def test_the_address_is_kept_alive_without_a_word() -> None:
    assert online() >> Deadline(15.0) << I_AM_HERE >> TAKEN >> Deadline(15.0) << I_AM_HERE >> TAKEN


def test_a_server_that_lost_everything_is_mended_in_one_go() -> None:
    assert (
        online()
        >> Deadline(15.0)
        << I_AM_HERE
        >> WANTS_KEY
        << Report(Contested(PEER, SERVER, 1))
        << MY_KEY
        >> OK
        << I_AM_HERE
        >> TAKEN
    )


def test_a_clone_takes_the_address_again_and_again() -> None:
    playbook = online()
    for times in (1, 2, 3):
        playbook >> Deadline(15.0) << I_AM_HERE >> WANTS_KEY << Report(Contested(PEER, SERVER, times))
        playbook << MY_KEY >> OK << I_AM_HERE >> TAKEN
    assert playbook


def test_a_loss_now_and_then_is_no_clone() -> None:
    playbook = online()
    for _ in range(2):
        playbook >> Deadline(15.0) << I_AM_HERE >> WANTS_KEY << Report(Contested(PEER, SERVER, 1))
        playbook << MY_KEY >> OK << I_AM_HERE >> TAKEN
        playbook >> Deadline(15.0) << I_AM_HERE >> TAKEN
    assert playbook


def test_a_server_that_always_wants_the_key_is_not_sent_it_at_its_speed() -> None:
    assert (
        started(registration())
        << I_AM_HERE
        >> WANTS_KEY
        << MY_KEY
        >> OK
        << I_AM_HERE
        >> WANTS_KEY
        >> Deadline(7.0)
        << MY_KEY
    )


MOVED = Report(Offline(PEER, SERVER, REMOTE, "the way there has changed"))


def test_a_move_is_told_to_the_server_at_once() -> None:
    assert (
        online()
        >> After(1.0)
        >> RouteChanged()
        << MOVED
        << Rebind(SERVER)
        >> SocketBound(OTHER)
        << I_AM_HERE
        >> WANTS_KEY
        << MY_KEY
        >> OK
        << I_AM_HERE
        >> TAKEN
        << Report(Online(PEER, SERVER, OTHER))
    )


def test_a_move_through_a_time_without_any_network() -> None:
    assert (
        online()
        >> RouteChanged()
        << MOVED
        << Rebind(SERVER)
        >> SocketFailed("network is unreachable")
        << Report(Offline(PEER, SERVER, REMOTE, "network is unreachable"))
        >> Deadline(3.0)
        << Rebind(SERVER)
        >> SocketBound(REMOTE)
        << I_AM_HERE
        >> TAKEN
        << ONLINE
    )


def test_a_move_in_the_middle_of_a_question() -> None:
    """What was asked on the way that is gone is asked anew; an answer to it would count all the same."""
    assert (
        online()
        >> Deadline(15.0)
        << I_AM_HERE
        >> RouteChanged()
        << MOVED
        << Rebind(SERVER)
        >> SocketBound(REMOTE)
        << I_AM_HERE
        >> TAKEN
        << ONLINE
    )


def test_one_lost_datagram_is_no_change_of_state() -> None:
    assert (
        online()
        >> Deadline(15.0)
        << I_AM_HERE
        >> Deadline(3.0)
        << I_AM_HERE
        >> TAKEN
        >> Deadline(15.0)
        << (I_AM_HERE)
    )


def test_silence_backs_off_to_12_s_and_changes_the_socket() -> None:
    offline = Report(Offline(PEER, SERVER, REMOTE, "no answer"))
    book = online() >> Deadline(15.0) << I_AM_HERE >> Deadline(3.0) << I_AM_HERE
    book = book >> Deadline(3.0) << offline << Rebind(SERVER) >> SocketBound(OTHER) << I_AM_HERE
    for wait in (6.0, 9.0, 12.0, 12.0):
        book = book >> Deadline(wait) << Rebind(SERVER) >> SocketBound(REMOTE) << I_AM_HERE
    assert book >> TAKEN << ONLINE >> Deadline(15.0) << I_AM_HERE


def test_a_command_that_does_not_stay_gives_up_after_15_s() -> None:
    assert (
        started(registration(once=True, patience=15.0))
        << I_AM_HERE
        >> Deadline(3.0)
        << I_AM_HERE
        >> Deadline(3.0)
        << Report(Offline(PEER, SERVER, REMOTE, "no answer"))
        << Rebind(SERVER)
        >> SocketBound(OTHER)
        << I_AM_HERE
        >> Deadline(6.0)
        << Rebind(SERVER)
        >> SocketBound(REMOTE)
        << I_AM_HERE
        >> Deadline(3.0)
        << Fail(ServerUnreachable(f"no answer from {WHERE} for 15 s"))
    )


def test_patience_counts_from_the_question_not_from_the_last_answer() -> None:
    assert (
        started(registration(patience=15.0))
        << I_AM_HERE
        >> TAKEN
        << ONLINE
        >> Deadline(15.0)
        << I_AM_HERE
        >> After(2.9)
        >> TAKEN
        >> Deadline(15.0)
        << I_AM_HERE
    )


def test_a_name_that_does_not_resolve_ends_a_command_that_does_not_stay() -> None:
    assert (
        Playbook(registration(once=True, patience=15.0))
        >> Started()
        << Rebind(SERVER)
        >> SocketFailed("rs.example:21116: Name or service not known")
        << Fail(ServerUnreachable("cannot reach rs.example:21116: Name or service not known"))
    )


def test_a_name_that_does_not_resolve_is_tried_again_by_one_that_stays() -> None:
    offline = Report(Offline(PEER, SERVER, None, "no such name"))
    book = Playbook(registration()) >> Started() << Rebind(SERVER) >> SocketFailed("no such name") << offline
    for wait in (3.0, 6.0, 9.0, 12.0, 12.0):
        book = book >> Deadline(wait) << Rebind(SERVER) >> SocketFailed("no such name")
    assert book >> Deadline(12.0) << Rebind(SERVER) >> SocketBound(REMOTE) << I_AM_HERE >> TAKEN << ONLINE


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (pb.RegisterPkResponse.UUID_MISMATCH, "the ID belongs to another installation there"),
        (pb.RegisterPkResponse.ID_EXISTS, "the ID is taken"),
        (pb.RegisterPkResponse.INVALID_ID_FORMAT, "it does not allow such an ID"),
        (pb.RegisterPkResponse.NOT_SUPPORT, "it takes no registrations this way"),
    ],
)
def test_what_trying_cannot_mend_ends_even_one_that_stays(result: int, text: str) -> None:
    error = ServerRefused(f"{WHERE} does not register 612345678: {text}")
    assert started(registration(confirmed=False)) << MY_KEY >> refused(result) << Fail(error)


@pytest.mark.parametrize(
    ("result", "wait", "text"),
    [
        (pb.RegisterPkResponse.TOO_FREQUENT, 7.0, "too many registrations"),
        (pb.RegisterPkResponse.SERVER_ERROR, 6.0, "it has an internal error"),
        (pb.RegisterPkResponse.NOT_DEPLOYED, 30.0, "its operator has to let this device in first"),
        (99, 12.0, "refused with unknown result 99"),
    ],
)
def test_what_may_pass_is_tried_again_by_one_that_stays(result: int, wait: float, text: str) -> None:
    assert (
        started(registration(confirmed=False))
        << MY_KEY
        >> refused(result)
        << Report(Offline(PEER, SERVER, REMOTE, text))
        >> Deadline(wait)
        << MY_KEY
        >> OK
        << CONFIRMED
        << I_AM_HERE
        >> TAKEN
        << ONLINE
    )


def test_one_that_does_not_stay_takes_three_refusals() -> None:
    too_many = refused(pb.RegisterPkResponse.TOO_FREQUENT)
    error = ServerRefused(f"{WHERE} does not register 612345678: too many registrations")
    assert (
        started(registration(confirmed=False, once=True, patience=15.0))
        << MY_KEY
        >> too_many
        << Report(Offline(PEER, SERVER, REMOTE, "too many registrations"))
        >> Deadline(7.0)
        << MY_KEY
        >> too_many
        >> Deadline(7.0)
        << MY_KEY
        >> too_many
        << Fail(error)
    )


def test_answers_to_no_question_move_nothing() -> None:
    assert online() >> TAKEN >> WANTS_KEY >> OK >> refused(2) >> Deadline(15.0) << I_AM_HERE >> OK >> TAKEN


def test_garbage_is_ignored_and_told_once_a_minute() -> None:
    garbage = DatagramReceived(b"\xff\xff")
    assert (
        online()
        >> garbage
        << Report(Ignored(SERVER, 1))
        >> garbage
        >> DatagramReceived(b"")
        >> DatagramReceived(wire(punch_hole=pb.PunchHole(socket_addr=bytes(17))))
        >> Deadline(15.0)
        << I_AM_HERE
        >> TAKEN
        >> Deadline(15.0)
        << I_AM_HERE
    )


def test_other_servers_are_told_once_and_not_obeyed() -> None:
    update = wire(configure_update=pb.ConfigUpdate(serial=1, rendezvous_servers=["evil.example", "b\x1b"]))
    told = OtherServers(SERVER, ("evil.example", "b\x1b"))
    assert (
        online()
        >> DatagramReceived(update)
        << Report(told)
        >> DatagramReceived(update)
        >> DatagramReceived(wire(configure_update=pb.ConfigUpdate()))
        >> Deadline(15.0)
        << I_AM_HERE
    )
    assert str(told) == (
        f"{SERVER} wants its peers to use other servers (evil.example, b?); the one that is set is kept"
    )


def asked_by(last_octet: int, tm: int = 0) -> bytes:
    return mangle(Endpoint(f"198.51.100.{last_octet}", 40000), tm)


def test_notifications_come_out_whatever_the_state() -> None:
    a = asked_by(1)
    assert (
        started(registration())
        << I_AM_HERE
        >> DatagramReceived(wire(punch_hole=pb.PunchHole(socket_addr=a, relay_server="r.example")))
        << Report(PunchHole(a, "r.example"))
        >> DatagramReceived(wire(fetch_local_addr=pb.FetchLocalAddr(socket_addr=a)))
        << Report(FetchLocalAddr(a, ""))
        >> DatagramReceived(
            wire(request_relay=pb.RequestRelay(socket_addr=a, relay_server="r.example", uuid="u"))
        )
        << Report(RequestRelay(a, "r.example", "u"))
    )


def test_a_notification_of_the_smallest_server() -> None:
    demo = bytes.fromhex("92010b2209") + b"192.0.2.9"
    assert online() >> DatagramReceived(demo) << Report(RequestRelay(b"", "192.0.2.9", ""))


def test_duplicates_within_100_ms_are_dropped_whatever_their_tm() -> None:
    first, second, other = asked_by(1, tm=7), asked_by(1, tm=8), asked_by(2)
    assert (
        online()
        >> DatagramReceived(wire(punch_hole=pb.PunchHole(socket_addr=first)))
        << Report(PunchHole(first, ""))
        >> After(0.09)
        >> DatagramReceived(wire(punch_hole=pb.PunchHole(socket_addr=second)))
        >> DatagramReceived(wire(punch_hole=pb.PunchHole(socket_addr=other)))
        << Report(PunchHole(other, ""))
        >> After(0.02)
        >> DatagramReceived(wire(punch_hole=pb.PunchHole(socket_addr=second)))
        << Report(PunchHole(second, ""))
    )


def test_a_flood_of_notifications_is_held_to_a_rate() -> None:
    conversation = registration()
    conversation.handle(Started(), 0.0)
    conversation.handle(SocketBound(REMOTE), 0.0)

    def passed(now: float) -> int:
        crowd = (mangle(Endpoint("198.51.100.1", 40000 + n), 0) for n in range(400))
        floods = (wire(punch_hole=pb.PunchHole(socket_addr=address)) for address in crowd)
        return sum(len(conversation.handle(DatagramReceived(payload), now)) for payload in floods)

    assert passed(0.0) == 256
    assert passed(1.0) == 32
