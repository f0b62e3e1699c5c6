"""The first two messages of a connection, and the channel that they make (docs/CHANNEL.md 1, 2).

They are stock's own (docs/PROTOCOL.md 3.1), each with a mark that stock ignores:
the responder's SignedId carries, inside its signature, the channel versions
that it speaks; the initiator's PublicKey the one that it chose. A relay that
strips the first mark breaks the signature; one that strips the second gives the
two ends other transcripts, hence other keys.

There is no way from here into plain text, and none into the stock session but
:class:`DesktopOpening`, which its user asks for beforehand: no failure leads there.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from rdpeer.crypto.channel import SecureChannel, opening_transcript
from rdpeer.crypto.identities import IdPk, open_id_pk, peek_id_pk, sign_id_pk
from rdpeer.crypto.keys import SESSION_KEY_BYTES, ExchangeKey, IdentityKey, Random
from rdpeer.crypto.stock import StockChannel
from rdpeer.errors import IdentityMismatch, RemoteProtocolError
from rdpeer.values import Fingerprint, PeerId, PublicKey, printable
from rdpeer.wire import session_pb2
from rdpeer.wire.messages import parse

_CHANGED = "its key was changed, or somebody answers in its place: ask its owner before you trust the new key"


@dataclass(frozen=True, slots=True)
class ExpectedKey:
    """A key that the responder must prove, and who says so: ``source``, for people.

    ``key`` or, where only that is known, its ``fingerprint``.
    """

    source: str
    key: PublicKey | None = None
    fingerprint: Fingerprint | None = None

    def __post_init__(self) -> None:
        if (self.key is None) == (self.fingerprint is None):
            raise ValueError("expect a key or a fingerprint, one of them")

    @property
    def expected(self) -> Fingerprint:
        """The fingerprint, whichever was given."""
        if self.key:
            return self.key.fingerprint
        assert self.fingerprint, "one of them is always there"  # noqa: S101
        return self.fingerprint

    def check(self, fingerprint: Fingerprint, source: str) -> None:
        """Raises IdentityMismatch where ``fingerprint``, which comes from ``source``, is another one."""
        if fingerprint != self.expected:
            raise IdentityMismatch(
                f"the peer's key is {fingerprint} ({source}), not {self.expected} ({self.source})",
                hint=_CHANGED,
            )


def check_agreement(expected: Sequence[ExpectedKey]) -> None:
    """Raises IdentityMismatch unless all of ``expected`` are the same key."""
    for other in expected[1:]:
        expected[0].check(other.expected, other.source)


class ResponderOpening:
    """The responder's side: ``payload`` goes out, the initiator's answer makes the channel.

    ``versions``: those of the channel that are offered.
    """

    def __init__(self, peer: PeerId, identity: IdentityKey, versions: Sequence[int], random: Random) -> None:
        self._key = ExchangeKey.generate(random)
        self._versions = versions
        blob = sign_id_pk(identity, peer, self._key.public, versions)
        message = session_pb2.Message(signed_id=session_pb2.SignedId(id=blob))
        self.payload = message.SerializeToString(deterministic=True)
        """SignedId."""

    def complete(self, answer: bytes) -> tuple[SecureChannel, bytes]:
        """The channel and T0, from the initiator's PublicKey; RemoteProtocolError for anything else."""
        key = _member(answer, "public_key").public_key
        if not key.asymmetric_value or not key.version:
            raise RemoteProtocolError("the initiator does not speak the rdpeer channel")
        if key.version not in self._versions:
            raise RemoteProtocolError(
                f"the initiator chose channel version {key.version}, which was not offered"
            )
        session_key = self._key.open_session_key(key.symmetric_value, key.asymmetric_value)
        t0 = opening_transcript(self.payload, answer)
        shared = self._key.shared(key.asymmetric_value)
        channel = SecureChannel.derive(
            initiator=False, shared=shared, session_key=session_key, t0=t0, version=key.version
        )
        return channel, t0

    def complete_stock(self, answer: bytes) -> StockChannel | None:
        """The channel of a stock session, where the initiator's PublicKey has no mark; None where it has one.

        RemoteProtocolError for anything else, an empty key included, by which stock asks for plain text.
        """
        key = _member(answer, "public_key").public_key
        if key.version:
            return None
        return StockChannel(self._key.open_session_key(key.symmetric_value, key.asymmetric_value))


