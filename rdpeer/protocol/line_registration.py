"""Registration over a connection, for whoever has no UDP: behind a proxy, on the web (docs/PROTOCOL.md 2.4).

    connect --- (TCP: the server's KeyExchange, if it comes within 0.5 s) --- RegisterPk
                                                                                |-- OK: online
                                                                                '-- refused: wait, or give up
                       a cookie with either: RegisterPk again, signed, once (docs/CHANNEL.md 8)
        online: notifications, and empty frames, each of which we send back
        silence for one and a half times the keep-alive, or the end: again after 1, 2, 4, 8, 12, 12 ... s

We are online as long as the connection is up. Stock's open server takes no such registration: it says so,
or hangs up, and then this fails at once, as trying cannot mend it.

KeyExchange hides from bystanders what is said; it is the server's offer, and who can drop packets can
drop that too. So one that our server has not signed is no offer, and not worth an error: what must hold is
proven between the peers (docs/CHANNEL.md).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from rdpeer.crypto.keys import ExchangeKey, Random, open_signed
from rdpeer.crypto.stock import StockChannel
from rdpeer.errors import LocalProtocolError, RemoteProtocolError, ServerRefused, ServerUnreachable
from rdpeer.protocol.conversation import (
    CloseStream,
    Command,
    DeadlineReached,
    Done,
    Event,
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
from rdpeer.protocol.notifications import NotificationFilter, read_notification
from rdpeer.protocol.places import not_reached, place
from rdpeer.protocol.question import SERVER, RendezvousServer
from rdpeer.protocol.refusals import UNPROVEN, Refusal
from rdpeer.protocol.registrant import Registrant
from rdpeer.protocol.registration import KeyConfirmed, Offline, Online
from rdpeer.values import Endpoint, WebAddress
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.messages import parse

GREETING_WITHIN = 0.5
"""Seconds that a KeyExchange is waited for."""

ANSWER_WITHIN = 12.0
"""Seconds from RegisterPk to its answer."""

KEEP_ALIVE = 60.0
"""Seconds between the server's heartbeats, where it names no other number."""

_LONGEST_KEEP_ALIVE = 3600
_LONGEST_PAUSE = 12.0


