"""Running a handshake over a stream, within its time; from both sides."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

from rdpeer.errors import AuthenticationFailed, DeadlineExceeded, RdpeerError
from rdpeer.net import trace
from rdpeer.net.clock import monotonic
from rdpeer.net.transport import FrameStream
from rdpeer.protocol.gate import Method
from rdpeer.protocol.handshake import (
    TIMEOUT,
    Authenticated,
    Denied,
    HandshakeEvent,
    InitiatorHandshake,
    InitiatorProven,
    PathVerified,
    PongReceived,
    ResponderHandshake,
    Send,
    StockInitiator,
)
from rdpeer.protocol.login import DesktopLogin, LoginEvent
from rdpeer.values import PeerId

E = TypeVar("E")

Initiating = InitiatorHandshake | DesktopLogin
"""The initiator's side of either session."""

_Handshake = Initiating | ResponderHandshake

SILENCE = 5.0
"""Seconds that the responder may take to open; a relay leg is then tried again (docs/CHANNEL.md 6)."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What the responder has proven, and when the handshake must be over, in monotonic seconds."""

    proof: PathVerified
    deadline: float


async def verify(stream: FrameStream, handshake: Initiating) -> Verified:
    """Up to the responder's proof. Raises what the handshake raises, and DeadlineExceeded.

    ``handshake.heard`` tells afterwards whether the other end said anything at all.
    """
    stream = trace.opening(stream, handshake)
    async with _until(monotonic() + SILENCE, handshake):
        payload = await _payload(stream, handshake)
    deadline = monotonic() + TIMEOUT
    async with _until(deadline, handshake):
        while True:
            events: Sequence[HandshakeEvent | LoginEvent] = handshake.receive(payload)
            for event in _sent(stream, events):
                if isinstance(event, PathVerified):
                    return Verified(event, deadline)
            payload = await _payload(stream, handshake)


async def ping(stream: FrameStream, handshake: InitiatorHandshake, deadline: float) -> float:
    """The round trip to a responder that :func:`verify` has verified, in seconds. Raises as that does."""
    async with _until(deadline, handshake):
        asked = monotonic()
        events: Sequence[HandshakeEvent] = [handshake.ping()]
        while not any(isinstance(event, PongReceived) for event in _sent(stream, events)):
            events = handshake.receive(await _payload(stream, handshake))
        return monotonic() - asked


async def authenticate(
    stream: FrameStream,
    handshake: InitiatorHandshake,
    deadline: float,
    method: Method,
    secret: bytes | None,
    own_id: PeerId,
) -> Authenticated:
    """From our proof, which commits this path, to being let in. Raises as :func:`verify`.

    Cancelled while our confirmation is out, it raises AuthenticationFailed (docs/CHANNEL.md 3).
    """
    async with _until(deadline, handshake):
        _sent(stream, handshake.prove(method, secret, own_id))
        while True:
            for event in _sent(stream, handshake.receive(await _payload(stream, handshake))):
                if isinstance(event, Authenticated):
                    return event


async def admit(
    stream: FrameStream, handshake: ResponderHandshake, proven: Callable[[InitiatorProven], None]
) -> Authenticated | Denied | StockInitiator:
    """The whole of it, as the responder; ``proven`` is told once the initiator has committed to this path.
    Where StockInitiator is the end of it, its login is still to come.

    Raises what the handshake raises, and DeadlineExceeded.
    """
    stream = trace.opening(stream, handshake)
    async with _until(monotonic() + TIMEOUT, handshake):
        _sent(stream, handshake.start())
        while True:
            payload = await _payload(stream, handshake)
            for event in _sent(stream, handshake.receive(payload, monotonic())):
                if isinstance(event, InitiatorProven):
                    proven(event)
                elif isinstance(event, Authenticated | Denied | StockInitiator):
                    return event


def _sent(stream: FrameStream, events: Sequence[E]) -> list[E]:
    """Sends what is to be sent; the rest is for the caller."""
    for event in events:
        if isinstance(event, Send):
            stream.send(event.payload)
    return [event for event in events if not isinstance(event, Send)]


async def _payload(stream: FrameStream, handshake: _Handshake) -> bytes:
    try:
        await stream.drain()  # who asks (PING) and does not read the answers waits for them, not we
        payload = await stream.receive()
    except RdpeerError as error:
        raise handshake.lost(error) from error
    if payload is None:
        raise handshake.lost()
    return payload


@asynccontextmanager
async def _until(deadline: float, handshake: _Handshake) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(deadline - monotonic()):
            yield
    except TimeoutError:
        raise handshake.lost(DeadlineExceeded("the peer stopped in the middle of the handshake")) from None
    except asyncio.CancelledError as stopped:  # by the user's --timeout: a guess that is out stays one
        if isinstance(error := handshake.lost(), AuthenticationFailed):
            raise error from stopped
        raise
