"""Registration: how a peer comes online at a rendezvous server, and stays so (docs/PROTOCOL.md 9.1, 9.2).

Two questions, by UDP. RegisterPeer says "I am here"; the server answers with
nothing more, and then has stored our address, or with request_pk, and then has
not. RegisterPk brings the key; its OK may leave the address unstored (a server
that was restarted and has us in its database does so), so RegisterPeer follows
at once. **Only a RegisterPeerResponse without request_pk means online.**

    ask RegisterPeer --- answer -------------> online, ask again in 15 s
       ^      \\--------- request_pk --> ask RegisterPk
       |                                     |-- OK: ask RegisterPeer at once
       |                                     '-- refused: wait, or give up
       '------ silence: 3, 3, 6, 9, 12, 12 ... s, from the second on with a new socket

A server of ours brings a cookie where it wants our key proven (docs/CHANNEL.md
8): then RegisterPk follows, signed, and RegisterPeer again. A cookie is for the
socket that heard it, and for one answer. So who can prove asks by RegisterPeer
first even where the key is not confirmed; where no cookie comes, the server is
another's, or is content, and all is as above.

One question is open at a time; an answer to none is ignored, so a repeated
datagram or a forged one moves nothing. The server's other datagrams are
notifications, and are passed on whatever the state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from rdpeer.errors import LocalProtocolError, RemoteProtocolError, ServerUnreachable
from rdpeer.protocol.conversation import (
    Command,
    DatagramReceived,
    DeadlineReached,
    Done,
    Event,
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
from rdpeer.protocol.notifications import NotificationFilter, read_notification
from rdpeer.protocol.places import not_reached, place
from rdpeer.protocol.refusals import UNPROVEN, Refusal
from rdpeer.protocol.registrant import Registrant
from rdpeer.values import Endpoint, PeerId, ServerAddress, printable
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.messages import parse

KEEP_ALIVE = 15.0
"""Seconds from an answer to the next RegisterPeer: half of what servers allow, and often enough for NATs."""

PATIENCE = 15.0
"""Seconds without an answer after which a command that does not stay gives up."""

_FIRST_WAIT = 3.0
_LONGEST_WAIT = 12.0
_REBIND_AFTER = 2
_KEY_PAUSE = 7.0  # a server counts keys of one ID that come within 6 s of each other, and takes three
_PROOF_PAUSE = 7.0  # for a server that takes a proof, and is not content with it
_REFUSALS = 3
_GARBAGE_PAUSE = 60.0
_NAMES_TOLD = 4


@dataclass(frozen=True, slots=True)
class Online:
    """The server has our address. ``remote`` is its own, None where a proxy hides it."""

    peer: PeerId
    server: ServerAddress
    remote: Endpoint | None

    def __str__(self) -> str:
        return f"{self.peer} is online at {place(self.server, self.remote)}"


@dataclass(frozen=True, slots=True)
class Offline:
    """Nobody reaches us through the server now. ``remote`` is the address last tried."""

    peer: PeerId
    server: ServerAddress
    remote: Endpoint | None
    reason: str

    def __str__(self) -> str:
        return f"{self.peer} is offline at {place(self.server, self.remote)}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Contested:
    """The server had lost our address between two keep-alives, ``times`` in a row.

    Once is what a restart of it looks like, or a move of ours. Again and again is another machine with
    our ID, key and UUID: a copied folder or disk, whose registrations and ours replace each other.
    """

    peer: PeerId
    server: ServerAddress
    times: int

    def __str__(self) -> str:
        return (
            f"{self.server} has lost our address {self.times} times in a row: "
            f"does another machine use the identity of {self.peer}?"
        )


@dataclass(frozen=True, slots=True)
class Ignored:
    """Datagrams that are no answer; ``count`` of them since the start. Told once a minute at most."""

    server: ServerAddress
    count: int

    def __str__(self) -> str:
        return f"{self.server} sent what cannot be read ({self.count} so far); ignored"


@dataclass(frozen=True, slots=True)
class OtherServers:
    """The server wants its peers to use others (ConfigUpdate). Told once, and never obeyed: it would be
    enough to take over one server, or to forge its datagrams, to lead its peers anywhere."""

    server: ServerAddress
    names: tuple[str, ...]

    def __str__(self) -> str:
        names = ", ".join(printable(name, 60) for name in self.names[:_NAMES_TOLD]) or "none"
        return f"{self.server} wants its peers to use other servers ({names}); the one that is set is kept"


@dataclass(frozen=True, slots=True)
class KeyConfirmed:
    """The server has taken our key for this ID: next time RegisterPeer is enough."""

    peer: PeerId


class _Question(Enum):
    PEER = "RegisterPeer"
    KEY = "RegisterPk"


class Registration:
    """The conversation. Reports Online and Offline (each change once), Contested, Ignored, OtherServers, and
    each Notification.

    ``confirmed``: the server took this key for this ID before. ``once``: Done
    (with None) as soon as online. ``patience``: seconds of silence, counted from
    the first unanswered question, after which it fails with ServerUnreachable;
    None never gives up. What trying cannot mend fails with ServerRefused; with
    a patience, so does what keeps being refused.
    """

    def __init__(
        self,
        registrant: Registrant,
        server: ServerAddress,
        *,
        confirmed: bool,
        once: bool = False,
        patience: float | None = None,
    ) -> None:
        self._registrant = registrant
        self._server = server
        self._confirmed = confirmed
        self._once = once
        self._patience = patience
        self._remote: Endpoint | None = None
        self._next = _Question.PEER if confirmed or registrant.possession else _Question.KEY
        self._cookie = b""
        self._open: _Question | None = None
        self._timer: float | None = None
        self._unanswered_since: float | None = None
        self._silences = 0
        self._refusals = 0
        self._key_sent = -math.inf
        self._proof_taken = -math.inf
        self._state: str | None = None
        self._held = False
        self._losses = 0
        self._filter = NotificationFilter()
        self._other_servers_told = False
        self._garbage = 0
        self._garbage_told = -math.inf

    @property
    def deadline(self) -> float | None:
        return min((t for t in (self._timer, self._give_up_at) if t is not None), default=None)

    def handle(self, event: Event, now: float) -> list[Command]:
        match event:
            case Started():
                self._unanswered_since = now
                return [Rebind(self._server)]
            case SocketBound(remote):
                self._remote = remote
                self._drop_cookie()
                self._proof_taken = -math.inf  # from another socket another proof is due at once
                return self._ask(now)
            case SocketFailed(reason):
                return self._not_bound(reason, now)
            case RouteChanged():
                return self._moved(now)
            case DatagramReceived(payload):
                return self._datagram(payload, now)
            case DeadlineReached():
                return self._time_up(now)
            case _:
                raise LocalProtocolError(f"a registration has no use for {type(event).__name__}")

    # Asking

    def _ask(self, now: float) -> list[Command]:
        self._open = self._next
        if self._unanswered_since is None:
            self._unanswered_since = now
        self._timer = now + self._wait
        return [SendDatagram(self._question(now).SerializeToString())]

    def _question(self, now: float) -> pb.RendezvousMessage:
        if self._open is _Question.PEER:
            return self._registrant.register_peer()
        if not self._cookie:
            self._key_sent = now
        return self._registrant.register_pk(self._cookie)

    def _drop_cookie(self) -> None:
        """It was answered, or is another socket's: the next one comes with the answer to RegisterPeer."""
        if self._cookie:
            self._cookie, self._next = b"", _Question.PEER

    @property
    def _wait(self) -> float:
        return min(_FIRST_WAIT * max(self._silences, 1), _LONGEST_WAIT)

    # Silence

    @property
    def _give_up_at(self) -> float | None:
        if self._patience is None or self._unanswered_since is None:
            return None
        return self._unanswered_since + self._patience

    def _time_up(self, now: float) -> list[Command]:
        if self._give_up_at is not None and now >= self._give_up_at:
            where = place(self._server, self._remote)
            return [Fail(ServerUnreachable(f"no answer from {where} for {self._patience:.0f} s"))]
        if self._unanswered_since is None:
            return self._ask(now)
        self._silences += 1
        if self._silences < _REBIND_AFTER:
            return self._ask(now)
        self._timer = None
        return [*(self._offline("no answer") if self._open else []), Rebind(self._server)]

    def _not_bound(self, reason: str, now: float) -> list[Command]:
        """Tried again like a question without an answer, but said at once: there is nothing to wait for."""
        if self._patience is not None and self._remote is None:
            return [Fail(not_reached(self._server, reason))]
        self._open = None
        self._silences = max(self._silences, _REBIND_AFTER - 1)
        self._timer = now + self._wait
        return self._offline(reason)

    def _moved(self, now: float) -> list[Command]:
        """The server still sends to where we were: to be told at once where we are."""
        self._open, self._timer = None, None
        self._held = False  # that the server asks for the key again then is no loss
        if self._unanswered_since is None:
            self._unanswered_since = now
        return [*self._offline("the way there has changed"), Rebind(self._server)]

    # Answers

    def _datagram(self, payload: bytes, now: float) -> list[Command]:
        try:
            message = parse(pb.RendezvousMessage, payload)
            notification = read_notification(message)
        except RemoteProtocolError:
            return self._unreadable(now)
        if notification is not None:
            return [Report(notification)] if self._filter.passes(notification, now) else []
        match message.WhichOneof("union"), self._open:
            case "register_peer_response", _Question.PEER:
                return self._peer_answered(message.register_peer_response, now)
            case "register_pk_response", _Question.KEY:
                return self._key_answered(message.register_pk_response, now)
            case "configure_update", _:
                return self._other_servers(message.configure_update)
            case None, _:
                return self._unreadable(now)
            case _:
                return []  # a late or repeated answer, or housekeeping that means nothing to us

    def _peer_answered(self, answer: pb.RegisterPeerResponse, now: float) -> list[Command]:
        self._answered()
        self._cookie = self._registrant.usable(answer.cookie)
        if answer.request_pk or self._cookie or not self._confirmed:
            self._next = _Question.KEY
            at = self._proof_taken + _PROOF_PAUSE if self._cookie else self._key_sent + _KEY_PAUSE
            return [*(self._lost() if answer.request_pk else []), *self._ask_or_wait(at, now)]
        self._losses = 0 if self._held else self._losses
        self._held = True
        self._refusals = 0
        self._timer = now + KEEP_ALIVE
        return [*self._online(), *([Done(None)] if self._once else [])]

    def _lost(self) -> list[Command]:
        """The server wants the key though it held our address at the keep-alive before."""
        if not self._held:
            return []
        self._held = False
        self._losses += 1
        return [Report(Contested(self._registrant.peer, self._server, self._losses))]

    def _key_answered(self, answer: pb.RegisterPkResponse, now: float) -> list[Command]:
        self._answered()
        if answer.result == pb.RegisterPkResponse.OK and self._cookie:
            self._proof_taken = now
        self._drop_cookie()
        if answer.result == pb.RegisterPkResponse.OK:
            self._next = _Question.PEER
            return [*self._confirm(), *self._ask(now)]
        refusal = UNPROVEN if answer.unproven else Refusal.of(answer.result)
        self._refusals += 1
        if refusal.retry is None or self._enough(refusal.retry):
            return [Fail(refusal.error(self._registrant.peer, place(self._server, self._remote)))]
        self._timer = now + refusal.retry
        return self._offline(refusal.text)

    def _enough(self, retry: float) -> bool:
        """True where one more wait of ``retry`` seconds, or one more time, would outlast the patience."""
        return self._patience is not None and (retry > self._patience or self._refusals >= _REFUSALS)

    def _answered(self) -> None:
        self._open = None
        self._unanswered_since = None
        self._silences = 0

    def _ask_or_wait(self, at: float, now: float) -> list[Command]:
        if now >= at:
            return self._ask(now)
        self._timer = at
        return []

    def _confirm(self) -> list[Command]:
        if self._confirmed:
            return []
        self._confirmed = True
        return [StoreRecord(KeyConfirmed(self._registrant.peer))]

    # What is told

    def _online(self) -> list[Command]:
        if self._state == "online" or self._remote is None:
            return []
        self._state = "online"
        return [Report(Online(self._registrant.peer, self._server, self._remote))]

    def _offline(self, reason: str) -> list[Command]:
        """Said again when the reason changes; not when only the address tried does."""
        if self._state == reason:
            return []
        self._state = reason
        return [Report(Offline(self._registrant.peer, self._server, self._remote, reason))]

    def _other_servers(self, update: pb.ConfigUpdate) -> list[Command]:
        if self._other_servers_told:
            return []
        self._other_servers_told = True
        return [Report(OtherServers(self._server, tuple(update.rendezvous_servers)))]

    def _unreadable(self, now: float) -> list[Command]:
        self._garbage += 1
        if now < self._garbage_told + _GARBAGE_PAUSE:
            return []
        self._garbage_told = now
        return [Report(Ignored(self._server, self._garbage))]
