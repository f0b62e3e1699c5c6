"""A stock desktop's login at us: who passes, who does not, and what time does to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.crypto.stock import StockChannel, password_digest, password_proof
from rdpeer.errors import ConnectionLost, DeadlineExceeded, LocalProtocolError, RemoteProtocolError
from rdpeer.protocol.handshake_base import Send
from rdpeer.protocol.stock import Machine
from rdpeer.protocol.visit import Door, Guessed, Passed, TurnedAway, TurnedRaw, Visit
from rdpeer.values import PeerId, ServerAddress
from rdpeer.wire import session_pb2 as pb

VECTORS = Path(__file__).parent.parent / "vectors" / "stock-desktop-1.4.9.jsonl"
RECORDED = [json.loads(line) for line in VECTORS.read_text().splitlines()[1:]]

KEY = bytes(range(32))
PEER = PeerId("612345678")
TARGET = ServerAddress("localhost", 9000)
MINUTE = 60.0


def drawn(text: str) -> Any:
    """Randomness that gives ``text`` in stock's alphabet."""
    alphabet = "23456789abcdefghijkmnpqrstuvwxyz"
    return lambda count: bytes(alphabet.index(c) for c in text[:count])


def door(target: ServerAddress = TARGET) -> Door:
    return Door(PEER, "horse", target, Machine("vm", "Linux"))


class Visitor:
    """A visit, and the initiator's end of it."""

    def __init__(self, at: Door | None = None, source: str = "192.0.2.1", now: float = 0.0) -> None:
        self.door = at or door()
        self.visit = Visit(self.door, StockChannel(KEY), source, now)
        self._channel = StockChannel(KEY)
        (hash_,) = self.read(self.visit.start())
        self.salt, self.challenge = hash_.hash.salt, hash_.hash.challenge

    def read(self, events: list[Any]) -> list[pb.Message]:
        return [
            pb.Message.FromString(self._channel.open(event.payload))
            for event in events
            if isinstance(event, Send)
        ]

    def say(self, now: float = 0.0, **member: Any) -> list[Any]:
        return self.say_plain(pb.Message(**member).SerializeToString(), now)

    def say_plain(self, plain: bytes, now: float = 0.0) -> list[Any]:
        return self.visit.receive(self._channel.seal(plain), now)

    def log_in(self, password: str | None = "horse", now: float = 0.0, **changes: Any) -> list[Any]:
        shown = password_proof(password, self.salt, self.challenge) if password else b""
        wanted = {"port_forward": pb.PortForward(host="localhost", port=9000)}
        login = {"username": PEER.text, "password": shown, "my_id": "987654321", **(wanted | changes)}
        return self.say(now, login_request=pb.LoginRequest(**login))

    def told(self, events: list[Any]) -> str:
        (message,) = self.read(events)
        return message.login_response.error


def ends(events: list[Any]) -> list[Any]:
    return [event for event in events if not isinstance(event, Send)]


def test_the_recorded_proof_of_a_real_desktop_passes() -> None:
    """As its desktop would have judged it."""
    (login,) = [v for v in RECORDED if v["what"] == "LoginRequest" and v["session"] == "port forward, direct"]
    ours = Door(PeerId("178000002"), "", TARGET, Machine("vm", "Linux"))
    ours.digest = password_digest(login["password"], login["salt"])  # its salt was written by hand
    visit = Visit(ours, StockChannel(KEY), "192.0.2.1", 0.0, random=drawn(login["challenge"]))
    visit.start()
    theirs = StockChannel(KEY)
    assert visit.receive(theirs.seal(bytes.fromhex(login["plain"])), 0.0) == [Passed()]


def test_the_right_password() -> None:
    visitor = Visitor()
    assert visitor.log_in() == [Passed()]
    assert visitor.visit.visitor == "987654321"
    events = visitor.visit.welcome()
    assert ends(events) == [TurnedRaw()]
    (welcome,) = visitor.read(events)
    info = welcome.login_response.peer_info
    assert (info.hostname, info.platform, info.version) == ("vm", "Linux", "1.4.9")
    with pytest.raises(LocalProtocolError):
        visitor.log_in()


def test_a_wrong_password_and_another_try() -> None:
    visitor = Visitor()
    events = visitor.log_in("donkey")
    assert ends(events) == [Guessed("the password is wrong")]
    assert visitor.told(events) == "Wrong Password"
    assert visitor.log_in() == [Passed()]