class InitiatorOpening:
    """The initiator's side: the responder's SignedId makes the channel and the answer to it.

    ``versions``: those of the channel that may be chosen; the highest that is offered is.
    """

    def __init__(
        self,
        peer: PeerId,
        expected: Sequence[ExpectedKey],
        versions: Sequence[int],
        random: Random = secrets.token_bytes,
    ) -> None:
        self._peer = peer
        self._expected = expected
        self._versions = versions
        self._random = random
        self._blob = b""

    def answer(self, payload: bytes) -> tuple[bytes, SecureChannel, bytes]:
        """Our PublicKey payload, the channel and T0.

        Raises IdentityMismatch for another signer, another ID or a missing mark,
        RemoteProtocolError for what is no SignedId. Where no whole key is
        expected, the signature is still to be checked: :meth:`verify_signer`.
        """
        self._blob = _member(payload, "signed_id").signed_id.id
        identity = self._read()
        _check_id(identity, self._peer)
        version = self._choose(identity.versions)
        key, session_key = ExchangeKey.generate(self._random), self._random(SESSION_KEY_BYTES)
        shared = key.shared(identity.pk)
        ours = _public_key(key, session_key, identity.pk, version)
        t0 = opening_transcript(payload, ours)
        channel = SecureChannel.derive(
            initiator=True, shared=shared, session_key=session_key, t0=t0, version=version
        )
        return ours, channel, t0

    def verify_signer(self, key: PublicKey) -> None:
        """Raises IdentityMismatch unless ``key`` signed the SignedId that was answered."""
        _open(key, self._blob, "the key that the peer proved")

    def _read(self) -> IdPk:
        for expected in self._expected:
            if expected.key:
                return _open(expected.key, self._blob, f"the key from {expected.source}")
        return peek_id_pk(self._blob)

    def _choose(self, offered: Sequence[int]) -> int:
        if not offered:
            raise IdentityMismatch(
                "the peer does not speak the rdpeer channel",
                hint="if it is a RustDesk desktop: --stock, which does not encrypt what is carried",
            )
        known = set(self._versions).intersection(offered)
        if not known:
            raise RemoteProtocolError(
                "the peer speaks no version of the channel that this rdpeer knows",
                hint="update rdpeer at both ends",
            )
        return max(known)


class DesktopOpening:
    """The initiator's side towards a stock desktop: the same two messages, the answer without our mark.

    ``expected`` as for :class:`InitiatorOpening`. A desktop never shows its key, so
    one of them has to be a whole key: IdentityMismatch otherwise.
    """

    def __init__(
        self, peer: PeerId, expected: Sequence[ExpectedKey], random: Random = secrets.token_bytes
    ) -> None:
        check_agreement(expected)
        signer = next((each for each in expected if each.key), None)
        if signer is None or signer.key is None:
            raise IdentityMismatch(
                "nothing proves which desktop this is: the server signs no key of it",
                hint="give its whole key, not only the fingerprint, with --peer-key",
            )
        self._peer = peer
        self._signer = signer.source
        self._random = random
        self.key = signer.key
        """The desktop's, which it proves by opening what is sealed for it."""
        self.is_marked = False
        """The desktop speaks the rdpeer channel, too."""

    def answer(self, payload: bytes) -> tuple[bytes, StockChannel]:
        """Our PublicKey payload and the channel.

        Raises IdentityMismatch for another signer, another ID or a session in
        clear, RemoteProtocolError for what is no SignedId.
        """
        message = parse(session_pb2.Message, payload)
        if message.WhichOneof("union") in ("hash", "login_response"):
            raise IdentityMismatch("the desktop speaks in clear: nothing proves which one it is")
        blob = _member(payload, "signed_id").signed_id.id
        identity = _open(self.key, blob, f"the key from {self._signer}")
        _check_id(identity, self._peer)
        self.is_marked = bool(identity.versions)
        key, session_key = ExchangeKey.generate(self._random), self._random(SESSION_KEY_BYTES)
        return _public_key(key, session_key, identity.pk), StockChannel(session_key)


def _public_key(ours: ExchangeKey, session_key: bytes, theirs: bytes, version: int = 0) -> bytes:
    message = session_pb2.PublicKey(
        asymmetric_value=ours.public,
        symmetric_value=ours.seal_session_key(session_key, theirs),
        version=version,
    )
    return session_pb2.Message(public_key=message).SerializeToString(deterministic=True)


def _check_id(identity: IdPk, peer: PeerId) -> None:
    if identity.peer_id != peer.text:
        raise IdentityMismatch(f"the peer says that it is {printable(identity.peer_id)}, not {peer}")


def _open(key: PublicKey, blob: bytes, signer: str) -> IdPk:
    try:
        return open_id_pk(key, blob, signer)
    except IdentityMismatch as error:
        error.hint = _CHANGED
        raise


def _member(payload: bytes, name: str) -> session_pb2.Message:
    """``payload`` as the Message that holds ``name``."""
    message = parse(session_pb2.Message, payload)
    found = message.WhichOneof("union")
    if found != name:
        raise RemoteProtocolError(f"the peer began with {found or 'an unknown message'} instead of {name}")
    return message
