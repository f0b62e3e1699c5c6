"""Logging in at a stock desktop, for a port forward (docs/PROTOCOL.md 3.1 to 3.8).

        initiator                               desktop
                            <-  SignedId                        in clear
        PublicKey           ->                                  in clear
        - - - - - - - - - - - - sealed from here on - - - - - - - - - - -
                            <-  Hash                            PathVerified
        log_in()            ->
                            <-  LoginResponse: an error         it stays, or this is the end
        give_code()         ->
                            <-  LoginResponse: peer_info        LoggedIn
        = = = = = = = = = = = = raw from here on  = = = = = = = = = = = =

SignedId may be an old one, replayed. But what opens under the session key that we
sealed for it comes from who holds the desktop's key, so the path is verified by
Hash, the first message that must open. Nothing binds the password proof to the
channel, which is why it is shown on one path only, and to a verified desktop.

Until it lets us in, the desktop measures its delay: each TestDelay is sent back as
it came, in order. After LoginResponse not one frame may be sent, as it would land
in the target's input. Where a person is to accept us, a desktop turns raw at the
click, whatever is still on its way to it (docs/PROTOCOL.md 3.7). So then the echo is
held back for as long as the desktop bears it: keep_alive().
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from rdpeer.crypto.keys import Random
from rdpeer.crypto.stock import StockChannel, password_proof
from rdpeer.errors import ConnectionLost, LocalProtocolError, PeerRefused, RdpeerError, RemoteProtocolError
from rdpeer.protocol.handshake_base import PathVerified, Send
from rdpeer.protocol.login_errors import login_error
from rdpeer.protocol.opening import DesktopOpening, ExpectedKey
from rdpeer.protocol.stock import STOCK_VERSION, Machine
from rdpeer.values import PeerId, ServerAddress, printable
from rdpeer.wire import session_pb2
from rdpeer.wire.messages import parse

MAX_PAYLOAD = 64 * 1024
"""Bytes of a frame before the connection turns raw; a LoginResponse describes the whole desktop."""

_SESSION_ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who we say that we are: shown to the person at the desktop."""

    peer: PeerId
    machine: Machine


@dataclass(slots=True)
class ApprovalAwaited:
    """Nothing comes until a person at the desktop accepts us or turns us away."""


@dataclass(slots=True)
class CodeWanted:
    """The password was right; a code of the second factor is wanted, ``again`` if one was wrong."""

    again: bool


@dataclass(slots=True)
class LoggedIn:
    """The end: what comes and goes behind this frame is raw."""


LoginEvent = Send | PathVerified | ApprovalAwaited | CodeWanted | LoggedIn


class _State(Enum):
    OPENING = auto()
    HASH = auto()
    CHALLENGED = auto()
    ANSWER = auto()
    CODE = auto()
    OVER = auto()


