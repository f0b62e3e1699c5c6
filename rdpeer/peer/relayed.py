"""What is known of a session that runs over a relay and might leave it (docs/CHANNEL.md 6.1)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, field

from rdpeer.net.transport import FrameStream
from rdpeer.protocol.handshake import InitiatorHandshake
from rdpeer.protocol.handshake_base import Handshake
from rdpeer.values import Endpoint, ServerAddress


@dataclass(frozen=True, slots=True)
class Relayed:
    """A session that begins on a relay, and may leave it.

    ``path`` is for people. ``relay`` is where we reached it, ``seen`` where the server saw the other
    end, if it said. ``reflectors`` may tell how our datagrams look from outside. ``exporter`` and ``t2``
    are the channel's secret and the handshake's transcript. ``turn`` is held while a path is sought.
    """

    initiator: bool
    path: str
    relay: Endpoint
    seen: Endpoint | None
    reflectors: Sequence[ServerAddress]
    t2: bytes
    exporter: bytes = field(repr=False)
    turn: AbstractAsyncContextManager[None] = field(default_factory=nullcontext)

    @classmethod
    def of(
        cls,
        path: str,
        stream: FrameStream,
        handshake: Handshake,
        seen: Endpoint | None,
        reflectors: Sequence[ServerAddress],
        turn: AbstractAsyncContextManager[None] | None = None,
    ) -> Relayed:
        """From what the session was made of: ``handshake`` has authenticated over ``stream``."""
        return cls(
            isinstance(handshake, InitiatorHandshake),
            path,
            stream.remote,
            seen,
            reflectors,
            handshake.transcript,
            handshake.channel.exporter,
            turn or nullcontext(),
        )
