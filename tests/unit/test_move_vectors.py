"""Recorded bytes of a session that moves (docs/CHANNEL.md 6.1), made without our code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rdpeer.crypto.move_key import MoveKey
from rdpeer.crypto.secretstream import Opener, Sealer
from rdpeer.protocol.candidates import Candidates, read_candidates, write_candidates
from rdpeer.protocol.checks import Checks
from rdpeer.protocol.joining import JOIN_BYTES, Joining, answer
from rdpeer.protocol.session import Session
from rdpeer.protocol.session_events import CandidatesReceived, PeerSwitched
from rdpeer.values import Endpoint
from rdpeer.wire.records import RecordType, decode, encode

FOLDER = Path(__file__).parent.parent / "vectors"
MOVE: dict[str, Any] = json.loads((FOLDER / "channel-move-1.json").read_text())
HANDSHAKE: dict[str, Any] = next(
    case
    for case in json.loads((FOLDER / "channel-1.json").read_text())["cases"]
    if case["method"] == MOVE["method"]
)
ANYWHERE = Endpoint("192.0.2.1", 1)


def raw(name: str) -> bytes:
    return bytes.fromhex(MOVE[name])


def frame(name: str) -> bytes:
    """A JOIN with its zeros."""
    return raw(name).ljust(MOVE["join_bytes"], b"\0")


def key(*, initiator: bool) -> MoveKey:
    return MoveKey(
        initiator=initiator,
        exporter=raw("exporter"),
        t2=raw("t2"),
        initiator_nonce=raw("initiator_nonce"),
        responder_nonce=raw("responder_nonce"),
    )


def test_the_exporter_comes_from_the_channel() -> None:
    from test_vectors import CHANNEL, run

    initiator, responder, _ = run(next(case for case in CHANNEL if case["method"] == MOVE["method"]))
    assert initiator.channel.exporter == responder.channel.exporter == raw("exporter")
    assert initiator.transcript == responder.transcript == raw("t2")
    assert MOVE["t2"] == HANDSHAKE["t2"]


def test_joins() -> None:
    joining = Joining(key(initiator=True), random=lambda _: raw("a"))
    assert joining.payload == frame("i2r_join")
    payload, name = answer(key(initiator=False), joining.payload, random=lambda _: raw("b"))
    assert payload == frame("r2i_join")
    assert joining.receive(payload) == name == raw("b")
    assert MOVE["join_bytes"] == JOIN_BYTES


@pytest.mark.parametrize("initiator", [True, False])
def test_datagrams(initiator: bool) -> None:
    ours, theirs = ("i2r", "r2i") if initiator else ("r2i", "i2r")
    checks = Checks(key(initiator=initiator), [ANYWHERE], 0.0)
    assert checks.due(0.0) == [(ANYWHERE, raw(f"{ours}_check"))]
    said = checks.receive(raw(f"{theirs}_check"), ANYWHERE, 0.0)
    assert said == [(ANYWHERE, raw(f"{ours}_answer")), (ANYWHERE, raw(f"{ours}_check"))]
    checks.receive(raw(f"{theirs}_answer"), ANYWHERE, 0.0)
    assert checks.working == [ANYWHERE]


@pytest.mark.parametrize("direction", ["i2r", "r2i"])
def test_sealing_and_opening(direction: str) -> None:
    keys = (bytes.fromhex(HANDSHAKE[direction][name]) for name in ("key", "header"))
    state = tuple(keys)
    sealer, opener = Sealer(*state), Opener(*state)
    before = [record for record in HANDSHAKE["records"][:3] if record["direction"] == direction]
    records = before + [record for record in MOVE["records"] if record["direction"] == direction]
    for record in records:
        plain, sealed = bytes.fromhex(record["plain"]), bytes.fromhex(record["sealed"])
        assert sealer.seal(plain) == sealed
        assert opener.open(sealed) == (plain, False)
        assert RecordType(plain[0]).name == record["record"]


def plain(direction: str, name: str) -> bytes:
    (record,) = (
        record for record in MOVE["records"] if (record["direction"], record["record"]) == (direction, name)
    )
    return bytes.fromhex(record["plain"])


@pytest.mark.parametrize(("direction", "role"), [("i2r", "initiator"), ("r2i", "responder")])
def test_candidates(direction: str, role: str) -> None:
    kind, body = decode(plain(direction, "CANDIDATES"))
    said = read_candidates(body)
    assert said.nonce == raw(f"{role}_nonce")
    assert list(map(str, said.candidates)) == MOVE[f"{role}_candidates"]
    assert encode(kind, write_candidates(said)) == plain(direction, "CANDIDATES")


def test_the_session_reads_and_says_the_same() -> None:
    near = Session(initiator=True, version="1", now=0.0, movable=True)
    far = Session(initiator=False, version="1", now=0.0, movable=True)
    far.receive(plain("i2r", "HELLO"), False, 0.0)
    near.receive(plain("r2i", "HELLO"), False, 0.0)
    (heard,) = far.receive(plain("i2r", "CANDIDATES"), False, 0.0)
    (told,) = near.receive(plain("r2i", "CANDIDATES"), False, 0.0)
    for side, ours in ((near, heard), (far, told)):
        assert isinstance(ours, CandidatesReceived)
        side.offer_candidates(Candidates(ours.said.nonce, ours.said.candidates))
    switch = near.switch(raw("b"))
    assert switch == plain("i2r", "SWITCH")
    assert far.receive(switch, False, 0.0) == [PeerSwitched(raw("b"))]
    assert far.switch(raw("b")) == plain("r2i", "SWITCH")
