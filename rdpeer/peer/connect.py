"""Connecting to a peer: ask the server, race the paths, prove, be let in.

Whatever a person must be asked (a code, a password, whether a fingerprint is
the right one) is asked with no connection open: it is closed, the person is
asked, and all of it starts again from the punch request. So no handshake ever
waits for a person, and no guess at a secret is spent on the way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from typing import Protocol

from rdpeer.errors import (
    AuthenticationFailed,
    NoPath,
    PeerRefused,
)
from rdpeer.net import tunnel
from rdpeer.net.driver import converse
from rdpeer.net.link import Link
from rdpeer.net.pipe import Sink, Source
from rdpeer.net.raw import RawStream
from rdpeer.net.transport import FrameStream
from rdpeer.net.transport.hole import TcpHole
from rdpeer.net.transport.udp_hole import UdpHole
from rdpeer.peer import handshaking
from rdpeer.peer.by_udp import UdpRequest, hole_v6
from rdpeer.peer.desktop import NOT_ENCRYPTED, Desktop, DesktopPerson
from rdpeer.peer.handshaking import Initiating
from rdpeer.peer.moving import moving
from rdpeer.peer.paths import Attempt, VerifiedPath, race
from rdpeer.peer.relayed import Relayed
from rdpeer.peer.setup import reflectors_of, why_relayed, within
from rdpeer.peer.trust import Trust
from rdpeer.peer.ways import Ways
from rdpeer.protocol.choice import SecretNeeded, choose_method
from rdpeer.protocol.gate import Method
from rdpeer.protocol.handshake import ExpectedKey, InitiatorHandshake, SecureChannel
from rdpeer.protocol.login import DesktopLogin
from rdpeer.protocol.login_errors import WrongPassword
from rdpeer.protocol.opening import check_agreement
from rdpeer.protocol.question import RendezvousServer
from rdpeer.protocol.relays import Relays
from rdpeer.protocol.rendezvous import Offer, PunchRequest
from rdpeer.protocol.tokens import UsedTokens
from rdpeer.protocol.traversal import LISTENER
from rdpeer.store.identity import Identity
from rdpeer.store.known_peers import Verdict
from rdpeer.values import Endpoint, PeerId, PublicKey, ServerAddress, WebAddress


class Way(Enum):
    """Which paths may be taken."""

    ANY = auto()
    DIRECT = auto()
    RELAY = auto()


class Person(DesktopPerson, Protocol):
    """Who is asked and told. The asking methods raise RdpeerError where nobody can be asked."""

    async def secret(self, methods: Sequence[Method]) -> tuple[Method, bytes]:
        """One of the secrets that the peer wants, normalised (rdpeer.protocol.gate)."""

    async def approves(self, peer: PeerId, key: PublicKey) -> None:
        """Returns if a person takes ``key`` for the peer's; raises IdentityMismatch otherwise."""

    def detail(self, text: str) -> None:
        """How it goes: paths tried, paths failed."""