class LineRegistration:
    """The conversation. Reports Online, Offline (each change once), and each Notification.

    ``confirmed``, ``once`` and ``patience`` as :class:`rdpeer.protocol.registration.Registration` has them.
    """

    def __init__(
        self,
        registrant: Registrant,
        server: RendezvousServer,
        *,
        confirmed: bool,
        once: bool = False,
        patience: float | None = None,
        random: Random = secrets.token_bytes,
    ) -> None:
        self._registrant = registrant
        self._server = server
        self._confirmed = confirmed
        self._once = once
        self._patience = patience
        self._random = random
        self._filter = NotificationFilter()
        self._begun: float | None = None
        self._timer: float | None = None
        self._remote: Endpoint | None = None
        self._channel: StockChannel | None = None
        self._is_open = False
        self._asked = False
        self._proved = False
        self._is_online = False
        self._was_online = False
        self._told: str | None = None
        self._keep_alive = KEEP_ALIVE
        self._failures = 0
        self.on_sealed: Callable[[bytes, bytes], None] = lambda plain, payload: None
        """Told each message that is sealed, and the payload that it is in; for tracing."""

    @property
    def deadline(self) -> float | None:
        """Monotonic seconds; None before the start."""
        return min((t for t in (self._timer, self._give_up_at) if t is not None), default=None)

    def handle(self, event: Event, now: float) -> list[Command]:
        match event:
            case Started():
                self._begun = now
                return self._connect()
            case StreamOpened(remote=remote):
                self._remote, self._is_open = remote, True
                return self._await_greeting(now) if self._may_be_greeted else self._ask(now)
            case FrameReceived(payload=payload):
                return self._received(payload, now)
            case StreamFailed(reason=reason):
                if self._patience is not None and not self._was_online:
                    return [Fail(not_reached(self._server.address, reason))]
                return self._again(reason, now)
            case StreamClosed():
                return self._closed(now)
            case DeadlineReached():
                return self._time_up(now)
            case _:
                raise LocalProtocolError(f"a registration has no use for {type(event).__name__}")

    # Connecting

    def _connect(self) -> list[Command]:
        self._channel, self._asked, self._proved, self._is_online = None, False, False, False
        self._timer = None  # the driver gives up by itself
        return [OpenStream(SERVER, self._server.address)]

    def _again(self, reason: str, now: float) -> list[Command]:
        """Offline; a new connection after a pause, which is longer each time."""
        pause = min(2.0**self._failures, _LONGEST_PAUSE)
        self._failures += 1
        return self._pause(reason, now + pause)

    def _pause(self, reason: str, until: float) -> list[Command]:
        close = [CloseStream(SERVER)] if self._is_open else []
        self._is_open = self._is_online = False
        self._timer = until
        return [*close, *self._offline(reason)]

    def _closed(self, now: float) -> list[Command]:
        self._is_open = False
        if self._asked and not self._was_online:
            return [Fail(self._not_taken("it hangs up on a registration over TCP"))]
        return self._again("the server closed the connection", now)

    @property
    def _give_up_at(self) -> float | None:
        if self._patience is None or self._begun is None or self._was_online:
            return None
        return self._begun + self._patience

    def _time_up(self, now: float) -> list[Command]:
        if self._give_up_at is not None and now >= self._give_up_at:
            return [Fail(ServerUnreachable(f"no answer from {self._where} for {self._patience:.0f} s"))]
        if self._is_online or (self._is_open and self._asked):
            return self._again("no answer", now)
        return self._ask(now) if self._is_open else self._connect()

    # The server's greeting

    @property
    def _may_be_greeted(self) -> bool:
        key = self._server.key
        return key is not None and key.public is not None and not isinstance(self._server.address, WebAddress)

    def _await_greeting(self, now: float) -> list[Command]:
        self._timer = now + GREETING_WITHIN
        return []

    def _greeted(self, exchange: pb.KeyExchange, now: float) -> list[Command]:
        """Seals what follows, where our server has signed the offer and it comes before we have spoken."""
        key = self._server.key.public if self._server.key else None
        if self._asked or key is None:
            return []
        theirs = open_signed(key, exchange.keys[0]) if len(exchange.keys) == 1 else None
        if theirs is None:
            return self._ask(now)
        ours, session_key = ExchangeKey.generate(self._random), self._random(32)
        answer = pb.KeyExchange(keys=[ours.public, ours.seal_session_key(session_key, theirs)])
        self._channel = StockChannel(session_key)
        clear = pb.RendezvousMessage(key_exchange=answer).SerializeToString()
        return [SendFrame(SERVER, clear), *self._ask(now)]

    # The registration

    def _ask(self, now: float, cookie: bytes = b"") -> list[Command]:
        self._asked = True
        self._timer = now + ANSWER_WITHIN
        payload = self._registrant.register_pk(cookie).SerializeToString()
        return [SendFrame(SERVER, self._sealed(payload))]

    def _received(self, payload: bytes, now: float) -> list[Command]:
        if self._is_online:
            self._timer = now + 1.5 * self._keep_alive
        if not payload:
            return [SendFrame(SERVER, b"")]
        try:
            message = parse(pb.RendezvousMessage, self._opened(payload))
            notification = read_notification(message)
            if message.HasField("key_exchange"):
                return self._greeted(message.key_exchange, now)
        except RemoteProtocolError as error:
            return self._again(f"it sent what cannot be read: {error}", now)
        if notification is not None:
            return [Report(notification)] if self._filter.passes(notification, now) else []
        if message.HasField("register_pk_response") and self._asked and not self._is_online:
            return self._answered(message.register_pk_response, now)
        return []  # housekeeping that means nothing to us

    def _sealed(self, plain: bytes) -> bytes:
        if self._channel is None:
            return plain
        payload = self._channel.seal(plain)
        self.on_sealed(plain, payload)
        return payload

    def _opened(self, payload: bytes) -> bytes:
        if self._channel is None:
            return payload
        plain = self._channel.open(payload)
        self.on_sealed(plain, payload)
        return plain

    def _answered(self, answer: pb.RegisterPkResponse, now: float) -> list[Command]:
        cookie = self._registrant.usable(answer.cookie)
        if cookie and not self._proved:
            self._proved = True
            return self._ask(now, cookie)
        if answer.result == pb.RegisterPkResponse.OK:
            return self._accepted(answer.keep_alive, now)
        if answer.result == pb.RegisterPkResponse.NOT_SUPPORT:
            return [Fail(self._not_taken("it takes registrations by UDP only"))]
        refusal = UNPROVEN if answer.unproven else Refusal.of(answer.result)
        if refusal.retry is None or (self._patience is not None and refusal.retry > self._patience):
            return [Fail(refusal.error(self._registrant.peer, self._where))]
        return self._pause(refusal.text, now + refusal.retry)

    def _accepted(self, keep_alive: int, now: float) -> list[Command]:
        self._keep_alive = float(min(keep_alive, _LONGEST_KEEP_ALIVE)) if keep_alive > 0 else KEEP_ALIVE
        self._timer = now + 1.5 * self._keep_alive
        self._is_online = self._was_online = True
        self._failures = 0
        commands: list[Command] = []
        if not self._confirmed:
            self._confirmed = True
            commands.append(StoreRecord(KeyConfirmed(self._registrant.peer)))
        if self._told != "online":
            self._told = "online"
            commands.append(Report(Online(self._registrant.peer, self._server.address, self._remote)))
        return [*commands, Done(None)] if self._once else commands

    def _not_taken(self, reason: str) -> ServerRefused:
        return ServerRefused(
            f"{self._where} does not register {self._registrant.peer}: {reason}",
            hint="no UDP passes a proxy or the web: connecting works so, listening only at 'rdpeer server'",
        )

    # What is told

    def _offline(self, reason: str) -> list[Command]:
        if self._told == reason:
            return []
        self._told = reason
        address = self._server.address
        what = reason.removeprefix(f"{address}: ")
        return [Report(Offline(self._registrant.peer, address, self._remote, what))]

    @property
    def _where(self) -> str:
        return place(self._server.address, self._remote)
