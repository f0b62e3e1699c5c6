"""JOIN: the first frame each way on a transport that may carry a session on (docs/CHANNEL.md 6.1).

The initiator's says ``a``, the responder's ``b``, each with a proof under the move key; the
responder's covers both. ``b`` is then the name of the transport: fresh to it, known only at its
two ends, and said by the initiator inside the channel when it chooses. A JOIN that somebody
repeats elsewhere is answered with another ``b``, which the initiator never says.
"""

from __future__ import annotations

import secrets

from rdpeer.crypto.keys import Random
from rdpeer.crypto.move_key import NONCE_BYTES, PROOF_BYTES, MoveKey, same
from rdpeer.errors import RemoteProtocolError
from rdpeer.wire.records import RecordType, encode

JOIN_BYTES = 1400
"""Longer than a datagram of the reliable stream may be: a path that loses long ones fails here."""

_PADDING = bytes(JOIN_BYTES - 1 - NONCE_BYTES - PROOF_BYTES)


class Joining:
    """The initiator's side, for one transport: ``payload`` goes out, the answer names the transport."""

    def __init__(self, key: MoveKey, random: Random = secrets.token_bytes) -> None:
        self._key = key
        self._nonce = random(NONCE_BYTES)
        self.payload = _join(self._nonce, key.initiator_proof(self._nonce))

    def receive(self, payload: bytes) -> bytes:
        """The name of the transport; RemoteProtocolError if that is not the peer's answer."""
        nonce, proof = _read(payload)
        if not same(proof, self._key.responder_proof(self._nonce, nonce)):
            raise RemoteProtocolError("somebody else answers there")
        return nonce


def answer(key: MoveKey, payload: bytes, random: Random = secrets.token_bytes) -> tuple[bytes, bytes]:
    """The responder's side: its JOIN, and the name of the transport on which ``payload`` came.

    RemoteProtocolError if that was not said by this session's initiator.
    """
    theirs, proof = _read(payload)
    if not same(proof, key.initiator_proof(theirs)):
        raise RemoteProtocolError("somebody else comes there")
    ours = random(NONCE_BYTES)
    return _join(ours, key.responder_proof(theirs, ours)), ours


def _join(nonce: bytes, proof: bytes) -> bytes:
    return encode(RecordType.JOIN, nonce + proof + _PADDING)


def _read(payload: bytes) -> tuple[bytes, bytes]:
    end = 1 + NONCE_BYTES + PROOF_BYTES
    if len(payload) != JOIN_BYTES or payload[0] != RecordType.JOIN or payload[end:] != _PADDING:
        raise RemoteProtocolError("a first frame that is no JOIN")
    return payload[1 : 1 + NONCE_BYTES], payload[1 + NONCE_BYTES : end]
