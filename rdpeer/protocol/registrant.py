"""Who registers, and what he says to a server (docs/PROTOCOL.md 9.1, docs/CHANNEL.md 8)."""

from __future__ import annotations

from dataclasses import dataclass

from rdpeer.crypto.possession import COOKIE_BYTES, Possession
from rdpeer.values import PeerId, PublicKey
from rdpeer.wire import rendezvous_pb2 as pb


@dataclass(frozen=True, slots=True)
class Registrant:
    """``uuid`` tells the server that the ID is ours; it travels in clear, so proves little.

    ``possession`` of ``key`` can be proven where the server's key is known; None where it is not.
    """

    peer: PeerId
    uuid: bytes
    key: PublicKey
    possession: Possession | None = None

    def register_peer(self) -> pb.RendezvousMessage:
        """With room in it for a cookie in the answer, if that is of use."""
        padding = bytes(COOKIE_BYTES) if self.possession else b""
        return pb.RendezvousMessage(register_peer=pb.RegisterPeer(id=str(self.peer), padding=padding))

    def register_pk(self, cookie: bytes = b"") -> pb.RendezvousMessage:
        """Signed where there is a cookie."""
        request = pb.RegisterPk(id=str(self.peer), uuid=self.uuid, pk=self.key.raw)
        if self.possession and cookie:
            request.cookie = cookie
            request.signature = self.possession.proof(str(self.peer), self.uuid, cookie)
        return pb.RendezvousMessage(register_pk=request)

    def usable(self, cookie: bytes) -> bytes:
        """``cookie``, as a server sent it, if we can sign it; else none."""
        return cookie if self.possession and len(cookie) == COOKIE_BYTES else b""
