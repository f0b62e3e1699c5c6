"""A stock desktop's login at us: the other side of ``rdpeer.protocol.login`` (docs/PROTOCOL.md 3.3 to 3.8).

        initiator                               us
                            <-  Hash                            start()
                            <-  TestDelay                       each second, unless one is out
        TestDelay           ->                                  it comes back
        LoginRequest        ->                                  a guess, or Passed
                            <-  LoginResponse: an error         it may try again, or this is the end
                            <-  LoginResponse: peer_info        welcome()
        TestDelay           ->                                  the one that was out, if any
        = = = = = = = = = = = = raw from here on: TurnedRaw = = = = = = = = = = = =

What a visitor may do is one thing: have its bytes carried to the one target, which
it has to name. An empty password asks for a person, of whom there is none here:
desktops send it while their user still types, so it is no guess, and not answered.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from rdpeer.crypto.keys import Random
from rdpeer.crypto.stock import StockChannel, digest_proof, password_digest
from rdpeer.errors import ConnectionLost, DeadlineExceeded, LocalProtocolError, RdpeerError
from rdpeer.protocol.handshake_base import Send
from rdpeer.protocol.lockout import Lockout
from rdpeer.protocol.stock import STOCK_VERSION, Machine
from rdpeer.values import PeerId, ServerAddress, printable
from rdpeer.wire import session_pb2 as pb
from rdpeer.wire.messages import parse

LOGIN_TIMEOUT = 120.0
"""Seconds until a visitor must have passed: a person may have to find the password first."""

SILENCE = 30.0
"""Seconds without any frame after which a visitor is gone."""

_TICK = 1.0
_MOST_GUESSES = 32  # on one connection; whoever is locked out is not to fill our log
_ALPHABET = "23456789abcdefghijkmnpqrstuvwxyz"
_SALT_LENGTH = 32
_CHALLENGE_LENGTH = 6
_LOOPBACK = "localhost"
_REMOTE_DESKTOP = ("RDP", 3389)

_FORBIDDEN = {
    "file_transfer": "No permission of file transfer",
    "view_camera": "No permission of viewing camera",
    "terminal": "No permission of terminal",
}


@dataclass(slots=True)
class Guessed:
    """A password was not taken: ``why``, for our log."""

    why: str


@dataclass(slots=True)
class Passed:
    """The password was right. Connect to the target, then call ``welcome`` or ``turn_away``."""


@dataclass(slots=True)
class TurnedAway:
    """The end: the visitor was told no, and ``why`` is for our log. Close behind what was sent."""

    why: str


@dataclass(slots=True)
class TurnedRaw:
    """The end: what comes and goes behind this is raw."""


VisitEvent = Send | Guessed | Passed | TurnedAway | TurnedRaw


class Door:
    """What all visits to ``peer`` share: the password, the target that it opens, and who guessed wrong."""

    def __init__(
        self,
        peer: PeerId,
        password: str,
        target: ServerAddress,
        machine: Machine,
        *,
        random: Random = secrets.token_bytes,
    ) -> None:
        self.peer = peer
        self.target = target
        self.machine = machine
        self.lockout = Lockout()
        self.salt = _drawn(_SALT_LENGTH, random)
        self.digest = password_digest(password, self.salt)

    def opens(self, wanted: pb.PortForward) -> bool:
        """Whether ``wanted`` is the target. All names of the loopback are one: a desktop has its own."""
        host, port = wanted.host.strip("[]").lower() or _LOOPBACK, wanted.port
        if wanted.host == _REMOTE_DESKTOP[0] and not port:
            host, port = _LOOPBACK, _REMOTE_DESKTOP[1]
        try:
            named = ServerAddress(host, port)
        except ValueError:
            return False
        return named == self.target or (
            named.is_loopback and self.target.is_loopback and named.port == self.target.port
        )


class _State(Enum):
    LOGIN = auto()
    PASSED = auto()
    LAST_ECHO = auto()
    OVER = auto()


class Visit:
    """One visitor, who comes from ``source``. A payload in, events out; any RdpeerError ends it."""

    def __init__(
        self,
        door: Door,
        channel: StockChannel,
        source: str,
        now: float,
        *,
        random: Random = secrets.token_bytes,
    ) -> None:
        self._door = door
        self._channel = channel
        self._source = source
        self._challenge = _drawn(_CHALLENGE_LENGTH, random)
        self._state = _State.LOGIN
        self._scope: tuple[str, bytes] | None = None
        self._guesses = 0
        self._awaits_echo = False
        self._locked_out = False  # told once: it may go on trying, and is not to fill our log by that
        self._gives_up = now + LOGIN_TIMEOUT
        self._heard = now
        self._next_delay = now + _TICK
        self.on_message: Callable[[bytes, bool], None] = lambda plain, sent: None
        """Told each message that was or is to be sealed, and whether it was sent; for tracing."""
        self.visitor = ""
        """Who it says that it is, fit for a terminal; nothing proves it."""

    @property
    def target(self) -> ServerAddress:
        """Where the door leads."""
        return self._door.target

    @property
    def deadline(self) -> float:
        """When ``handle_timeout`` is due."""
        gone = self._heard + SILENCE
        if self._state is not _State.LOGIN:
            return gone
        return min(gone, self._gives_up, *(() if self._awaits_echo else (self._next_delay,)))

    def start(self) -> list[VisitEvent]:
        """Our first message."""
        return [self._say(pb.Message(hash=pb.Hash(salt=self._door.salt, challenge=self._challenge)))]

    def handle_timeout(self, now: float) -> list[VisitEvent]:
        """At the deadline: another TestDelay, or DeadlineExceeded."""
        if now >= self._heard + SILENCE:
            raise DeadlineExceeded(f"the desktop has been silent for {SILENCE:g} s")
        if self._state is not _State.LOGIN or now < min(self._gives_up, self._next_delay):
            return []
        if now >= self._gives_up:
            raise DeadlineExceeded(f"the desktop has not logged in for {LOGIN_TIMEOUT:g} s")
        self._next_delay = now + _TICK
        if self._awaits_echo:
            return []
        self._awaits_echo = True
        return [self._say(pb.Message(test_delay=pb.TestDelay()))]

    def receive(self, payload: bytes, now: float) -> list[VisitEvent]:
        """What one frame means. RemoteProtocolError for what must not be; ConnectionLost for a close."""
        if self._state is _State.OVER:
            raise LocalProtocolError("the visit is over")
        self._heard = now
        try:
            plain = self._channel.open(payload)
            self.on_message(plain, False)
            return self._on_message(plain, now) if plain else []
        except RdpeerError:
            self._state = _State.OVER
            raise

    def welcome(self) -> list[VisitEvent]:
        """After Passed: the target is there."""
        self._expect_passed()
        machine = self._door.machine
        info = pb.PeerInfo(
            username="rdpeer", hostname=machine.name, platform=machine.platform, version=STOCK_VERSION
        )
        sent = self._say(pb.Message(login_response=pb.LoginResponse(peer_info=info)))
        self._state = _State.LAST_ECHO
        return [sent, *self._turn_raw()]

    def turn_away(self) -> list[VisitEvent]:
        """After Passed: the target cannot be reached."""
        self._expect_passed()
        place = self._door.target
        text = f"Failed to access remote {place}. Please make sure it is reachable/open."
        return self._refuse(text, f"the target {place} cannot be reached")

    def _on_message(self, plain: bytes, now: float) -> list[VisitEvent]:
        message = parse(pb.Message, plain)
        match message.WhichOneof("union"):
            case "login_request" if self._state is _State.LOGIN:
                return self._on_login(message.login_request, now)
            case "test_delay" if message.test_delay.from_client:
                return [self._seal(plain)] if self._state is _State.LOGIN else []
            case "test_delay" if self._awaits_echo:
                self._awaits_echo = False
                return self._turn_raw()
            case "misc" if message.misc.HasField("close_reason"):
                raise ConnectionLost(f"the desktop closed: {printable(message.misc.close_reason)}")
        return []

    def _on_login(self, login: pb.LoginRequest, now: float) -> list[VisitEvent]:
        self.visitor = printable(login.my_id, 100).strip()
        if login.username != self._door.peer.text:
            return self._refuse("Offline", "it asked for another ID")
        wanted = login.WhichOneof("union")
        if wanted != "port_forward":
            text = _FORBIDDEN.get(wanted or "", "Connection not allowed")
            return self._refuse(text, f"it wanted more than a tunnel ({wanted or 'the desktop'})")
        scope = (login.my_id, login.port_forward.SerializeToString(deterministic=True))
        if self._scope not in (None, scope):
            return self._refuse("Connection not allowed", "it changed what it wanted")
        self._scope = scope
        return self._on_password(login, now) if login.password else []

    def _on_password(self, login: pb.LoginRequest, now: float) -> list[VisitEvent]:
        """The one place where a guess is judged: asked for leave first, counted before it is answered."""
        self._guesses += 1
        if self._guesses > _MOST_GUESSES:
            return self._refuse("Connection not allowed", "it does not stop guessing")
        lockout = self._door.lockout
        if refusal := lockout.refusal(self._source, now):
            news = [] if self._locked_out else [Guessed("too many wrong passwords came from there")]
            self._locked_out = True
            return [self._error(refusal), *news]
        if not hmac.compare_digest(login.password, digest_proof(self._door.digest, self._challenge)):
            lockout.failed(self._source, now)
            return [self._error("Wrong Password"), Guessed("the password is wrong")]
        lockout.passed(self._source)
        if not self._door.opens(login.port_forward):
            place = printable(f"{login.port_forward.host}:{login.port_forward.port}")
            return self._refuse("No permission of IP tunneling", f"{place} is not the target")
        self._state = _State.PASSED
        return [Passed()]

    def _turn_raw(self) -> list[VisitEvent]:
        """Once nothing is on its way that is not raw."""
        if self._state is not _State.LAST_ECHO or self._awaits_echo:
            return []
        self._state = _State.OVER
        return [TurnedRaw()]

    def _refuse(self, text: str, why: str) -> list[VisitEvent]:
        self._state = _State.OVER
        return [self._error(text), TurnedAway(why)]

    def _error(self, text: str) -> Send:
        return self._say(pb.Message(login_response=pb.LoginResponse(error=text)))

    def _say(self, message: pb.Message) -> Send:
        return self._seal(message.SerializeToString(deterministic=True))

    def _seal(self, plain: bytes) -> Send:
        self.on_message(plain, True)
        return Send(self._channel.seal(plain))

    def _expect_passed(self) -> None:
        if self._state is not _State.PASSED:
            raise LocalProtocolError("nobody has passed")


def _drawn(length: int, random: Random) -> str:
    """Symbols of stock's alphabet; it has 32, so every byte gives one of them evenly."""
    return "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in random(length))
