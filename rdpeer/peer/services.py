"""What a listener serves to a peer that passed: its own stdin and stdout, a TCP target, or a program."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rdpeer.errors import ConnectionLost, PeerRefused
from rdpeer.net.link import Offer
from rdpeer.net.pipe import Sink, Source
from rdpeer.net.process import Process
from rdpeer.net.target import SocketTarget
from rdpeer.values import Endpoint, PeerId, PublicKey, ServerAddress
from rdpeer.wire.channel_pb2 import StreamRefused

TARGET_TIMEOUT = 10.0
"""Seconds for the TCP connection to a target."""


@dataclass(frozen=True, slots=True)
class Guest:
    """A peer that passed. ``peer`` is its ID as it says, which nothing proves; ``key`` is proven.

    ``path`` is the one that it came over, ``seen`` where the server sees it, if that is another place.
    """

    peer: PeerId | None
    key: PublicKey
    path: str
    seen: Endpoint | None = None

    @property
    def is_relayed(self) -> bool:
        return self.path.startswith("relay ")

    def __str__(self) -> str:
        return f"{self.peer or 'somebody'} {self.key.fingerprint}, {self.path}"


class Service(Protocol):
    async def serve(self, offer: Offer, guest: Guest) -> None:
        """Accepts or refuses ``offer`` and sees it through.

        Raises ConnectionLost or OSError where that fails, PeerRefused where it was refused.
        """


_REFUSED = {
    StreamRefused.NOT_PERMITTED: "refused, not permitted",
    StreamRefused.UNREACHABLE: "refused, the target cannot be reached",
    StreamRefused.BUSY: "refused, busy",
    StreamRefused.NO_SUCH_PROGRAM: "refused, the program cannot be started",
}


def _refuse(offer: Offer, reason: StreamRefused.Reason.ValueType, detail: str) -> PeerRefused:
    """Tells the guest; the error is for our own log."""
    offer.refuse(reason, detail)
    return PeerRefused(f"{_REFUSED[reason]}: {detail}")


@dataclass
class Standard:
    """Our own stdin and stdout, served once: a second stream is refused, to the same guest too."""

    source: Source
    sink: Sink
    recv_only: bool = False
    send_only: bool = False
    _taken: bool = field(default=False, init=False)

    async def serve(self, offer: Offer, guest: Guest) -> None:
        if offer.target:
            raise _refuse(offer, StreamRefused.NOT_PERMITTED, "it serves its standard input and output only")
        if self._taken:
            raise _refuse(offer, StreamRefused.BUSY, "its standard input and output are in use")
        stream = offer.accept()
        self._taken = True
        await stream.carry(self.source, self.sink, recv_only=self.recv_only, send_only=self.send_only)


class Busy:
    """Nothing, to whoever comes after the only peer."""

    async def serve(self, offer: Offer, guest: Guest) -> None:
        raise _refuse(offer, StreamRefused.BUSY, "another peer is connected")


@dataclass(frozen=True)
class Target:
    """A TCP target: ``to`` where the peer names none, else what it names if that is among ``allowed``."""

    to: ServerAddress | None
    allowed: frozenset[ServerAddress] = frozenset()

    async def serve(self, offer: Offer, guest: Guest) -> None:
        address = self._address(offer.target)
        if address is None:
            raise _refuse(offer, StreamRefused.NOT_PERMITTED, offer.target or "no target was named")
        try:
            target = await SocketTarget.connect(address, timeout=TARGET_TIMEOUT)
        except OSError as error:
            raise _refuse(offer, StreamRefused.UNREACHABLE, str(error)) from error
        try:
            stream = offer.accept()
        except ConnectionLost:  # the guest went while we connected
            target.abort()
            raise
        await stream.carry(target, target)

    def _address(self, named: str) -> ServerAddress | None:
        if not named:
            return self.to
        try:
            address = ServerAddress.parse_target(named)
        except ValueError:
            return None
        return address if address == self.to or address in self.allowed else None


@dataclass(frozen=True)
class Program:
    """A program of its own for each stream, without a shell; its stdin and stdout are the stream."""

    argv: Sequence[str]
    environ: dict[str, str] = field(repr=False)

    async def serve(self, offer: Offer, guest: Guest) -> None:
        if offer.target:
            raise _refuse(offer, StreamRefused.NOT_PERMITTED, "it serves a program only")
        try:
            program = await Process.start(self.argv, self._environment(guest))
        except OSError as error:
            detail = error.strerror or "cannot be started"
            raise _refuse(offer, StreamRefused.NO_SUCH_PROGRAM, detail) from error
        async with program:
            await offer.accept().carry(program, program)

    def _environment(self, guest: Guest) -> dict[str, str]:
        """Ours without what is rdpeer's own (secrets may be among it), and who is there."""
        clean = {name: value for name, value in self.environ.items() if not name.startswith("RDPEER_")}
        return clean | {
            "RDPEER_REMOTE_ID": str(guest.peer or ""),
            "RDPEER_REMOTE_KEY": guest.key.text,
            "RDPEER_REMOTE_PATH": guest.path.partition(" ")[0],
        }
