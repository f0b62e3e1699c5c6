"""The signed proofs of identity, and the responder's no (docs/CHANNEL.md 3).

Each proof signs its role, the transcript up to it, the signer's key and what it
says about methods (one byte each). The role keeps a proof from being reflected,
the transcript ties it to this one connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import pairwise

from rdpeer.crypto.channel import initiator_proof, responder_proof
from rdpeer.crypto.keys import IdentityKey, verify
from rdpeer.errors import AuthenticationFailed, RemoteProtocolError
from rdpeer.protocol.gate import Method
from rdpeer.values import PeerId, PublicKey
from rdpeer.wire import channel_pb2
from rdpeer.wire.messages import parse


class Denial(IntEnum):
    """Why a responder does not let an initiator pass; the numbers are the wire's."""

    UNSPECIFIED = 0
    KEY_NOT_AUTHORIZED = 1
    WRONG_SECRET = 2
    BUSY = 3


def make_responder_proof(identity: IdentityKey, t0: bytes, methods: Sequence[Method]) -> bytes:
    """The body of RESPONDER_PROOF; ``methods`` in the order of their numbers."""
    signed = responder_proof(t0, identity.public, bytes(methods))
    return channel_pb2.ResponderProof(
        public_key=identity.public.raw,
        methods=[channel_pb2.Method.ValueType(method) for method in methods],
        signature=identity.sign(signed),
    ).SerializeToString(deterministic=True)


def read_responder_proof(body: bytes, t0: bytes) -> tuple[PublicKey, tuple[Method, ...]]:
    """Key and methods, verified. Methods that we do not know are left out: they are a later version's."""
    proof = parse(channel_pb2.ResponderProof, body)
    key = _public_key(proof.public_key)
    methods = _method_bytes(proof.methods)
    if not verify(key, responder_proof(t0, key, methods), proof.signature):
        raise RemoteProtocolError("the responder's proof is not signed by its key")
    return key, tuple(method for method in Method if method in methods)


def make_initiator_proof(
    identity: IdentityKey, t1: bytes, method: Method, own_id: PeerId | None = None
) -> bytes:
    """The body of INITIATOR_PROOF. ``own_id`` is a claim beside the signature, for people."""
    return channel_pb2.InitiatorProof(
        public_key=identity.public.raw,
        method=channel_pb2.Method.ValueType(method),
        signature=identity.sign(initiator_proof(t1, identity.public, method)),
        id=str(own_id or ""),
    ).SerializeToString(deterministic=True)


def read_initiator_proof(body: bytes, t1: bytes) -> tuple[PublicKey, Method, PeerId | None]:
    """Key and method, verified; and the ID that the initiator claims, where it claims one."""
    proof = parse(channel_pb2.InitiatorProof, body)
    key = _public_key(proof.public_key)
    (method,) = _method_bytes([proof.method])
    if not verify(key, initiator_proof(t1, key, method), proof.signature):
        raise RemoteProtocolError("the initiator's proof is not signed by its key")
    if method not in set(Method):
        raise RemoteProtocolError(f"the initiator means to pass by the unknown method {method}")
    return key, Method(method), _claimed_id(proof.id)


def make_denial(denial: Denial) -> bytes:
    """The body of DENIED."""
    reason = channel_pb2.Denied.Reason.ValueType(denial)
    return channel_pb2.Denied(reason=reason).SerializeToString(deterministic=True)


def read_denial(body: bytes, method: Method) -> AuthenticationFailed:
    """What DENIED means to an initiator that tried ``method``."""
    reason = int(parse(channel_pb2.Denied, body).reason)
    if reason == Denial.KEY_NOT_AUTHORIZED:
        return AuthenticationFailed(
            "the peer does not authorize our key",
            hint="add the line that `rdpeer id --authorized` prints here to authorized_peers there",
        )
    if reason == Denial.WRONG_SECRET and method is Method.CODE:
        return AuthenticationFailed(
            "the peer says that the code is wrong",
            hint="a code is good for one hour and one connection; ask there for the present one",
        )
    if reason == Denial.WRONG_SECRET:
        return AuthenticationFailed("the peer says that the password is wrong")
    if reason == Denial.BUSY:
        return AuthenticationFailed(
            "the peer does not look at secrets now: too many wrong ones came in", hint="try again in a minute"
        )
    return AuthenticationFailed("the peer does not let us in")


def _claimed_id(text: str) -> PeerId | None:
    try:
        return PeerId(text) if text else None
    except ValueError as error:
        raise RemoteProtocolError(f"the initiator's ID: {error}") from None


def _public_key(raw: bytes) -> PublicKey:
    try:
        return PublicKey(raw)
    except ValueError:
        raise RemoteProtocolError(f"a proof with a key of {len(raw)} bytes") from None


def _method_bytes(methods: Iterable[int]) -> bytes:
    """The numbers as they are signed: one byte each, rising, none zero."""
    numbers = list(methods)
    rising = all(a < b for a, b in pairwise(numbers))
    if not rising or any(not 0 < number < 256 for number in numbers):
        raise RemoteProtocolError("a proof with methods that are not a list of methods")
    return bytes(numbers)
