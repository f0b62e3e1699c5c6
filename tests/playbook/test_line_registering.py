"""Registration over a connection: PROTOCOL 2.4, the server's greeting, heartbeats, what cannot be mended."""

from __future__ import annotations

import pytest
from playbook import After, Deadline, Playbook, wire

from rdpeer.crypto.keys import ExchangeKey, IdentityKey
from rdpeer.crypto.stock import StockChannel
from rdpeer.errors import ServerRefused, ServerUnreachable
from rdpeer.protocol.conversation import (
    CloseStream,
    Done,
    Fail,
    FrameReceived,
    OpenStream,
    Report,
    SendFrame,
    Started,
    StoreRecord,
    StreamClosed,
    StreamFailed,
    StreamOpened,
)
from rdpeer.protocol.line_registration import LineRegistration
from rdpeer.protocol.notifications import RequestRelay
from rdpeer.protocol.question import SERVER, RendezvousServer
from rdpeer.protocol.registrant import Registrant
from rdpeer.protocol.registration import KeyConfirmed, Offline, Online
from rdpeer.values import Endpoint, PeerId, PublicKey, ServerAddress, ServerKey
from rdpeer.wire import rendezvous_pb2 as pb

KEY = IdentityKey.from_seed(bytes(32))
PEER = PeerId("612345678")
HERE, REMOTE = Endpoint("192.168.1.7", 50000), Endpoint("203.0.113.5", 21116)
TCP = ServerAddress("rs.example")
WEB = ServerAddress.parse("wss://rs.example")
WHERE = "rs.example:21116 (203.0.113.5)"

ASKS = wire(register_pk=pb.RegisterPk(id="612345678", uuid=b"machine", pk=bytes(32)))
MY_KEY = SendFrame(SERVER, ASKS)
BEAT, BACK = FrameReceived(SERVER, b""), SendFrame(SERVER, b"")


def answer(result: int = 0, keep_alive: int = 20) -> bytes:
    response = pb.RegisterPkResponse(result=result, keep_alive=keep_alive)  # type: ignore[arg-type]
    return wire(register_pk_response=response)


def hears(payload: bytes) -> FrameReceived:
    return FrameReceived(SERVER, payload)


def registration(
    server: ServerAddress = WEB, *, key: str = KEY.public.text, **how: object
) -> LineRegistration:
    registrant = Registrant(PEER, b"machine", PublicKey(bytes(32)))
    how.setdefault("confirmed", True)
    return LineRegistration(
        registrant,
        RendezvousServer(server, ServerKey(key)),
        random=lambda count: b"\x07" * count,
        **how,  # type: ignore[arg-type]
    )


def connected(server: ServerAddress = WEB, **how: object) -> Playbook:
    return (
        Playbook(registration(server, **how))
        >> Started()
        << OpenStream(SERVER, server)
        >> StreamOpened(SERVER, HERE, REMOTE)
    )


def online() -> Playbook:
    return connected() << MY_KEY >> hears(answer()) << Report(Online(PEER, WEB, REMOTE))


def offline(reason: str, server: ServerAddress = WEB) -> Report:
    return Report(Offline(PEER, server, REMOTE, reason))


def test_one_question_and_it_is_online() -> None:
    assert (
        connected(confirmed=False, once=True)
        << MY_KEY
        >> hears(answer())
        << StoreRecord(KeyConfirmed(PEER))
        << Report(Online(PEER, WEB, REMOTE))
        << Done(None)
    )


def test_heartbeats_are_sent_back_and_their_absence_is_the_end() -> None:
    assert (
        online()
        >> After(29.9)
        >> BEAT
        << BACK
        >> After(29.9)
        >> BEAT
        << BACK
        >> Deadline(30.0)
        << CloseStream(SERVER)
        << offline("no answer")
        >> Deadline(1.0)
        << OpenStream(SERVER, WEB)
    )


@pytest.mark.parametrize(("named", "waits"), [(0, 90.0), (-5, 90.0), (1, 1.5), (2**31 - 1, 5400.0)])
def test_the_server_says_how_often_it_beats(named: int, waits: float) -> None:
    assert (
        connected()
        << MY_KEY
        >> hears(answer(keep_alive=named))
        << Report(Online(PEER, WEB, REMOTE))
        >> Deadline(waits)
        << CloseStream(SERVER)
        << offline("no answer")
    )


def test_who_asks_for_us_is_told() -> None:
    asked = wire(request_relay=pb.RequestRelay(uuid="t", relay_server="r"))
    assert online() >> hears(asked) << Report(RequestRelay(b"", "r", "t")) >> hears(asked)


def test_a_lost_server_is_asked_again_ever_more_slowly() -> None:
    book = online() >> StreamClosed(SERVER) << offline("the server closed the connection")
    for number, pause in enumerate([1.0, 2.0, 4.0, 8.0, 12.0, 12.0]):
        book = book >> Deadline(pause) << OpenStream(SERVER, WEB) >> StreamFailed(SERVER, "refused")
        book = book << offline("refused") if number == 0 else book
    assert (
        book
        >> Deadline(12.0)
        << OpenStream(SERVER, WEB)
        >> StreamOpened(SERVER, HERE, REMOTE)
        << MY_KEY
        >> hears(answer())
        << Report(Online(PEER, WEB, REMOTE))
        >> StreamClosed(SERVER)
        << offline("the server closed the connection")
        >> Deadline(1.0)
        << OpenStream(SERVER, WEB)
    )


def test_stocks_open_server_says_that_it_takes_none_and_that_is_the_end() -> None:
    error = ServerRefused(f"{WHERE} does not register 612345678: it takes registrations by UDP only")
    book = connected(TCP) >> Deadline(0.5) << MY_KEY >> hears(answer(6, 0)) << Fail(error)
    assert book