@dataclass(frozen=True, slots=True)
class Connection:
    """A stream with a peer at its other end that let us in."""

    path: str
    stream: FrameStream
    channel: SecureChannel
    peer_key: PublicKey
    method: Method
    relayed: Relayed | None
    """What it takes to leave the relay, if the path is one and may be left."""


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A port of a stock desktop that let us in: raw bytes, which nothing encrypts any more."""

    path: str
    stream: RawStream
    peer_key: PublicKey
    linger: float


class _Unmet(Exception):
    """Something is missing that ``meet`` gets, once the connection is closed; then all starts again."""

    def __init__(self, meet: Callable[[], Awaitable[None]]) -> None:
        super().__init__()
        self.meet = meet


@dataclass
class Connector:
    """One wish to reach ``peer``. ``secrets`` are those that were given, normalised.

    ``desktop`` is there if the peer is to be spoken to as a stock desktop, and only then.
    """

    identity: Identity
    peer: PeerId
    server: RendezvousServer
    relay_servers: Sequence[ServerAddress]
    trust: Trust
    person: Person
    way: Way = Way.ANY
    secrets: dict[Method, bytes] = field(default_factory=dict, repr=False)
    stun: ServerAddress | None = None
    desktop: Desktop | None = None
    _refused: set[Method] = field(default_factory=set, init=False)
    _used: UsedTokens = field(default_factory=UsedTokens, init=False)
    _relays: Relays = field(init=False)
    _seen: Endpoint | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._relays = Relays(self.server.address, *self.relay_servers)
        if (reason := why_relayed(self.server)) is None:
            return
        if self.way is Way.DIRECT:
            raise NoPath(f"no direct path: {reason}")
        self.way = Way.RELAY

    async def connect(self) -> Connection | Forwarded:
        """Raises an RdpeerError of every kind: each says where it ended."""
        if self.desktop and isinstance(self.server.address, WebAddress):
            raise NoPath("a stock desktop cannot be reached by WebSocket: only TCP can turn raw")
        while True:
            path, server_signed = await self.path()
            with ExitStack() as on_failure:
                on_failure.callback(path.stream.abort)
                try:
                    connection = await self._commit(path, server_signed)
                except _Unmet as need:
                    unmet = need
                else:
                    on_failure.pop_all()
                    return connection
            await unmet.meet()

    async def path(self) -> tuple[VerifiedPath, bool]:
        """The path to commit to, which is then the caller's, and whether the server vouched for the key.

        So far nothing of ours was shown: no guess is spent, no place at the peer is taken.
        """
        relayed = self.way is Way.RELAY
        self.person.detail(f"asking {self.server.address} for {self.peer}")
        with ExitStack() as holes:
            v6 = None if relayed or self.desktop else hole_v6()  # only TCP can turn raw
            if v6:
                holes.callback(v6.close)
            request = PunchRequest(
                self.peer, self.server, self._relays, force_relay=relayed, v6=v6.endpoint if v6 else None
            )
            outcome = await converse(request)
            self._seen = outcome.value.external
            hole = outcome.listeners.get(LISTENER)
            if hole:
                holes.callback(hole.close)
            path = await race(self._attempts(outcome.value, hole, v6), self.person.detail)
        self.person.detail(f"path: {path.name}")
        return path, outcome.value.peer_key is not None

    def _attempts(self, offer: Offer, hole: TcpHole | None, v6: UdpHole | None) -> list[Attempt]:
        expected = self.trust.expected(offer.peer_key)
        check_agreement(expected)  # before anybody is connected to
        handshake = partial(self._handshake, expected)
        may_choose = offer.token is None  # else the peer waits at the one that it named
        choices = self._relays.choices(offer.relay) if may_choose else [offer.relay]
        reflectors = reflectors_of(self.server, self.stun)
        by_udp = UdpRequest(self.peer, self.server, self._relays, reflectors)
        ways = Ways(
            self.peer,
            self.server,
            offer,
            {relay: self._relays.reach(relay) for relay in choices},
            hole,
            v6,
            None if self.desktop else by_udp,
            handshake,
            self._used,
            self.person.detail,
        )
        direct = ways.direct() if self.way is not Way.RELAY else []
        if self.way is Way.DIRECT and not direct:
            raise NoPath(f"{self.peer} offers only a relay, and --direct was asked for")
        return [*direct, ways.relay()] if self.way is not Way.DIRECT else direct

    def _handshake(self, expected: Sequence[ExpectedKey]) -> Initiating:
        if self.desktop is not None:
            return self.desktop.handshake(self.peer, expected)
        return InitiatorHandshake(self.peer, self.identity.key, expected)

    async def _commit(self, path: VerifiedPath, server_signed: bool) -> Connection | Forwarded:
        """Logs in or authenticates; what the peer's key means is judged before, and remembered afterwards."""
        key, handshake = path.verified.proof.peer_key, path.handshake
        method = None if isinstance(handshake, DesktopLogin) else self._method(path, server_signed)
        pin, judgement = self.trust.judge(key, method)
        if judgement.warning:
            self.person.note(f"warning: {judgement.warning}")
        if judgement.verdict is Verdict.ASK:
            raise _Unmet(lambda: self._ask_approval(key))
        connection = await self._let_in(path, method)
        if judgement.verdict is Verdict.INTRODUCE:
            self.person.note(f"the key of {self.peer} is {key.fingerprint}; only the server vouches for it")
        if judgement.verdict is not Verdict.KNOWN:
            self.trust.remember(pin)
        return connection

    async def _let_in(self, path: VerifiedPath, method: Method | None) -> Connection | Forwarded:
        key, handshake = path.verified.proof.peer_key, path.handshake
        if isinstance(handshake, DesktopLogin):
            return await self._log_in(path, handshake)
        assert method is not None  # noqa: S101 - one was chosen for every peer but a desktop
        await self._authenticate(path, handshake, method)
        relayed = self._relayed(path, handshake)
        return Connection(path.name, path.stream, handshake.channel, key, method, relayed)

    def _relayed(self, path: VerifiedPath, handshake: InitiatorHandshake) -> Relayed | None:
        if not path.is_relay or self.way is Way.RELAY:
            return None
        reflectors = reflectors_of(self.server, self.stun)
        return Relayed.of(path.name, path.stream, handshake, self._seen, reflectors)

    async def _authenticate(self, path: VerifiedPath, handshake: InitiatorHandshake, method: Method) -> None:
        secret, own_id, deadline = self.secrets.get(method), self.identity.peer_id, path.verified.deadline
        try:
            await handshaking.authenticate(path.stream, handshake, deadline, method, secret, own_id)
        except AuthenticationFailed:
            if method is not Method.KEY or len(path.verified.proof.methods) == 1:
                raise
            raise _Unmet(self._do_without_key) from None

    async def _log_in(self, path: VerifiedPath, login: DesktopLogin) -> Forwarded:
        desktop = self.desktop
        assert desktop is not None  # noqa: S101 - who logs in is to log in at one
        if desktop.must_ask:
            raise _Unmet(lambda: desktop.ask(self.person))
        try:
            raw = await desktop.log_in(path.stream, login, self.person)
        except WrongPassword as error:
            if not desktop.may_try_again():
                raise
            self.person.note(str(error))
            raise _Unmet(lambda: desktop.ask(self.person)) from None
        return Forwarded(path.name, raw, path.verified.proof.peer_key, desktop.linger)

    def _method(self, path: VerifiedPath, server_signed: bool) -> Method:
        try:
            return choose_method(
                path.verified.proof.methods,
                given=self.secrets,
                key_proven=self.trust.key_proven,
                server_signed=server_signed,
                refused=self._refused,
            )
        except SecretNeeded as need:
            methods = need.methods
            raise _Unmet(lambda: self._ask_secret(methods)) from need

    # What is done with no connection open

    async def _ask_secret(self, methods: Sequence[Method]) -> None:
        method, secret = await self.person.secret(methods)
        self.secrets[method] = secret

    async def _ask_approval(self, key: PublicKey) -> None:
        await self.person.approves(self.peer, key)
        self.trust.approve(key)

    async def _do_without_key(self) -> None:
        self.person.detail("the peer does not authorize our key; trying what else it offers")
        self._refused.add(Method.KEY)


