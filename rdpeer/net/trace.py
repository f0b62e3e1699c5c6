"""``--trace``: each message sent and received, one line each, for whoever wants to watch the protocol.

Nothing is asked on the way of a payload. What is traced is wrapped where it is made: a conversation when it
is driven, a stream for its opening, a channel when its keys are there, a server's socket when it serves.
Where nobody traces, nothing is wrapped, and each of these functions gives back what it was given.

The lines go to the log ``rdpeer.net.trace`` at level DEBUG; whoever wants them gives it a handler.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rdpeer.net.transport import FrameStream
from rdpeer.protocol.conversation import (
    Command,
    Conversation,
    DatagramReceived,
    Event,
    FrameReceived,
    ListenerOpened,
    OpenStream,
    SendDatagram,
    SendFrame,
    SocketBound,
    StreamClosed,
    StreamFailed,
    StreamOpened,
)
from rdpeer.values import Endpoint, printable

if TYPE_CHECKING:
    from rdpeer.crypto.channel import SecureChannel
    from rdpeer.protocol.handshake_base import Handshake
    from rdpeer.protocol.login import DesktopLogin

log = logging.getLogger(__name__)

SENT = "->"
RECEIVED = "<-"
_HAPPENED = "--"

Answer = Callable[[bytes, Any, float], bytes | None]


def is_on() -> bool:
    """Whether anybody traces; asked where something is made, never on the way of its payloads."""
    return log.isEnabledFor(logging.DEBUG)


def message(
    direction: str, carrier: str, place: object, payload: bytes, *, between_peers: bool = False
) -> None:
    """Tells one payload: ``carrier`` is tcp, udp and the like, ``place`` the endpoint at the other end."""
    from rdpeer.wire import datagrams, readable  # whoever does not trace does not pay for them
    from rdpeer.wire.dissect import Schema, identify

    held = identify(payload, (Schema.SESSION if between_peers else Schema.RENDEZVOUS,))
    if held is not None:
        what = readable.line(held)
    elif found := datagrams.describe(payload):
        what = readable.render(*found)
    else:
        what = "no message that is known" if payload else "empty"
    log.debug("%s %s %s, %d bytes: %s", direction, carrier, place, len(payload), what)


def happened(place: str, what: str) -> None:
    """Tells what came of a connection; ``place`` is carrier and endpoint: ``tcp 203.0.113.5:21116``."""
    log.debug("%s %s: %s", _HAPPENED, place, printable(what))


def conversation(inner: Conversation) -> Conversation:
    """``inner``, traced if anybody traces."""
    return _TracedConversation(inner) if is_on() else inner


def opening(stream: FrameStream, handshake: Handshake | DesktopLogin) -> FrameStream:
    """``stream`` for the time of ``handshake``: what is in clear is told whole, records by type and size,
    and the messages of a stock session whole, with what is secret hidden."""
    return _Opening(stream, handshake) if is_on() else stream


def moved(function: Callable[..., object], stream: FrameStream) -> None:
    """The direction of ``function``, a channel's ``seal`` or ``open``, goes on over ``stream``."""
    if isinstance(function, _TracedSeal | _TracedOpen):
        function.place = _place(stream)
        what = "what we send goes" if isinstance(function, _TracedSeal) else "what we receive comes"
        happened(function.place, f"{what} this way from now on")


def messages(stream: FrameStream) -> Callable[[bytes, bool], None]:
    """What is to be told each message of a stock session over ``stream``, and whether it was sent."""
    if not is_on():
        return lambda plaintext, sent: None
    place = _place(stream)
    return lambda plaintext, sent: _message(SENT if sent else RECEIVED, place, plaintext, between_peers=True)


def answering(answer: Answer) -> Answer:
    """``answer`` of a datagram socket that serves."""
    if not is_on():
        return answer

    def traced(datagram: bytes, source: Any, now: float) -> bytes | None:
        place = Endpoint.of(source)
        message(RECEIVED, "udp", place, datagram)
        reply = answer(datagram, source, now)
        if reply is not None:
            message(SENT, "udp", place, reply)
        return reply

    return traced


