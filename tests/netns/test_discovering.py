"""Discovery between machines: found across a switch, and never through a router."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import DEVNULL

import pytest
from internet import Host, Internet
from program import Rdpeer

pytestmark = pytest.mark.slow

NEAR, FAR, DISTANT = "198.51.100.2", "198.51.100.3", "203.0.113.7"

PING = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((sys.argv[2], 0))
sock.settimeout(float(sys.argv[3]))
sock.sendto(bytes.fromhex("b20106") + b"\\n\\x04ping", (sys.argv[1], 21119))
try:
    print(len(sock.recv(2048)) > 0)
except TimeoutError:
    print(False)
"""


def answered(host: Host, source: str, within: float) -> bool:
    """Whether a ping of the host from its address ``source`` gets an answer."""
    command = [*host.within, sys.executable, "-c", PING, FAR, source, str(within)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout == "True\n"


@pytest.fixture
def far(internet: Internet, tmp_path: Path) -> Iterator[tuple[Host, Rdpeer]]:
    """A machine with a listener; no server is anywhere."""
    with ExitStack() as cleanup:
        cleanup.callback(internet.clear)
        host = internet.host(FAR)
        (tmp_path / "far").mkdir()
        program = Rdpeer(tmp_path / "far", within=host.within)
        cleanup.callback(program.end)
        program("config", "set", "server", "198.51.100.1")
        listener = program.follow(
            "listen", "--open", "--exec", "cat", stdin=DEVNULL, env={"RDPEER_NO_DISCOVERY": ""}
        )
        listener.said("rdpeer: .* is offline at .*")
        yield host, program


def test_machines_on_one_network(internet: Internet, far: tuple[Host, Rdpeer], tmp_path: Path) -> None:
    host, program = far
    near = Rdpeer(tmp_path, within=internet.host(NEAR).within)
    (found,) = map(json.loads, near("discover", "--json").splitlines())
    mac = subprocess.run(
        [*host.within, "cat", "/sys/class/net/wan/address"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert (found["id"], found["address"]) == (program("id").strip(), FAR)
    assert (found["mac"], found["misc"], found["platform"]) == (mac, "rdpeer", "Linux")


def test_no_answer_goes_through_a_router(internet: Internet, far: tuple[Host, Rdpeer]) -> None:
    """A machine that asks from an address of another network, to which there is a route."""
    host, _ = far
    near = internet.host(NEAR)
    near.space.ip("address", "add", f"{DISTANT}/32", "dev", "wan")
    host.space.ip("route", "add", DISTANT, "via", NEAR)
    assert answered(near, NEAR, 10.0)
    assert not answered(near, DISTANT, 1.0)
