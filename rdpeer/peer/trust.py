"""Whether the peer that answers is the one that was meant: pins, ``--peer-key``, the server's word.

The rule itself is :func:`rdpeer.store.known_peers.judge`; here it meets one
connection to one peer at one server.
"""

from __future__ import annotations

from datetime import UTC, datetime

from rdpeer.net.clock import wall
from rdpeer.protocol.gate import Method
from rdpeer.protocol.handshake import ExpectedKey
from rdpeer.store.known_peers import Judgement, Kind, KnownPeers, Pin, Proof, judge
from rdpeer.values import Fingerprint, PeerId, PinPolicy, PublicKey, ServerAddress

_PROOFS: dict[Method | None, Proof] = {Method.CODE: Proof.CODE, Method.PASSWORD: Proof.PASSWORD}


def expected_key(text: str) -> ExpectedKey:
    """What ``--peer-key`` says: a whole fingerprint or the key itself. ValueError for anything else."""
    if text.strip().startswith("SHA256:"):
        return ExpectedKey("--peer-key", fingerprint=Fingerprint.parse(text))
    return ExpectedKey("--peer-key", key=PublicKey.parse(text))


class Trust:
    """What is known of ``peer`` at ``server`` before it has said anything, and what to remember of it."""

    def __init__(
        self,
        known: KnownPeers,
        policy: PinPolicy,
        peer: PeerId,
        server: ServerAddress,
        peer_key: ExpectedKey | None = None,
        *,
        stock: bool = False,
    ) -> None:
        self._known = known
        self._policy = policy
        self._peer = peer
        self._server = server
        self._peer_key = peer_key
        self._approved: PublicKey | None = None
        self._pin = known.find(peer, server)
        self.kind = self._pin.kind if self._pin else Kind.STOCK if stock else Kind.RDPEER
        """What the peer is to be spoken to as: the pin knows; the user's word (``stock``) is for the first
        time, and makes no stock desktop of a peer that is pinned as an rdpeer."""

    @property
    def key_proven(self) -> bool:
        """Whether the key is known from more than the server's word."""
        return bool(self._pin or self._peer_key)

    def expected(self, signed: PublicKey | None) -> list[ExpectedKey]:
        """Every key that the peer must prove; they may contradict each other, which the handshake refuses."""
        keys = [self._peer_key] if self._peer_key else []
        if self._pin:
            keys.append(ExpectedKey(f"the pin in {self._pin.where}", key=self._pin.key))
        if signed:
            keys.append(ExpectedKey("the server", key=signed))
        return keys

    def judge(self, key: PublicKey, method: Method | None) -> tuple[Pin, Judgement]:
        """The pin for a peer that has proven ``key``, and what to do with it. Raises as ``judge`` does.

        ``method`` is None for a stock desktop: no way to log in there proves more than the server's word.
        """
        by_user = self._peer_key or key == self._approved
        proof = Proof.PEER_KEY if by_user else _PROOFS.get(method, Proof.SERVER)
        today = datetime.fromtimestamp(wall(), UTC).date()
        pin = Pin(str(self._server), self._peer, key, self.kind, proof, today)
        return pin, judge(pin, self._known.pins(), self._policy)

    def approve(self, key: PublicKey) -> None:
        """A person has said yes to the key's fingerprint."""
        self._approved = key

    def remember(self, pin: Pin) -> None:
        """Once the peer has let us in."""
        self._known.add(pin)