class _TracedConversation:
    """Sees all that a conversation is told and says."""

    def __init__(self, inner: Conversation) -> None:
        from rdpeer.protocol.line_registration import LineRegistration  # as above

        self._inner = inner
        self._places: dict[str, str] = {}
        self._server = ""
        self._plain: dict[bytes, bytes] = {}
        self._seals = False
        if isinstance(inner, LineRegistration):
            inner.on_sealed = self._on_sealed

    @property
    def deadline(self) -> float | None:
        return self._inner.deadline

    def handle(self, event: Event, now: float) -> list[Command]:
        opened_first = self._seals and isinstance(event, FrameReceived)
        if not opened_first:
            self._hear(event)
        commands = self._inner.handle(event, now)
        if opened_first:
            self._hear(event)
        for command in commands:
            self._say(command)
        return commands

    def _hear(self, event: Event) -> None:
        match event:
            case SocketBound(remote):
                self._server = f"udp {remote}"
            case DatagramReceived(payload=payload):
                _message(RECEIVED, self._server, payload)
            case FrameReceived(stream, payload):
                _message(RECEIVED, self._places[stream], self._plain.pop(payload, payload))
            case StreamOpened(stream, _, remote):
                carrier, _, address = self._places[stream].partition(" ")
                self._places[stream] = f"{carrier} {remote or address}"
                happened(self._places[stream], "connected")
            case StreamFailed(stream, reason):
                happened(self._places[stream], f"failed: {reason}")
            case StreamClosed(stream):
                happened(self._places[stream], "closed by the other end")
            case ListenerOpened(_, local):
                happened(f"tcp {local}", "listening")

    def _say(self, command: Command) -> None:
        match command:
            case SendDatagram(payload):
                _message(SENT, self._server, payload)
            case SendFrame(stream, payload):
                _message(SENT, self._places[stream], self._plain.pop(payload, payload))
            case OpenStream(stream=stream, address=address):
                carrier, separator, place = str(address).rpartition("://")
                self._places[stream] = f"{carrier if separator else 'tcp'} {place}"

    def _on_sealed(self, plain: bytes, payload: bytes) -> None:
        """Whoever seals tells what is in it, before it is sent and when it was opened."""
        self._seals = True
        self._plain[payload] = plain


class _Opening(FrameStream):
    """A stream under a handshake: the first payload of each direction is in clear (docs/CHANNEL.md 1)."""

    def __init__(self, stream: FrameStream, handshake: Handshake | DesktopLogin) -> None:
        from rdpeer.protocol.login import DesktopLogin  # whoever does not trace does not pay for it

        self._stream = stream
        self._opened: set[str] = set()
        self.local, self.remote = stream.local, stream.remote
        if isinstance(handshake, DesktopLogin):
            handshake.on_message = messages(stream)
        else:
            handshake.on_channel = self._on_channel

    @property
    def limit(self) -> int:
        return self._stream.limit

    @limit.setter
    def limit(self, value: int) -> None:
        self._stream.limit = value

    async def receive(self) -> bytes | None:
        payload = await self._stream.receive()
        if payload is not None:
            self._first(RECEIVED, payload)
        return payload

    def send(self, payload: bytes) -> None:
        self._first(SENT, payload)
        self._stream.send(payload)

    async def drain(self) -> None:
        await self._stream.drain()

    async def close(self) -> None:
        await self._stream.close()

    def abort(self) -> None:
        self._stream.abort()

    def _first(self, direction: str, payload: bytes) -> None:
        if direction not in self._opened:
            self._opened.add(direction)
            _message(direction, _place(self._stream), payload, between_peers=True)

    def _on_channel(self, channel: SecureChannel) -> None:
        """From here on what is said is told by the channel, which outlives the handshake."""
        place = _place(self._stream)
        channel.seal, channel.open = _TracedSeal(channel.seal, place), _TracedOpen(channel.open, place)


class _TracedSeal:
    """A channel's ``seal`` that tells what it seals."""

    def __init__(self, seal: Callable[[bytes, bool], bytes], place: str) -> None:
        self._seal = seal
        self.place = place

    def __call__(self, plaintext: bytes, final: bool = False) -> bytes:
        sealed = self._seal(plaintext, final)
        _record(SENT, self.place, plaintext, len(sealed))
        return sealed


class _TracedOpen:
    """A channel's ``open`` that tells what it opened."""

    def __init__(self, open_: Callable[[bytes], tuple[bytes, bool]], place: str) -> None:
        self._open = open_
        self.place = place

    def __call__(self, sealed: bytes) -> tuple[bytes, bool]:
        plaintext, final = self._open(sealed)
        _record(RECEIVED, self.place, plaintext, len(sealed))
        return plaintext, final


def _place(stream: FrameStream) -> str:
    """How it is carried, and the other end: ``tcp 203.0.113.5:21117``."""
    return f"{type(stream).__name__.removesuffix('Stream').lower()} {stream.remote}"


def _message(direction: str, place: str, payload: bytes, *, between_peers: bool = False) -> None:
    carrier, _, address = place.partition(" ")
    message(direction, carrier, address, payload, between_peers=between_peers)


def _record(direction: str, place: str, record: bytes, size: int) -> None:
    """A record by its type and the size of its frame; never what is in it."""
    from rdpeer.wire.records import type_name

    log.debug("%s %s, %d bytes: sealed %s", direction, place, size, type_name(record))
