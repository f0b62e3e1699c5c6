"""From a fresh stream to two ends that know each other (docs/CHANNEL.md 1 to 3).

        initiator                                responder
                            <-  SignedId                        start()
        PublicKey           ->
        - - - - - - - - - - - - sealed from here on - - - - - - - - - - -
                            <-  RESPONDER_PROOF                 its key, what it offers
    PathVerified
    prove() INITIATOR_PROOF ->                                  InitiatorProven
                            <-  ACCEPTED                        key, open
        SHARE               ->                                  code, password
                            <-  SHARE
        CONFIRM             ->                                  the guess is spent
                            <-  CONFIRM
    Authenticated                                               Authenticated

The responder shows itself first: its key is known to the server anyway, the
initiator's to nobody but the peer that it asked for. What was verified up to
PathVerified costs no one anything; prove() commits to this path. Each proof
signs the transcript before it, and the secret exchange binds the transcript
with both, so that nothing said on one connection is worth anything on another.

Both machines are without I/O: a payload in, events out; any RdpeerError ends
them. The driver bounds the time, and sets the stream's limit to MAX_PAYLOAD.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from rdpeer.crypto.channel import SecureChannel
from rdpeer.crypto.channel import versions as channel_versions
from rdpeer.crypto.keys import IdentityKey, Random
from rdpeer.crypto.secret_exchange import CONFIRMATION_BYTES, SecretExchange
from rdpeer.errors import AuthenticationFailed, LocalProtocolError, RdpeerError, RemoteProtocolError
from rdpeer.protocol import proofs
from rdpeer.protocol.choice import unproven_peer
from rdpeer.protocol.gate import Gate, Method
from rdpeer.protocol.handshake_base import (
    MAX_PAYLOAD,
    TIMEOUT,
    Authenticated,
    Denied,
    Handshake,
    HandshakeEvent,
    InitiatorProven,
    PathVerified,
    PongReceived,
    Send,
    State,
    StockInitiator,
    out_of_place,
    there,
)
from rdpeer.protocol.opening import ExpectedKey, InitiatorOpening, ResponderOpening, check_agreement
from rdpeer.protocol.proofs import Denial
from rdpeer.values import PeerId
from rdpeer.wire.records import RecordType

__all__ = [
    "MAX_PAYLOAD",
    "TIMEOUT",
    "Authenticated",
    "Denial",
    "Denied",
    "ExpectedKey",
    "Handshake",
    "HandshakeEvent",
    "InitiatorHandshake",
    "InitiatorProven",
    "PathVerified",
    "PongReceived",
    "ResponderHandshake",
    "SecureChannel",
    "Send",
    "StockInitiator",
]


class InitiatorHandshake(Handshake):
    """The side that asked for ``peer``.

    ``expected`` are all the keys that somebody vouches for: the server's, a
    pin, ``--peer-key``. They must agree, or IdentityMismatch is raised here.
    Empty, where the server signs nothing: then only a completed secret exchange
    authenticates. ``versions`` of the channel that may be spoken: all that this machine is good at.
    """

    def __init__(
        self,
        peer: PeerId,
        identity: IdentityKey,
        expected: Sequence[ExpectedKey],
        *,
        versions: Sequence[int] | None = None,
        random: Random = secrets.token_bytes,
    ) -> None:
        super().__init__(identity, random)
        check_agreement(expected)
        self._expected = tuple(expected)
        known = channel_versions() if versions is None else versions
        self._opening = InitiatorOpening(peer, self._expected, known, random)
        self._offered: tuple[Method, ...] = ()

    @property
    def heard(self) -> bool:
        """Whether the peer has opened: a relay leg that stays silent may be tried again."""
        return self._channel is not None

    def receive(self, payload: bytes) -> list[HandshakeEvent]:
        """What one frame means. It raises, and the handshake is over:

        IdentityMismatch where the peer is not the one asked for,
        AuthenticationFailed where it does not let us in or does not prove the
        secret, RemoteProtocolError for everything else that must not be.
        """
        return self._guarded(payload, 0.0)

    def prove(
        self, method: Method, secret: bytes | None = None, own_id: PeerId | None = None
    ) -> list[HandshakeEvent]:
        """After PathVerified: shows our identity and commits to this path, by a method that was offered.

        ``secret`` is for CODE and PASSWORD, normalised (rdpeer.protocol.gate). ``own_id`` is
        told to the responder's log and programs; nothing proves it.
        Raises IdentityMismatch where that would leave the peer unproven.
        """
        if self._state is not State.CHOICE or method not in self._offered:
            raise LocalProtocolError(f"{method.name} cannot be used now")
        if (secret is not None) != method.needs_secret:
            raise LocalProtocolError(
                f"{method.name} {'needs a' if method.needs_secret else 'takes no'} secret"
            )
        if not self._expected and not method.needs_secret:
            raise unproven_peer()
        self._method = method
        body = proofs.make_initiator_proof(self._identity, self._transcript, method, own_id)
        self._extend(RecordType.INITIATOR_PROOF, body)
        self._state = State.VERDICT
        events: list[HandshakeEvent] = [self._seal(RecordType.INITIATOR_PROOF, body)]
        if secret is not None:
            events.append(self._begin_exchange(secret))
        return events

    def ping(self) -> Send:
        """Between PathVerified and prove(): asks for a PongReceived. It commits to nothing."""
        if self._state is not State.CHOICE:
            raise LocalProtocolError("PING has no place now")
        return self._seal(RecordType.PING)

    def lost(self, cause: RdpeerError | None = None) -> RdpeerError:
        """What it means that the stream ends now: by ``cause`` (a deadline, too), or in order.

        Once our confirmation is out, whoever took it may have been guessing:
        any end is AuthenticationFailed, and not to be retried without a person.
        """
        if self._state is not State.CONFIRMATION or isinstance(cause, AuthenticationFailed):
            return super().lost(cause)
        return AuthenticationFailed(
            f"the peer did not confirm the {'code' if self._method is Method.CODE else 'password'}",
            hint="it may be wrong, or somebody guesses at it in the peer's place: check before you try again",
        )

    def _on_opening(self, payload: bytes, now: float) -> list[HandshakeEvent]:
        answer, channel, transcript = self._opening.answer(payload)
        self._begin(channel, transcript)
        self._state = State.PROOF
        return [Send(answer)]

    def _on_record(self, kind: RecordType, body: bytes, now: float) -> list[HandshakeEvent]:
        match self._state, kind:
            case State.PROOF, RecordType.RESPONDER_PROOF:
                return self._on_proof(body)
            case State.VERDICT | State.SHARE | State.CONFIRMATION, RecordType.DENIED:
                raise proofs.read_denial(body, there(self._method))
            case State.VERDICT, RecordType.ACCEPTED:
                return [self._authenticated()]
            case State.SHARE, RecordType.SHARE:
                confirmation = there(self._exchange).finish(body)
                self._state = State.CONFIRMATION
                return [self._seal(RecordType.CONFIRM, confirmation)]
            case State.CONFIRMATION, RecordType.CONFIRM:
                if there(self._exchange).verify(body):
                    return [self._authenticated()]
        raise out_of_place(kind)

    def _on_proof(self, body: bytes) -> list[HandshakeEvent]:
        key, self._offered = proofs.read_responder_proof(body, self._transcript)
        for expected in self._expected:
            expected.check(key.fingerprint, "what it proved")
        self._opening.verify_signer(key)
        self._extend(RecordType.RESPONDER_PROOF, body)
        self._peer_key = key
        self._state = State.CHOICE
        return [PathVerified(key, self._offered)]

    def _begin_exchange(self, secret: bytes) -> Send:
        self._exchange = SecretExchange.begin(
            initiator=True,
            secret=secret,
            keys=(self._identity.public, there(self._peer_key)),
            t2=self._transcript,
            random=self._random,
        )
        self._state = State.SHARE
        return self._seal(RecordType.SHARE, self._exchange.share)


class ResponderHandshake(Handshake):
    """The side that owns the ID ``peer``, and lets in whom ``gate`` lets in.

    ``stock``: an initiator that answers without a mark gets a stock session (docs/CHANNEL.md 7).
    ``versions`` of the channel that are offered: all that this machine is good at.
    """

    def __init__(
        self,
        peer: PeerId,
        identity: IdentityKey,
        gate: Gate,
        *,
        stock: bool = False,
        versions: Sequence[int] | None = None,
        random: Random = secrets.token_bytes,
    ) -> None:
        super().__init__(identity, random)
        self._gate = gate
        self._stock = stock
        offered = channel_versions() if versions is None else versions
        self._opening = ResponderOpening(peer, identity, offered, random)
        self._offered: tuple[Method, ...] = ()
        self._secret = b""
        self._confirmation = b""

    def start(self) -> list[HandshakeEvent]:
        """The first message of the connection, which is ours."""
        return [Send(self._opening.payload)]

    def receive(self, payload: bytes, now: float) -> list[HandshakeEvent]:
        """What one frame means; ``now`` is monotonic. It raises, and the handshake is over:

        RemoteProtocolError for what must not be, AuthenticationFailed for a
        share of the secret exchange that is none. Who is turned away with an
        answer is the event Denied instead, after which the handshake is over, too.
        """
        return self._guarded(payload, now)

    def _on_opening(self, payload: bytes, now: float) -> list[HandshakeEvent]:
        if self._stock and (channel := self._opening.complete_stock(payload)):
            self._state = State.ENDED
            return [StockInitiator(channel)]
        self._begin(*self._opening.complete(payload))
        self._offered = self._gate.methods(now)
        body = proofs.make_responder_proof(self._identity, self._transcript, self._offered)
        self._extend(RecordType.RESPONDER_PROOF, body)
        self._state = State.PROOF
        return [self._seal(RecordType.RESPONDER_PROOF, body)]

    def _on_record(self, kind: RecordType, body: bytes, now: float) -> list[HandshakeEvent]:
        match self._state, kind:
            case State.PROOF, RecordType.INITIATOR_PROOF:
                return self._on_proof(body)
            case State.SHARE, RecordType.SHARE:
                return self._on_share(body, now)
            case State.CONFIRMATION, RecordType.CONFIRM:
                return self._on_confirmation(body, now)
        raise out_of_place(kind)

    def _on_proof(self, body: bytes) -> list[HandshakeEvent]:
        key, method, peer = proofs.read_initiator_proof(body, self._transcript)
        if method not in self._offered:
            raise RemoteProtocolError(f"the initiator means to pass by {method.name}, which was not offered")
        self._extend(RecordType.INITIATOR_PROOF, body)
        self._peer_key, self._method = key, method
        proven = InitiatorProven(key, method, peer)
        if method.needs_secret:
            self._state = State.SHARE
            return [proven]
        if method is Method.KEY and not self._gate.is_authorized(key):
            return [proven, *self._deny(Denial.KEY_NOT_AUTHORIZED)]
        return [proven, self._seal(RecordType.ACCEPTED), self._authenticated()]

    def _on_share(self, share: bytes, now: float) -> list[HandshakeEvent]:
        secret = self._gate.secret(there(self._method), now)
        if secret is None:  # a code that was used, or has expired, since it was offered
            return self._deny(Denial.WRONG_SECRET)
        self._secret = secret
        self._exchange = SecretExchange.begin(
            initiator=False,
            secret=secret,
            keys=(there(self._peer_key), self._identity.public),
            t2=self._transcript,
            random=self._random,
        )
        self._confirmation = self._exchange.finish(share)
        self._state = State.CONFIRMATION
        return [self._seal(RecordType.SHARE, self._exchange.share)]

    def _on_confirmation(self, confirmation: bytes, now: float) -> list[HandshakeEvent]:
        """The one place where a guess is judged: asked for leave first, counted before it is answered."""
        method = there(self._method)
        if len(confirmation) != CONFIRMATION_BYTES:
            raise RemoteProtocolError(f"a confirmation of {len(confirmation)} bytes")
        if not self._gate.may_guess(method, now):
            return self._deny(Denial.BUSY)
        if not there(self._exchange).verify(confirmation):
            self._gate.wrong_guess(method, now)
            return self._deny(Denial.WRONG_SECRET)
        if method is Method.CODE and not self._gate.consume(self._secret, now):
            return self._deny(Denial.WRONG_SECRET)
        return [self._seal(RecordType.CONFIRM, self._confirmation), self._authenticated()]

    def _deny(self, denial: Denial) -> list[HandshakeEvent]:
        answer = self._seal(RecordType.DENIED, proofs.make_denial(denial))
        self._state = State.ENDED
        return [answer, Denied(denial, there(self._peer_key), there(self._method))]
