"""The login at a desktop: against what a real one sent, and against what none should send."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.cli.exits import exit_code
from rdpeer.crypto.identities import sign_id_pk
from rdpeer.crypto.keys import ExchangeKey, IdentityKey
from rdpeer.crypto.stock import StockChannel, password_proof
from rdpeer.errors import (
    AuthenticationFailed,
    ConnectionLost,
    DeadlineExceeded,
    IdentityMismatch,
    LocalProtocolError,
    PeerRefused,
    PeerUnavailable,
    RdpeerError,
    RemoteProtocolError,
)
from rdpeer.protocol.handshake_base import PathVerified, Send
from rdpeer.protocol.login import ApprovalAwaited, CodeWanted, DesktopLogin, LoggedIn, Visitor
from rdpeer.protocol.login_errors import WrongPassword
from rdpeer.protocol.opening import ExpectedKey
from rdpeer.protocol.stock import Machine
from rdpeer.values import PeerId, PublicKey, ServerAddress
from rdpeer.wire import session_pb2 as pb

VECTORS = Path(__file__).parent.parent / "vectors" / "stock-desktop-1.4.9.jsonl"
RECORDED = [json.loads(line) for line in VECTORS.read_text().splitlines()[1:]]
SESSIONS = sorted({vector["session"] for vector in RECORDED})

PEER = PeerId("178000002")
KEY = IdentityKey.from_seed(b"d" * 32)
VISITOR = Visitor(PeerId("987654321"), Machine("lab", "Linux"))
TARGET = ServerAddress("localhost", 9000)
BY_SERVER = ExpectedKey("the server", key=KEY.public)


class Desktop:
    """A desktop's end of one connection, as bytes."""

    def __init__(self, key: IdentityKey = KEY) -> None:
        self._identity = key
        self._exchange = ExchangeKey.generate()
        self.channel: StockChannel

    def signed_id(self, peer: str = PEER.text, versions: tuple[int, ...] = ()) -> bytes:
        blob = sign_id_pk(self._identity, peer, self._exchange.public, versions)
        return pb.Message(signed_id=pb.SignedId(id=blob)).SerializeToString()

    def take_key(self, payload: bytes) -> None:
        answer = pb.Message.FromString(payload).public_key
        assert not answer.version, "a stock session has no mark"
        key = self._exchange.open_session_key(answer.symmetric_value, answer.asymmetric_value)
        self.channel = StockChannel(key)

    def seal(self, **member: Any) -> bytes:
        return self.channel.seal(pb.Message(**member).SerializeToString())

    def read(self, event: object) -> pb.Message:
        assert isinstance(event, Send)
        return pb.Message.FromString(self.channel.open(event.payload))

    def error(self, text: str) -> bytes:
        return self.seal(login_response=pb.LoginResponse(error=text))

    def welcome(self) -> bytes:
        return self.seal(login_response=pb.LoginResponse(peer_info=pb.PeerInfo(platform="Linux")))


def login(expected: tuple[ExpectedKey, ...] = (BY_SERVER,)) -> DesktopLogin:
    return DesktopLogin(PEER, expected, VISITOR, TARGET)


def opened(versions: tuple[int, ...] = ()) -> tuple[DesktopLogin, Desktop]:
    ours, desktop = login(), Desktop()
    (answer,) = ours.receive(desktop.signed_id(versions=versions))
    assert isinstance(answer, Send)
    desktop.take_key(answer.payload)
    return ours, desktop


def challenged() -> tuple[DesktopLogin, Desktop]:
    ours, desktop = opened()
    assert ours.receive(desktop.seal(hash=pb.Hash(salt="salt", challenge="chall"))) == [
        PathVerified(KEY.public, ())
    ]
    return ours, desktop


def asked(password: str | None = "horse") -> tuple[DesktopLogin, Desktop]:
    ours, desktop = challenged()
    desktop.read(ours.log_in(password)[0])
    return ours, desktop


# What a real desktop sent


def drawn(*values: bytes) -> Any:
    """Randomness in the order in which it is drawn."""
    left = list(values)

    def draw(count: int) -> bytes:
        value = left.pop(0)
        assert len(value) == count
        return value

    return draw


