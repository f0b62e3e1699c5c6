"""``rdpeer decode``."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from program import Rdpeer

VECTORS = Path(__file__).parent.parent / "vectors"


def test_messages_given_as_words(rdpeer: Rdpeer) -> None:
    assert rdpeer("decode", "3a021001", "WgA=", "5a:02:18:03") == (
        "message, 4 bytes: RegisterPeerResponse request_pk=true\n"
        "message, 2 bytes: PunchHoleResponse failure=ID_NOT_EXIST\n"
        "message, 4 bytes: PunchHoleResponse failure=LICENSE_MISMATCH\n"
    )


def test_json(rdpeer: Rdpeer) -> None:
    lines = rdpeer("decode", "--json", stdin="0\t10.0.0.1\t10.0.0.2\t\t083a00\n").splitlines()
    assert [json.loads(line) for line in lines] == [
        {
            "source": "0 10.0.0.1 10.0.0.2",
            "carrier": "frame",
            "bytes": 2,
            "message": "RegisterPeerResponse",
            "fields": {},
        }
    ]


def test_a_desktop_s_session(rdpeer: Rdpeer) -> None:
    rows = [json.loads(row) for row in (VECTORS / "stock-desktop-1.4.9.jsonl").read_text().splitlines()[1:6]]
    told = rdpeer("decode", stdin="".join(f"{row.get('bytes') or row['plain']}\n" for row in rows))
    assert [line.split()[3] for line in told.splitlines()] == [
        "SignedId",
        "PublicKey",
        "Hash",
        "LoginRequest",
        "LoginResponse",
    ]
    assert "Lab-pass-1" not in told


def test_bytes_in_a_file(rdpeer: Rdpeer) -> None:
    capture = rdpeer.folder / "capture"
    capture.write_bytes(bytes.fromhex("083a000c820100"))
    assert rdpeer("decode", "--file", "capture") == (
        "frame, 2 bytes: RegisterPeerResponse\nframe, 3 bytes: RegisterPkResponse result=OK\n"
    )


def test_what_could_be_read_is_told_before_the_error(rdpeer: Rdpeer) -> None:
    told = rdpeer("decode", "083a00ffffffff61", code=10, stderr="rdpeer: error: cannot read 1 of 2 pieces\n")
    assert told == (
        "frame, 2 bytes: RegisterPeerResponse\n"
        "rest, 5 bytes: no message, and a frame of 1073741823 bytes is over the limit of 16777216\n"
    )


@pytest.mark.parametrize(
    ("args", "stdin", "error"),
    [
        (["what?"], "", "neither hex nor base64: 'what?'"),
        ([], "3a00\nwhat?\n", "line 2 is neither hex nor base64: 'what?'"),
        ([], "", "there is nothing to decode"),
        ([], "# a comment\n\n10.0.0.1\t10.0.0.2\t\t\n", "there is nothing to decode"),
        (["--file", "nowhere"], "", "cannot read nowhere: No such file or directory"),
        (["--file", "nowhere", "3a00"], "", "--file and TEXT exclude each other"),
    ],
)
def test_what_is_no_capture(rdpeer: Rdpeer, args: list[str], stdin: str, error: str) -> None:
    told = re.compile(rf"rdpeer: error: {re.escape(error)}\n(rdpeer: hint: .*\n)?")
    rdpeer("decode", *args, code=2, stdin=stdin, stderr=told)


def test_a_capture_file_is_not_read_as_messages(rdpeer: Rdpeer) -> None:
    (rdpeer.folder / "x.pcap").write_bytes(bytes.fromhex("d4c3b2a1") + bytes(40))
    told = re.compile("rdpeer: error: this is a capture file: .*\nrdpeer: hint: tshark -r FILE .*\n")
    rdpeer("decode", "--file", "x.pcap", code=2, stderr=told)
