"""Signed identities: IdPk behind an Ed25519 signature (docs/PROTOCOL.md 3.1, docs/CHANNEL.md 1).

The server signs which Ed25519 key a peer ID registered; the peer signs, in
SignedId, which X25519 key it uses for one connection and which channel
versions it speaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from rdpeer.crypto.keys import SIGNATURE_BYTES, IdentityKey, open_signed
from rdpeer.errors import IdentityMismatch, RemoteProtocolError
from rdpeer.values import PeerId, PublicKey
from rdpeer.wire import session_pb2
from rdpeer.wire.messages import parse

_PK_BYTES = 32


class IdPk(NamedTuple):
    """What was signed. ``peer_id`` is text as it came: compare it, never show it as it is."""

    peer_id: str
    pk: bytes
    versions: tuple[int, ...]


def sign_id_pk(key: IdentityKey, peer_id: PeerId | str, pk: bytes, versions: Sequence[int] = ()) -> bytes:
    """Signature (64 bytes) and IdPk. ``versions`` is the channel's mark: empty in what a server signs."""
    body = session_pb2.IdPk(id=str(peer_id), pk=pk, versions=versions)
    return key.sign_combined(body.SerializeToString(deterministic=True))


def open_id_pk(key: PublicKey, blob: bytes, signer: str = "the key expected for it") -> IdPk:
    """What ``key`` signed.

    Raises IdentityMismatch where the signature is not by ``key`` (``signer`` is
    its name for people), RemoteProtocolError where what is signed cannot be read.
    """
    body = open_signed(key, blob)
    if body is None:
        raise IdentityMismatch(f"the peer's signed identity is not signed by {signer} ({key.fingerprint})")
    return _read(body)


def peek_id_pk(blob: bytes) -> IdPk:
    """What is claimed, **not verified**: for a responder whose key is not known yet.

    Whoever uses it opens the same blob with :func:`open_id_pk` before it believes a word.
    """
    if len(blob) < SIGNATURE_BYTES:
        raise RemoteProtocolError(f"{len(blob)} bytes are not a signed identity")
    return _read(blob[SIGNATURE_BYTES:])


def _read(body: bytes) -> IdPk:
    message = parse(session_pb2.IdPk, body)
    if len(message.pk) != _PK_BYTES:
        raise RemoteProtocolError(f"the key in a signed identity has 32 bytes, not {len(message.pk)}")
    return IdPk(message.id, message.pk, tuple(message.versions))