@pytest.mark.parametrize("name", SESSIONS)
def test_a_recorded_session(name: str) -> None:
    """Byte for byte: ours is what was sent, theirs is understood."""
    signed_id, public_key, *messages = [vector for vector in RECORDED if vector["session"] == name]
    (request,) = [message for message in messages if message["what"] == "LoginRequest"]
    recorded = pb.Message.FromString(bytes.fromhex(request["plain"])).login_request
    random = drawn(
        bytes.fromhex(public_key["x25519_secret"]),
        bytes.fromhex(public_key["session_key"]),
        recorded.session_id.to_bytes(8, "big"),
    )
    expected = [ExpectedKey("the server", key=PublicKey(bytes.fromhex(signed_id["peer_ed25519"])))]
    target = ServerAddress("localhost", recorded.port_forward.port)
    ours = DesktopLogin(PeerId(signed_id["id"]), expected, VISITOR, target, random=random)
    assert ours.receive(bytes.fromhex(signed_id["bytes"])) == [Send(bytes.fromhex(public_key["bytes"]))]

    channel = StockChannel(bytes.fromhex(public_key["session_key"]))
    ends: list[object] = []
    for message in messages:
        if message["what"] == "LoginRequest":
            (sent,) = ours.log_in(message["password"])
            assert sent == Send(channel.seal(bytes.fromhex(message["plain"])))
            continue
        try:
            (event,) = ours.receive(bytes.fromhex(message["sealed"]))
        except RdpeerError as error:
            event = error
        if isinstance(event, Send):
            assert event == Send(channel.seal(bytes.fromhex(message["plain"]))), "a TestDelay goes back"
        else:
            ends.append(event)
    verified, end = ends
    assert isinstance(verified, PathVerified)
    kinds = {"wrong password": WrongPassword, "target closed": PeerRefused}
    assert isinstance(end, kinds.get(name, LoggedIn))


# Who is there


def test_the_key_of_the_session_is_sealed_for_a_verified_desktop_alone() -> None:
    mallory = Desktop(IdentityKey.from_seed(b"m" * 32))
    with pytest.raises(IdentityMismatch, match="not signed by the key from the server"):
        login().receive(mallory.signed_id())


def test_another_id_under_the_right_key() -> None:
    with pytest.raises(IdentityMismatch, match="says that it is 178000003, not 178000002"):
        login().receive(Desktop().signed_id("178000003"))


@pytest.mark.parametrize("expected", [(), (ExpectedKey("--peer-key", fingerprint=KEY.public.fingerprint),)])
def test_a_desktop_whose_key_nobody_knows(expected: tuple[ExpectedKey, ...]) -> None:
    with pytest.raises(IdentityMismatch, match="nothing proves which desktop this is"):
        login(expected)


def test_a_fingerprint_beside_the_servers_word() -> None:
    login((ExpectedKey("--peer-key", fingerprint=KEY.public.fingerprint), BY_SERVER))
    other = IdentityKey.from_seed(b"m" * 32).public
    with pytest.raises(IdentityMismatch, match="the peer's key is"):
        login((ExpectedKey("--peer-key", fingerprint=other.fingerprint), BY_SERVER))


@pytest.mark.parametrize(
    "payload",
    [
        pb.Message(hash=pb.Hash(salt="s", challenge="c")),
        pb.Message(login_response=pb.LoginResponse(error="Offline")),
    ],
)
def test_a_session_in_clear_is_not_spoken(payload: pb.Message) -> None:
    with pytest.raises(IdentityMismatch, match="the desktop speaks in clear"):
        login().receive(payload.SerializeToString())


def test_a_replayed_opening_proves_nothing() -> None:
    ours, _ = opened()
    with pytest.raises(RemoteProtocolError, match="does not open"):
        ours.receive(pb.Message(hash=pb.Hash(salt="salt" * 8, challenge="c")).SerializeToString())


@given(st.binary(max_size=200))
def test_an_opening_that_is_none(payload: bytes) -> None:
    with pytest.raises((RemoteProtocolError, IdentityMismatch)):
        login().receive(payload)


@given(st.binary(min_size=1, max_size=200))
def test_what_was_not_sealed_ends_it(payload: bytes) -> None:
    ours, _ = challenged()
    with pytest.raises(RemoteProtocolError):
        ours.receive(payload)
    with pytest.raises(LocalProtocolError):
        ours.receive(b"")


@given(st.binary(max_size=200))
def test_what_is_sealed_may_still_be_anything(plain: bytes) -> None:
    ours, desktop = asked()
    try:
        for event in ours.receive(desktop.channel.seal(plain)):
            assert isinstance(event, Send)
    except RemoteProtocolError:
        pass


def test_an_rdpeer_that_does_not_speak_the_stock_session() -> None:
    ours, _ = opened(versions=(1,))
    for end in (ours.lost(), ours.lost(ConnectionLost("reset"))):
        assert isinstance(end, PeerRefused)
        assert "without --stock" in (end.hint or "")
    assert isinstance(opened()[0].lost(), ConnectionLost)


# Being let in


