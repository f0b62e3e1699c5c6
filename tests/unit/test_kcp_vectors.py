"""Recorded sessions with kcp-sys, the implementation that stock desktops use, replayed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rdpeer.protocol.kcp_connection import KcpConnection
from rdpeer.wire import kcp as wire
from rdpeer.wire.frames import encode_frame

LINES = (Path(__file__).parents[1] / "vectors/kcp-sys-32a6c09.jsonl").read_text().splitlines()
RECORDED = [json.loads(line) for line in LINES[1:]]

STREAM = encode_frame(b"hello from kcp-sys") + encode_frame(bytes(n % 251 for n in range(3000)))


def pushed(datagrams: list[bytes]) -> bytes:
    """The data in them, each segment once."""
    found = {}
    for datagram in datagrams:
        if datagram[12] == wire.ACK | wire.DATA:
            segments = wire.parse_segments(datagram)
            found.update({one.number: one.data for one in segments if one.command == wire.PUSH})
    return b"".join(data for _, data in sorted(found.items()))


def control(datagrams: list[bytes]) -> list[bytes]:
    """Those without segments."""
    return [datagram for datagram in datagrams if len(datagram) == wire.HEADER_SIZE]


@pytest.mark.parametrize("case", ["kcp-sys connects", "kcp-sys accepts"])
def test_a_session(case: str) -> None:
    recorded = [
        (one["at"], one["from"], bytes.fromhex(one["hex"])) for one in RECORDED if one["case"] == case
    ]
    if case == "kcp-sys connects":
        ours = KcpConnection.accepting(0.0)
    else:
        conversation = int.from_bytes(recorded[0][2][:4], "little")
        ours = KcpConnection.connecting(conversation, 0.0)
    heard, sent = b"", []
    for at, source, datagram in recorded:
        if source == "kcp-sys":
            ours.receive(datagram, at)
            data = b"".join(ours.read())
            heard += data
            if data:
                ours.send(data)
            if ours.ended:
                ours.close()
        sent += ours.poll(at)
    assert heard == STREAM
    assert pushed(sent) == STREAM
    assert control(sent) == control([datagram for _, source, datagram in recorded if source == "rdpeer"])
    assert ours.delivered
    assert ours.closed
    assert ours.lost is None