def test_no_password_yet_is_no_guess() -> None:
    visitor = Visitor()
    assert visitor.log_in(None) == []
    assert visitor.log_in() == [Passed()]


@pytest.mark.parametrize("proof", [b"x", bytes(32), bytes(64)])
def test_a_proof_that_is_none(proof: bytes) -> None:
    visitor = Visitor()
    events = visitor.say(
        login_request=pb.LoginRequest(
            username=PEER.text, password=proof, port_forward=pb.PortForward(host="localhost", port=9000)
        )
    )
    assert visitor.told(events) == "Wrong Password"


def test_each_visit_has_a_challenge_of_its_own_and_the_door_one_salt() -> None:
    ours = door()
    first, second = Visitor(ours), Visitor(ours)
    assert first.salt == second.salt
    assert len(first.salt) == 32
    assert first.challenge != second.challenge
    assert len(first.challenge) == 6
    assert door().salt != ours.salt


def test_the_lockout_counts_by_address_over_all_visits() -> None:
    ours = door()
    for _ in range(7):
        assert Visitor(ours).log_in("donkey")[1:] == [Guessed("the password is wrong")]
    visitor = Visitor(ours)
    events = visitor.log_in()
    assert ends(events) == [Guessed("too many wrong passwords came from there")]
    assert visitor.told(events) == "Please try 1 minute later"
    assert ends(visitor.log_in()) == [], "once is enough for the log"
    assert Visitor(ours, source="192.0.2.2").log_in() == [Passed()]
    assert visitor.log_in(now=MINUTE) == [Passed()]


def test_a_connection_that_does_not_stop_guessing_is_closed() -> None:
    visitor = Visitor()
    texts = []
    while True:
        events = visitor.log_in("donkey")
        texts.append(visitor.told(events))
        if any(isinstance(event, TurnedAway) for event in events):
            break
    assert len(texts) == 33
    assert texts[-1] == "Connection not allowed"


def test_more_than_thirty_wrong_ones_are_the_end() -> None:
    ours = door()
    for number in range(31):
        Visitor(ours, now=number * MINUTE).log_in("donkey", now=number * MINUTE)
    visitor = Visitor(ours, now=1e9)
    assert visitor.told(visitor.log_in(now=1e9)) == "Too many wrong attempts"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"username": "612345679"}, "Offline"),
        ({"username": ""}, "Offline"),
        ({"port_forward": None, "file_transfer": pb.FileTransfer(dir="/")}, "No permission of file transfer"),
        ({"port_forward": None, "view_camera": pb.ViewCamera()}, "No permission of viewing camera"),
        ({"port_forward": None, "terminal": pb.Terminal()}, "No permission of terminal"),
        ({"port_forward": None}, "Connection not allowed"),
        ({"port_forward": pb.PortForward(host="localhost", port=22)}, "No permission of IP tunneling"),
        ({"port_forward": pb.PortForward(host="db.lan", port=9000)}, "No permission of IP tunneling"),
        ({"port_forward": pb.PortForward(host="\x1b[31m", port=9000)}, "No permission of IP tunneling"),
        ({"port_forward": pb.PortForward(host="localhost", port=-1)}, "No permission of IP tunneling"),
    ],
)
def test_what_is_not_to_be_had(changes: dict[str, Any], text: str) -> None:
    visitor = Visitor()
    events = visitor.log_in(**changes)
    (end,) = ends(events)
    assert isinstance(end, TurnedAway)
    assert end.why.isprintable()
    assert visitor.told(events) == text
    with pytest.raises(LocalProtocolError):
        visitor.log_in()


def test_the_target_is_not_told_to_who_does_not_know_the_password() -> None:
    visitor = Visitor()
    events = visitor.log_in("donkey", port_forward=pb.PortForward(host="db.lan", port=1))
    assert visitor.told(events) == "Wrong Password"


@pytest.mark.parametrize(
    ("target", "host", "port"),
    [
        (TARGET, "localhost", 9000),
        (TARGET, "", 9000),
        (TARGET, "127.0.0.1", 9000),
        (TARGET, "[::1]", 9000),
        (TARGET, "LOCALHOST", 9000),
        (ServerAddress("127.0.0.1", 9000), "localhost", 9000),
        (ServerAddress("localhost", 3389), "RDP", 0),
        (ServerAddress("db.lan", 5432), "db.lan", 5432),
        (ServerAddress("2001:db8::1", 22), "[2001:db8::1]", 22),
    ],
)
def test_names_of_the_target(target: ServerAddress, host: str, port: int) -> None:
    visitor = Visitor(door(target))
    assert visitor.log_in(port_forward=pb.PortForward(host=host, port=port)) == [Passed()]