class DesktopLogin:
    """A payload in, events out; any RdpeerError ends it. ``expected`` as for DesktopOpening."""

    def __init__(
        self,
        peer: PeerId,
        expected: Sequence[ExpectedKey],
        visitor: Visitor,
        target: ServerAddress,
        *,
        random: Random = secrets.token_bytes,
    ) -> None:
        self._peer = peer
        self._visitor = visitor
        self._target = target
        self._random = random
        self._opening = DesktopOpening(peer, expected, random)
        self._state = _State.OPENING
        self._channel: StockChannel
        self._hash = session_pb2.Hash()
        self._awaits_person = False
        self._held: bytes | None = None
        self.on_message: Callable[[bytes, bool], None] = lambda plain, sent: None
        """Told each message that was or is to be sealed, and whether it was sent; for tracing."""

    @property
    def heard(self) -> bool:
        """Whether the desktop has opened: a relay leg that stays silent may be tried again."""
        return self._state is not _State.OPENING

    def receive(self, payload: bytes) -> list[LoginEvent]:
        """What one frame means. It raises, and the login is over:

        IdentityMismatch where the desktop is not the one asked for, what
        :func:`login_error` says where it does not let us in, PeerRefused where it
        closes with a reason, RemoteProtocolError for what must not be.
        """
        if self._state is _State.OVER:
            raise LocalProtocolError("the login is over")
        try:
            if self._state is _State.OPENING:
                return self._on_opening(payload)
            plain = self._channel.open(payload)
            self.on_message(plain, False)
            return self._on_message(plain) if plain else []
        except RdpeerError:
            self._state = _State.OVER
            raise

    def log_in(self, password: str | None) -> list[LoginEvent]:
        """After PathVerified: asks to be let in with ``password``, or, with None, by a person there."""
        if self._state is not _State.CHALLENGED:
            raise LocalProtocolError("a login has no place now")
        self._state = _State.ANSWER
        request = session_pb2.LoginRequest(
            username=self._peer.text,
            password=password_proof(password, self._hash.salt, self._hash.challenge) if password else b"",
            my_id=self._visitor.peer.text,
            my_name=self._visitor.machine.name,
            my_platform=self._visitor.machine.platform,
            session_id=int.from_bytes(self._random(_SESSION_ID_BYTES), "big") or 1,
            version=STOCK_VERSION,
            port_forward=session_pb2.PortForward(host=_host(self._target), port=self._target.port),
        )
        sent = self._say(session_pb2.Message(login_request=request))
        return [sent] if password else [sent, self._await_person()]

    def give_code(self, code: str) -> list[LoginEvent]:
        """After CodeWanted: the code of the second factor."""
        if self._state is not _State.CODE:
            raise LocalProtocolError("no code is wanted now")
        self._state = _State.ANSWER
        return [self._say(session_pb2.Message(auth_2fa=session_pb2.Auth2FA(code=code)))]

    def keep_alive(self) -> list[LoginEvent]:
        """Sends the echo that is held back: before the desktop has heard nothing of us for 30 s."""
        held, self._held = self._held, None
        return [] if held is None else [self._seal(held)]

    def lost(self, cause: RdpeerError | None = None) -> RdpeerError:
        """What it means that the stream ends now: by ``cause`` (a deadline, too), or in order."""
        if cause is not None and not isinstance(cause, ConnectionLost):
            return cause
        if self._state is _State.HASH and self._opening.is_marked:
            return PeerRefused(
                "the peer is an rdpeer that does not speak the stock session", hint="try it without --stock"
            )
        return ConnectionLost("the desktop closed the connection before it let us in")

    def _on_opening(self, payload: bytes) -> list[LoginEvent]:
        answer, self._channel = self._opening.answer(payload)
        self._state = _State.HASH
        return [Send(answer)]

    def _on_message(self, plain: bytes) -> list[LoginEvent]:
        """Stock sends more than we know, now or some day: what has no meaning for us is passed over."""
        message = parse(session_pb2.Message, plain)
        match message.WhichOneof("union"):
            case "hash" if self._state is _State.HASH:
                self._hash = message.hash
                self._state = _State.CHALLENGED
                return [PathVerified(self._opening.key, ())]
            case "test_delay" if not message.test_delay.from_client:
                return self._echo(plain)
            case "login_response":
                return self._on_response(message.login_response)
            case "misc" if message.misc.HasField("close_reason"):
                raise PeerRefused(f"the desktop closed the connection: {_reason(message.misc.close_reason)}")
        return []

    def _echo(self, plain: bytes) -> list[LoginEvent]:
        if not self._awaits_person:
            return [self._seal(plain)]
        events = self.keep_alive()  # one is out at a time; whoever sends more gets them back
        self._held = plain
        return events

    def _await_person(self) -> ApprovalAwaited:
        self._awaits_person = True
        return ApprovalAwaited()

    def _on_response(self, response: session_pb2.LoginResponse) -> list[LoginEvent]:
        match response.WhichOneof("union"):
            case "error":
                return self._on_error(response.error)
            case "peer_info" if self._state in (_State.ANSWER, _State.CODE):
                self._state = _State.OVER
                return [LoggedIn()]
        raise RemoteProtocolError("the desktop answered a login that was not asked for")

    def _on_error(self, text: str) -> list[LoginEvent]:
        if self._state is _State.ANSWER:
            if text in ("2FA Required", "Wrong 2FA Code"):
                self._state = _State.CODE
                return [CodeWanted(again=text == "Wrong 2FA Code")]
            if text == "No Password Access":
                return [self._await_person()]
        raise login_error(text, self._peer)

    def _say(self, message: session_pb2.Message) -> Send:
        return self._seal(message.SerializeToString(deterministic=True))

    def _seal(self, plain: bytes) -> Send:
        self.on_message(plain, True)
        return Send(self._channel.seal(plain))


def _host(target: ServerAddress) -> str:
    """Stock puts a port behind it as it is, so a v6 literal needs its brackets (docs/PROTOCOL.md 3.5)."""
    return f"[{target.host}]" if ":" in target.host else target.host


def _reason(text: str) -> str:
    return printable(text).strip() or "no reason given"