def test_one_that_just_hangs_up_takes_none_either() -> None:
    error = ServerRefused(f"{WHERE} does not register 612345678: it hangs up on a registration over TCP")
    assert connected(TCP) >> Deadline(0.5) << MY_KEY >> StreamClosed(SERVER) << Fail(error)


def test_a_refusal_that_time_mends_is_tried_again_in_time() -> None:
    assert (
        connected()
        << MY_KEY
        >> hears(answer(4))
        << CloseStream(SERVER)
        << offline("too many registrations")
        >> Deadline(7.0)
        << OpenStream(SERVER, WEB)
    )


def test_a_refusal_that_nothing_mends_is_the_end() -> None:
    text = f"wss://rs.example/ws/id (203.0.113.5) does not register {PEER}: "
    error = ServerRefused(text + "the ID belongs to another installation there")
    assert connected() << MY_KEY >> hears(answer(2)) << Fail(error)


def test_patience_ends_where_nobody_answers_and_where_nobody_is() -> None:
    unreachable = ServerUnreachable("cannot reach wss://rs.example/ws/id: refused")
    book = Playbook(registration(patience=15.0)) >> Started() << OpenStream(SERVER, WEB)
    assert book >> StreamFailed(SERVER, "refused") << Fail(unreachable)
    where = "wss://rs.example/ws/id (203.0.113.5)"
    assert (
        connected(patience=10.0)
        << MY_KEY
        >> Deadline(10.0)
        << Fail(ServerUnreachable(f"no answer from {where} for 10 s"))
    )


def test_an_answer_that_does_not_come_is_asked_for_anew() -> None:
    assert (
        connected()
        << MY_KEY
        >> Deadline(12.0)
        << CloseStream(SERVER)
        << offline("no answer")
        >> Deadline(1.0)
        << OpenStream(SERVER, WEB)
    )


def test_what_cannot_be_read_ends_the_line_and_not_the_listener() -> None:
    reason = "it sent what cannot be read: 1 bytes are not a RendezvousMessage"
    book = online() >> hears(b"\xff") << CloseStream(SERVER) << offline(reason)
    assert book >> Deadline(1.0) << OpenStream(SERVER, WEB)


# The greeting

THEIRS = ExchangeKey.generate(lambda count: b"\x09" * count)
GREETING = wire(key_exchange=pb.KeyExchange(keys=[KEY.sign_combined(THEIRS.public)]))


def sealed(*payloads: bytes) -> list[bytes]:
    channel = StockChannel(b"\x07" * 32)
    return [channel.seal(payload) for payload in payloads]


def exchanged() -> SendFrame:
    ours = ExchangeKey.generate(lambda count: b"\x07" * count)
    keys = [ours.public, ours.seal_session_key(b"\x07" * 32, THEIRS.public)]
    return SendFrame(SERVER, wire(key_exchange=pb.KeyExchange(keys=keys)))


def test_a_greeting_is_answered_and_what_follows_is_sealed_but_for_heartbeats() -> None:
    notified = wire(request_relay=pb.RequestRelay(uuid="t", relay_server="r"))
    said, heard = sealed(ASKS), sealed(answer(), notified)
    assert (
        connected(TCP)
        >> hears(GREETING)
        << exchanged()
        << SendFrame(SERVER, said[0])
        >> hears(heard[0])
        << Report(Online(PEER, TCP, REMOTE))
        >> BEAT
        << BACK
        >> hears(heard[1])
        << Report(RequestRelay(b"", "r", "t"))
    )


def test_nothing_in_clear_is_believed_any_more() -> None:
    reason = "it sent what cannot be read: a sealed message does not open"
    assert (
        connected(TCP)
        >> hears(GREETING)
        << exchanged()
        << SendFrame(SERVER, sealed(ASKS)[0])
        >> hears(answer().ljust(40, b"\x00"))
        << CloseStream(SERVER)
        << offline(reason, TCP)
    )


@pytest.mark.parametrize(
    "keys",
    [
        [],
        [b"short"],
        [IdentityKey.from_seed(b"\x01" * 32).sign_combined(THEIRS.public)],
        [KEY.sign_combined(THEIRS.public)] * 2,
    ],
)
def test_a_greeting_that_our_server_has_not_signed_is_none(keys: list[bytes]) -> None:
    greeting = wire(key_exchange=pb.KeyExchange(keys=keys))
    assert connected(TCP) >> hears(greeting) << MY_KEY >> hears(answer()) << Report(Online(PEER, TCP, REMOTE))


@pytest.mark.parametrize("point", [bytes(32), b"\x01" + bytes(31), b"x"])
def test_a_signed_greeting_with_no_key_in_it(point: bytes) -> None:
    greeting = wire(key_exchange=pb.KeyExchange(keys=[KEY.sign_combined(point)]))
    conversation = registration(TCP)
    conversation.handle(Started(), 0.0)
    conversation.handle(StreamOpened(SERVER, HERE, REMOTE), 0.0)
    close, told = conversation.handle(hears(greeting), 0.0)
    assert close == CloseStream(SERVER)
    assert isinstance(told, Report)


def test_a_greeting_that_comes_too_late_changes_nothing() -> None:
    assert (
        connected(TCP)
        >> Deadline(0.5)
        << MY_KEY
        >> hears(GREETING)
        >> hears(answer())
        << Report(Online(PEER, TCP, REMOTE))
    )


def test_none_is_waited_for_on_the_web_or_without_a_key_to_check_it_by() -> None:
    assert connected(WEB) << MY_KEY
    assert connected(TCP, key="a text") << MY_KEY