def test_the_password_is_proven() -> None:
    ours, desktop = challenged()
    (event,) = ours.log_in("horse")
    request = desktop.read(event).login_request
    assert request.password == password_proof("horse", "salt", "chall")
    assert request.username == PEER.text
    assert (request.port_forward.host, request.port_forward.port) == ("localhost", 9000)
    assert request.session_id
    assert ours.receive(desktop.welcome()) == [LoggedIn()]
    with pytest.raises(LocalProtocolError):
        ours.receive(desktop.seal(test_delay=pb.TestDelay()))


def test_without_a_password_a_person_is_asked() -> None:
    ours, desktop = challenged()
    event, awaited = ours.log_in(None)
    assert desktop.read(event).login_request.password == b""
    assert awaited == ApprovalAwaited()
    assert ours.receive(desktop.welcome()) == [LoggedIn()]


def test_a_desktop_that_takes_no_password_asks_a_person() -> None:
    ours, desktop = asked()
    assert ours.receive(desktop.error("No Password Access")) == [ApprovalAwaited()]
    assert ours.receive(desktop.welcome()) == [LoggedIn()]


def test_being_turned_away_by_a_person() -> None:
    ours, desktop = asked(None)
    with pytest.raises(PeerRefused, match="the desktop closed the connection: Closed manually by the peer"):
        ours.receive(desktop.seal(misc=pb.Misc(close_reason="Closed manually by the peer")))


def test_a_v6_target_has_its_brackets() -> None:
    desktop = Desktop()
    ours = DesktopLogin(PEER, [BY_SERVER], VISITOR, ServerAddress("2001:db8::1", 22))
    (answer,) = ours.receive(desktop.signed_id())
    assert isinstance(answer, Send)
    desktop.take_key(answer.payload)
    ours.receive(desktop.seal(hash=pb.Hash()))
    assert desktop.read(ours.log_in("horse")[0]).login_request.port_forward.host == "[2001:db8::1]"


def test_a_second_factor() -> None:
    ours, desktop = asked()
    assert ours.receive(desktop.error("2FA Required")) == [CodeWanted(again=False)]
    (event,) = ours.give_code("123456")
    assert desktop.read(event).auth_2fa == pb.Auth2FA(code="123456")
    assert ours.receive(desktop.error("Wrong 2FA Code")) == [CodeWanted(again=True)]
    ours.give_code("654321")
    assert ours.receive(desktop.welcome()) == [LoggedIn()]


def test_a_code_is_wanted_once_at_a_time() -> None:
    ours, desktop = asked()
    ours.receive(desktop.error("2FA Required"))
    with pytest.raises(AuthenticationFailed, match="out of turn"):
        ours.receive(desktop.error("2FA Required"))


def test_test_delays_go_back_as_they_came_and_in_order() -> None:
    ours, desktop = asked()
    plains = [b"\x2a\x00", pb.Message(test_delay=pb.TestDelay(time=7, last_delay=3)).SerializeToString()]
    for plain in plains:
        (event,) = ours.receive(desktop.channel.seal(plain))
        assert isinstance(event, Send)
        assert desktop.channel.open(event.payload) == plain
    assert ours.receive(desktop.seal(test_delay=pb.TestDelay(from_client=True))) == []


@pytest.mark.parametrize("password", [None, "horse"])
def test_while_a_person_is_awaited_the_echo_is_held_back(password: str | None) -> None:
    """At the click the desktop turns raw: what is on its way then lands in the target's input."""
    ours, desktop = asked(password)
    if password:
        ours.receive(desktop.error("No Password Access"))
    first, second = (pb.Message(test_delay=pb.TestDelay(time=time)).SerializeToString() for time in (1, 2))
    assert ours.receive(desktop.channel.seal(first)) == []
    (event,) = ours.keep_alive()
    assert isinstance(event, Send)
    assert desktop.channel.open(event.payload) == first
    assert ours.keep_alive() == []
    assert ours.receive(desktop.channel.seal(first)) == []
    (event,) = ours.receive(desktop.channel.seal(second))
    assert isinstance(event, Send)
    assert desktop.channel.open(event.payload) == first
    assert ours.receive(desktop.welcome()) == [LoggedIn()]


@pytest.mark.parametrize(
    "member",
    [
        {"misc": pb.Misc(permission_info=pb.PermissionInfo(permission=3, enabled=False))},
        {"misc": pb.Misc(chat_message=pb.ChatMessage(text="hello"))},
        {"hash": pb.Hash(salt="other", challenge="other")},
        {"peer_info": pb.PeerInfo(hostname="vm")},
        {},
    ],
)
def test_what_means_nothing_to_us_is_passed_over(member: dict[str, Any]) -> None:
    ours, desktop = asked()
    assert ours.receive(desktop.seal(**member)) == []
    assert ours.receive(b"") == [], "a heartbeat"
    assert ours.receive(desktop.welcome()) == [LoggedIn()]


