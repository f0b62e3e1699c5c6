"""Pins: which key a peer had when it was first met, for each server that it was met at.

A server signs whatever key it has stored, and storing one proves nothing
(docs/PROTOCOL.md 9.2), so a server can lie about a peer. It cannot lie twice:
what was met once is pinned, and another key in its place is refused. An ID means
something at one server only, therefore a pin belongs to an ID and a server's name
as it was configured. :func:`judge` is the whole rule; the file is its memory:

    # server               peer      key     kind   proven  first seen
    hbbs.example.org:21116 612345678 base64= rdpeer server  2026-01-31

Fields are separated by spaces, which no ID has. The server stands first because
an ID may begin with ``#``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from enum import Enum, StrEnum, auto
from pathlib import Path

from rdpeer.errors import IdentityMismatch, UsageError
from rdpeer.store.files import read_text, write_whole
from rdpeer.store.lock import locked
from rdpeer.values import PeerId, PinPolicy, PublicKey, ServerAddress, printable


class Kind(StrEnum):
    """The channel that the peer spoke."""

    RDPEER = "rdpeer"
    STOCK = "stock"


class Proof(StrEnum):
    """What the key was proven by when it was pinned: the strongest thing there was."""

    SERVER = "server"
    CODE = "code"
    PASSWORD = "password"  # noqa: S105 - the name of a method, not a secret
    PEER_KEY = "peer-key"


@dataclass(frozen=True, slots=True)
class Pin:
    """One line; ``where`` is its file and line for people, empty in a pin that is not in the file yet."""

    server: str
    peer: PeerId
    key: PublicKey
    kind: Kind
    proof: Proof
    first_seen: date
    where: str = ""

    @property
    def line(self) -> str:
        fields = (self.server, self.peer, self.key, self.kind, self.proof, self.first_seen.isoformat())
        return " ".join(str(field) for field in fields)


class Verdict(Enum):
    """What to do once the peer has proven its key and has let us in."""

    KNOWN = auto()
    """Pinned with this key: nothing."""

    RECORD = auto()
    """Pin it silently: it is proven by more than the server's word, or known from another server."""

    INTRODUCE = auto()
    """Pin it, and tell the fingerprint: only the server vouches for it."""

    ASK = auto()
    """Pin it if a person says yes to the fingerprint."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """``warning``: the same ID has another key at another server; for people, else None."""

    verdict: Verdict
    warning: str | None = None


def judge(seen: Pin, pins: Iterable[Pin], policy: PinPolicy) -> Judgement:
    """What a peer's proven key means in the light of the pins. Raises IdentityMismatch where it must end.

    It ends when the pin for this peer and server has another key, when a peer
    pinned as rdpeer, here or at another server, comes as a stock desktop, and, with the policy ``strict``,
    at a first contact that nothing but the server vouches for.
    """
    of_peer = [pin for pin in pins if pin.peer == seen.peer]
    here = [pin for pin in of_peer if pin.server == seen.server]
    for pin in here:
        _refuse_change(pin, seen)
    if here:
        return Judgement(Verdict.KNOWN)
    if same := [pin for pin in of_peer if pin.key == seen.key]:
        for pin in same:
            _refuse_change(pin, seen)
        return Judgement(Verdict.RECORD)
    warning = _other_key(of_peer[0], seen) if of_peer else None
    return Judgement(_first_contact(seen, policy), warning)


def _first_contact(seen: Pin, policy: PinPolicy) -> Verdict:
    if seen.proof is Proof.PEER_KEY:
        return Verdict.RECORD
    if policy is PinPolicy.STRICT:
        raise IdentityMismatch(
            f"{seen.peer} is not pinned at {seen.server}, and the policy is pin = strict; "
            f"its key is {seen.key.fingerprint}",
            hint=f"if that is its fingerprint: --peer-key {seen.key.fingerprint}",
        )
    if seen.proof is not Proof.SERVER:
        return Verdict.RECORD
    return Verdict.ASK if policy is PinPolicy.ASK else Verdict.INTRODUCE


def _refuse_change(pin: Pin, seen: Pin) -> None:
    if pin.key != seen.key:
        raise IdentityMismatch(
            f"the key of {seen.peer} has changed: "
            f"pinned is {pin.key.fingerprint} ({pin.where}), now it is {seen.key.fingerprint}",
            hint=f"someone may be in between; if the peer has a new identity, remove {pin.where}",
        )
    if pin.kind is Kind.RDPEER and seen.kind is Kind.STOCK:
        raise IdentityMismatch(
            f"{seen.peer} is pinned as an rdpeer, and now speaks the stock protocol",
            hint=f"someone may be in between; the pin is {pin.where}",
        )


def _other_key(pin: Pin, seen: Pin) -> str:
    return (
        f"{seen.peer} has another key here ({seen.key.fingerprint}) "
        f"than at {pin.server} ({pin.key.fingerprint}, {pin.where})"
    )


class KnownPeers:
    """The pins in one file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def pins(self) -> list[Pin]:
        """All, in the order of the file. UsageError, naming file and line, for a line that cannot be read:
        a pin that was skipped would be a key that is not checked."""
        lines = (read_text(self._path) or "").split("\n")
        return [
            self._pin(line, number)
            for number, line in enumerate(lines, start=1)
            if line.strip() and not line.startswith("#")
        ]

    def find(self, peer: PeerId, server: ServerAddress) -> Pin | None:
        """The pin of ``peer`` at ``server``."""
        return next((pin for pin in self.pins() if (pin.peer, pin.server) == (peer, str(server))), None)

    def add(self, pin: Pin) -> None:
        """Writes the pin down, unless it is there. IdentityMismatch if another process has just pinned
        another key for the same peer and server."""
        with locked(self._path.with_name(".known_peers.lock")):
            for other in self.pins():
                if (other.peer, other.server) == (pin.peer, pin.server):
                    _refuse_change(other, pin)
                    return
            text = read_text(self._path) or ""
            if text and not text.endswith("\n"):
                text += "\n"
            write_whole(self._path, f"{text}{pin.line}\n")

    def _pin(self, line: str, number: int) -> Pin:
        where = f"{self._path} line {number}"
        try:
            server, peer, key, kind, proof, first_seen = line.split()
            return Pin(
                str(ServerAddress.parse(server)),
                PeerId(peer),
                PublicKey.parse(key),
                Kind(kind),
                Proof(proof),
                date.fromisoformat(first_seen),
                where,
            )
        except ValueError as error:
            raise UsageError(
                f"cannot read {where}: {printable(str(error))}",
                hint="a line has: server peer key rdpeer|stock proof date",
            ) from error
