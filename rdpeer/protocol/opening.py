"""The first two messages of a connection, and the channel that they make (docs/CHANNEL.md 1, 2).

They are stock's own (docs/PROTOCOL.md 3.1), each with a mark that stock ignores:
the responder's SignedId carries, inside its signature, the channel versions
that it speaks; the initiator's PublicKey the one that it chose. A relay that
strips the first mark breaks the signature; one that strips the second gives the
two ends other transcripts, hence other keys.

There is no way from here into the stock session or into plain text.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from rdpeer.crypto.channel import VERSION, SecureChannel, opening_transcript
from rdpeer.crypto.identities import IdPk, open_id_pk, peek_id_pk, sign_id_pk
from rdpeer.crypto.keys import SESSION_KEY_BYTES, ExchangeKey, IdentityKey, Random
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
    """The responder's side: ``payload`` goes out, the initiator's answer makes the channel."""

    def __init__(self, peer: PeerId, identity: IdentityKey, random: Random) -> None:
        self._key = ExchangeKey.generate(random)
        blob = sign_id_pk(identity, peer, self._key.public, versions=[VERSION])
        message = session_pb2.Message(signed_id=session_pb2.SignedId(id=blob))
        self.payload = message.SerializeToString(deterministic=True)
        """SignedId."""

    def complete(self, answer: bytes) -> tuple[SecureChannel, bytes]:
        """The channel and T0, from the initiator's PublicKey; RemoteProtocolError for anything else."""
        key = _member(answer, "public_key").public_key
        if not key.asymmetric_value or not key.version:
            raise RemoteProtocolError("the initiator does not speak the rdpeer channel")
        if key.version != VERSION:
            raise RemoteProtocolError(
                f"the initiator chose channel version {key.version}, which was not offered"
            )
        session_key = self._key.open_session_key(key.symmetric_value, key.asymmetric_value)
        t0 = opening_transcript(self.payload, answer)
        shared = self._key.shared(key.asymmetric_value)
        return SecureChannel.derive(initiator=False, shared=shared, session_key=session_key, t0=t0), t0


class InitiatorOpening:
    """The initiator's side: the responder's SignedId makes the channel and the answer to it."""

    def __init__(
        self, peer: PeerId, expected: Sequence[ExpectedKey], random: Random = secrets.token_bytes
    ) -> None:
        self._peer = peer
        self._expected = expected
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
        self._check(identity)
        key, session_key = ExchangeKey.generate(self._random), self._random(SESSION_KEY_BYTES)
        shared = key.shared(identity.pk)
        message = session_pb2.Message(
            public_key=session_pb2.PublicKey(
                asymmetric_value=key.public,
                symmetric_value=key.seal_session_key(session_key, identity.pk),
                version=VERSION,
            )
        )
        ours = message.SerializeToString(deterministic=True)
        t0 = opening_transcript(payload, ours)
        return ours, SecureChannel.derive(initiator=True, shared=shared, session_key=session_key, t0=t0), t0

    def verify_signer(self, key: PublicKey) -> None:
        """Raises IdentityMismatch unless ``key`` signed the SignedId that was answered."""
        _open(key, self._blob, "the key that the peer proved")

    def _read(self) -> IdPk:
        for expected in self._expected:
            if expected.key:
                return _open(expected.key, self._blob, f"the key from {expected.source}")
        return peek_id_pk(self._blob)

    def _check(self, identity: IdPk) -> None:
        if identity.peer_id != self._peer.text:
            raise IdentityMismatch(
                f"the peer says that it is {printable(identity.peer_id)}, not {self._peer}"
            )
        if not identity.versions:
            raise IdentityMismatch(
                "the peer does not speak the rdpeer channel",
                hint="it is a stock RustDesk desktop, or something between stripped the channel's mark",
            )
        if VERSION not in identity.versions:
            raise RemoteProtocolError(
                "the peer speaks no version of the channel that this rdpeer knows", hint="update rdpeer here"
            )


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