def test_a_welcome_that_nobody_asked_for() -> None:
    ours, desktop = challenged()
    with pytest.raises(RemoteProtocolError, match="a login that was not asked for"):
        ours.receive(desktop.welcome())


def test_a_turn_of_ours_that_is_none() -> None:
    ours, _ = opened()
    with pytest.raises(LocalProtocolError):
        ours.log_in("horse")
    with pytest.raises(LocalProtocolError):
        ours.give_code("123456")


# Not being let in


ERRORS: list[tuple[str, type[RdpeerError], int, str]] = [
    ("Wrong Password", WrongPassword, 6, "the password is wrong"),
    ("Wrong 2FA Code", AuthenticationFailed, 6, "second factor is wrong"),
    ("2FA Required", AuthenticationFailed, 6, "out of turn"),
    ("No Password Access", AuthenticationFailed, 6, "a person has to accept"),
    ("Empty Password", AuthenticationFailed, 6, "wants a password"),
    ("Please try 1 minute later", AuthenticationFailed, 6, "in this minute"),
    ("Too many wrong attempts", AuthenticationFailed, 6, "no more passwords from our address"),
    ("Too many wrong attempts for IPv6 prefix /64", AuthenticationFailed, 6, "or one beside it"),
    ("Too many wrong attempts for IPv6 prefix /48", AuthenticationFailed, 6, "or one beside it"),
    ("Please try again in 15 second(s).", AuthenticationFailed, 6, "now: Please try again in 15 second"),
    ("Incorrect username or password.", AuthenticationFailed, 6, "user name or its password"),
    ("Offline", PeerUnavailable, 4, "says that it is not 178000002"),
    ("Your ip is blocked by the peer", PeerRefused, 11, "IP whitelist"),
    ("Your ID is blocked by the peer", PeerRefused, 11, "ID whitelist"),
    ("No permission of IP tunneling", PeerRefused, 11, "does not permit it: No permission of IP tunneling"),
    ("No permission of file transfer", PeerRefused, 11, "does not permit it: No permission of file"),
    ("No permission of viewing camera", PeerRefused, 11, "does not permit it: No permission of viewing"),
    ("No permission of terminal", PeerRefused, 11, "does not permit it: No permission of terminal"),
    (
        "Failed to access remote localhost:9. Please make sure it is reachable/open.",
        PeerRefused,
        11,
        "cannot reach the target: Failed to access remote localhost:9",
    ),
    ("Connection not allowed", PeerRefused, 11, "does not allow this connection"),
    ("The main window is not open", PeerRefused, 11, "main window is closed"),
    ("Someone turns on privacy mode, exit", PeerRefused, 11, "privacy mode"),
    ("Terminal service user mismatch detected.", PeerRefused, 11, "another user's"),
    (
        "No active console user logged on, please connect and logon first.",
        PeerRefused,
        11,
        "nobody is logged on",
    ),
    ("Supported only in the installed version.", PeerRefused, 11, "only where installed"),
    ("Failed to get user token.", PeerRefused, 11, "cannot act for its user"),
    ("Something \x1b[31mnew", PeerRefused, 11, r"the desktop refused: Something \?\[31mnew"),
    ("", PeerRefused, 11, "no reason given"),
]


@pytest.mark.parametrize(("text", "kind", "code", "match"), ERRORS, ids=lambda value: str(value)[:40])
def test_each_error_has_its_text_and_its_exit_code(
    text: str, kind: type[RdpeerError], code: int, match: str
) -> None:
    ours, desktop = challenged()  # also where the desktop answers before it was asked
    with pytest.raises(kind, match=match) as caught:
        ours.receive(desktop.error(text))
    assert type(caught.value) is kind
    assert exit_code(caught.value) == code
    assert str(caught.value).isprintable()
    assert caught.value.__traceback__ is not None
    with pytest.raises(LocalProtocolError):
        ours.receive(desktop.welcome())


def test_no_two_errors_are_told_alike() -> None:
    def told(text: str) -> str:
        ours, desktop = challenged()
        with pytest.raises(RdpeerError) as caught:
            ours.receive(desktop.error(text))
        return str(caught.value)

    texts = [text for text, *_ in ERRORS if "prefix /48" not in text]
    assert len({told(text) for text in texts}) == len(texts)


def test_what_an_end_means() -> None:
    ours, _ = asked()
    assert "before it let us in" in str(ours.lost())
    assert isinstance(ours.lost(ConnectionLost("reset")), ConnectionLost)
    late = DeadlineExceeded("late")
    assert ours.lost(late) is late