@pytest.mark.parametrize(
    "changes",
    [{"my_id": "987654322"}, {"port_forward": pb.PortForward(host="localhost", port=9001)}],
)
def test_what_was_wanted_first_is_what_may_be_had(changes: dict[str, Any]) -> None:
    visitor = Visitor()
    assert visitor.told(visitor.log_in("donkey")) == "Wrong Password"
    assert visitor.told(visitor.log_in(**changes)) == "Connection not allowed"


def test_a_target_that_cannot_be_reached() -> None:
    visitor = Visitor()
    visitor.log_in()
    events = visitor.visit.turn_away()
    text = "Failed to access remote localhost:9000. Please make sure it is reachable/open."
    assert visitor.told(events) == text
    assert isinstance(ends(events)[0], TurnedAway)


def test_it_turns_raw_once_the_last_test_delay_has_come_back() -> None:
    visitor = Visitor()
    (delay,) = visitor.read(visitor.visit.handle_timeout(1.0))
    assert delay == pb.Message(test_delay=pb.TestDelay())
    assert visitor.visit.deadline > 2.0, "no other one while it is out"
    assert visitor.log_in(now=1.5) == [Passed()]
    assert ends(visitor.visit.welcome()) == []
    assert visitor.say(1.6, misc=pb.Misc(chat_message=pb.ChatMessage(text="hello"))) == []
    assert visitor.say(1.7, test_delay=pb.TestDelay()) == [TurnedRaw()]


def test_a_test_delay_each_second_unless_one_is_out() -> None:
    visitor = Visitor()
    assert visitor.visit.deadline == 1.0
    assert len(visitor.visit.handle_timeout(1.0)) == 1
    visitor.say(1.1, test_delay=pb.TestDelay())
    assert visitor.visit.deadline == 2.0
    assert len(visitor.visit.handle_timeout(2.0)) == 1
    assert visitor.visit.handle_timeout(3.0) == []


def test_its_own_test_delay_goes_back() -> None:
    visitor = Visitor()
    events = visitor.say(test_delay=pb.TestDelay(time=7, from_client=True))
    assert visitor.read(events) == [pb.Message(test_delay=pb.TestDelay(time=7, from_client=True))]


def test_an_echo_of_nothing_is_passed_over() -> None:
    visitor = Visitor()
    assert visitor.say(test_delay=pb.TestDelay()) == []


def test_a_silent_visitor_is_given_up() -> None:
    visitor = Visitor()
    visitor.visit.handle_timeout(1.0)
    assert visitor.visit.deadline == 30.0
    with pytest.raises(DeadlineExceeded, match="silent for 30 s"):
        visitor.visit.handle_timeout(30.0)


def test_a_visitor_that_never_logs_in_is_given_up() -> None:
    visitor = Visitor()
    now = 0.0
    while now < 119.0:
        now = visitor.visit.deadline
        visitor.visit.handle_timeout(now)
        visitor.say(now, test_delay=pb.TestDelay())
    with pytest.raises(DeadlineExceeded, match="not logged in for 120 s"):
        visitor.visit.handle_timeout(visitor.visit.deadline)


def test_a_close_with_its_reason() -> None:
    with pytest.raises(ConnectionLost, match=r"the desktop closed: enough\?"):
        Visitor().say(misc=pb.Misc(close_reason="enough\x07"))


def test_a_turn_of_ours_that_is_none() -> None:
    for turn in (Visitor().visit.welcome, Visitor().visit.turn_away):
        with pytest.raises(LocalProtocolError):
            turn()


@given(st.binary(max_size=200))
def test_what_was_not_sealed_ends_it(payload: bytes) -> None:
    visit = Visitor().visit
    if not payload:
        assert visit.receive(payload, 0.0) == [], "a heartbeat"
        return
    with pytest.raises(RemoteProtocolError):
        visit.receive(payload, 0.0)


@given(st.binary(max_size=200))
def test_what_is_sealed_may_still_be_anything(plain: bytes) -> None:
    visitor = Visitor()
    try:
        events = visitor.say_plain(plain)
    except (RemoteProtocolError, ConnectionLost):
        return
    assert not any(isinstance(event, Passed | TurnedRaw) for event in events)


def test_no_secret_is_shown() -> None:
    assert "horse" not in repr(vars(door()))