async def pipe(
    connector: Connector,
    target: str,
    source: Source,
    sink: Sink,
    *,
    timeout: float | None = None,
    recv_only: bool = False,
    send_only: bool = False,
) -> None:
    """Connects, and carries one stream between the peer's ``target`` and ``source`` and ``sink``, to its end.

    When it returns, every byte was handed over at both ends; of a stock desktop nobody
    knows (docs/CHANNEL.md 7). ``timeout``: seconds for what comes before the first
    byte; DeadlineExceeded. Raises PeerRefused where the peer's program failed,
    OSError where ``source`` or ``sink`` did, and what :meth:`Connector.connect` and
    a stream's ``carry`` raise.
    """
    async with within(timeout) as limit:
        connection = await connector.connect()
        if isinstance(connection, Forwarded):
            limit.reschedule(None)
            connector.person.note(NOT_ENCRYPTED)
            raw, linger = connection.stream, connection.linger
            await tunnel.carry(raw, source, sink, linger=linger, recv_only=recv_only, send_only=send_only)
            return
        relayed = connection.relayed
        async with (
            Link(connection.stream, connection.channel, initiator=True, movable=relayed is not None) as link,
            moving(link, relayed, connector.person.detail),
        ):
            stream = await link.open(target)
            limit.reschedule(None)
            status = await stream.carry(source, sink, recv_only=recv_only, send_only=send_only)
            await link.finish()
    if status:
        raise PeerRefused(f"the peer's command exited {status}")
