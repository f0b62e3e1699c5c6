"""``rdpeer register`` and ``rdpeer online`` as scripts run them, with ``rdpeer server`` beside them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

Program = Any
"""What the fixture ``rdpeer`` gives."""


def wait_for_line(process: subprocess.Popen[str], pattern: str) -> str:
    """The first line on its stderr that ``pattern`` is found in."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        seen.append(line)
        if re.search(pattern, line):
            return line
    raise AssertionError(f"it ended without {pattern!r}: {seen}")


@pytest.fixture
def link(rdpeer: Program, tmp_path: Path) -> str:
    """The link of a server that runs, and that the profile is set to."""
    process = rdpeer.start(
        "server", "--port", "0", "--bind", "127.0.0.1", "--data-dir", str(tmp_path / "server")
    )
    line = wait_for_line(process, "rdpeer://")
    found = re.search(r"rdpeer://[^\s']+", line)
    assert found
    rdpeer("config", "import", found[0], stderr=re.compile(".*", re.DOTALL))
    return found[0]


def test_once_is_silent_and_the_peer_online(rdpeer: Program, link: str) -> None:
    peer = rdpeer("id").strip()
    assert rdpeer("register", "--once") == ""
    assert rdpeer("online", peer) == f"{peer} online\n"


def test_once_says_so_when_asked_to_tell(rdpeer: Program, link: str) -> None:
    peer = rdpeer("id").strip()
    rdpeer("-v", "register", "--once", stderr=re.compile(rf"rdpeer: {peer} is online at 127\.0\.0\.1:\d+\n"))


def test_who_is_offline_makes_exit_4(rdpeer: Program, link: str) -> None:
    peer = rdpeer("id").strip()
    rdpeer("register", "--once")
    assert rdpeer("online", "600 000 001", peer, code=4, stderr="") == f"600000001 offline\n{peer} online\n"
    lines = rdpeer("online", "600000001", peer, "--json", code=4, stderr="").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"id": "600000001", "online": False},
        {"id": peer, "online": True},
    ]


def test_the_server_may_stand_in_the_address(rdpeer: Program, link: str) -> None:
    peer = rdpeer("id").strip()
    rdpeer("register", "--once")
    rdpeer("config", "unset", "server")
    rdpeer("config", "unset", "key")
    address = f"{peer}@{link.removeprefix('rdpeer://')}"
    assert rdpeer("online", address) == f"{peer} online\n"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_staying_tells_its_state_and_ends_with_0(
    rdpeer: Program, link: str, tmp_path: Path, signum: signal.Signals
) -> None:
    ready = tmp_path / "ready"
    peer = rdpeer("id").strip()
    process = rdpeer.start("register", "--ready-file", str(ready))
    wait_for_line(process, f"^rdpeer: {peer} is online at 127")
    assert ready.read_text() == f"{peer}\n"
    rdpeer(
        "register",
        code=2,
        stderr=re.compile(
            rf"rdpeer: error: 'rdpeer register' \(process {process.pid}\) already keeps .*\n.*\n"
        ),
    )
    process.send_signal(signum)
    assert process.communicate() == ("", "")
    assert process.returncode == 0
    assert not ready.exists()


def test_without_a_server_there_is_nothing_to_do(rdpeer: Program) -> None:
    for command in (("register", "--once"), ("online", "612345678")):
        rdpeer(*command, code=2, stderr=re.compile("rdpeer: error: no server is set\nrdpeer: hint: .*\n"))


def test_an_id_that_is_none(rdpeer: Program) -> None:
    rdpeer("online", "12", code=2, stderr="rdpeer: error: a peer ID has 6 to 100 characters\n")


def test_a_server_port_without_room_beside_it(rdpeer: Program) -> None:
    for port in ("1", "65535"):
        error = f"rdpeer: error: no server is at h:{port}: it needs the ports below and above that one too\n"
        rdpeer("register", "--once", "--server", f"h:{port}", code=2, stderr=error)
        rdpeer("online", "612345678", "--server", f"h:{port}", code=2, stderr=error)
