"""How a server's answer about a peer turns into a key, or into an error."""

from __future__ import annotations

import hmac

from rdpeer.crypto.identities import open_id_pk
from rdpeer.errors import (
    IdentityMismatch,
    PeerOffline,
    PeerRefused,
    PeerUnknown,
    RdpeerError,
    RemoteProtocolError,
    ServerRefused,
)
from rdpeer.protocol.question import RendezvousServer
from rdpeer.values import PeerId, PublicKey, printable
from rdpeer.wire import rendezvous_pb2 as pb


def signed_key(blob: bytes, peer: PeerId, server: RendezvousServer) -> PublicKey | None:
    """The peer's key as the server vouches for it; None where the server signs none.

    It signs none where no key of it is configured, where its key is a text
    (``hbbs -k TEXT``), and where the answer carries nothing. Something that is
    there and does not verify is another matter: IdentityMismatch. The ID inside
    must be the one asked for, since a server may pass on another peer's answer
    (docs/PROTOCOL.md 13).
    """
    trusted = server.key.public if server.key else None
    if trusted is None or not blob:
        return None
    try:
        identity = open_id_pk(trusted, blob, "the server key")
    except (IdentityMismatch, RemoteProtocolError):
        raise IdentityMismatch(
            f"the key of {peer} is not signed by the server key {trusted.fingerprint}{_origin(server)}",
            hint="compare the configured key with the server's own (its id_ed25519.pub)",
        ) from None
    if not hmac.compare_digest(identity.peer_id.encode(), str(peer).encode()):
        raise IdentityMismatch(f"asked for {peer}, the server answered for {printable(identity.peer_id)}")
    return PublicKey(identity.pk)


def refused(peer: PeerId, reason: str) -> PeerRefused:
    """The responder's own no, with its reason."""
    return PeerRefused(f"{peer} refused: {printable(reason)}")


def punch_failure(
    answer: pb.PunchHoleResponse, peer: PeerId, server: RendezvousServer, where: str
) -> RdpeerError:
    """The error in a PunchHoleResponse that names no endpoint; free text goes before the number."""
    if answer.other_failure:
        return ServerRefused(f"{where} refused: {printable(answer.other_failure)}")
    match answer.failure:
        case pb.PunchHoleResponse.ID_NOT_EXIST:
            return PeerUnknown(f"{where} knows no peer {peer}")
        case pb.PunchHoleResponse.OFFLINE:
            return PeerOffline(f"{peer} is offline at {where}")
        case pb.PunchHoleResponse.LICENSE_MISMATCH:
            return _wrong_key(server, where)
        case pb.PunchHoleResponse.LICENSE_OVERUSE:
            return ServerRefused(f"{where} refused: its licence is overused")
        case number:
            return ServerRefused(f"{where} refused with unknown failure {number}")


def _wrong_key(server: RendezvousServer, where: str) -> IdentityMismatch:
    hint = "take the key from the server: its id_ed25519.pub, or what it prints at its start"
    if server.key is None:
        return IdentityMismatch(f"{where} wants its key, and none is configured", hint=hint)
    return IdentityMismatch(
        f"{where} has another key than the configured {server.key.label}{_origin(server)}", hint=hint
    )


def _origin(server: RendezvousServer) -> str:
    return f" (from {server.key_origin})" if server.key_origin else ""
