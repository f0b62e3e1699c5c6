"""``rdpeer discover``, over loopback, at a port of the test's own."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from network import Network
from program import Rdpeer

if TYPE_CHECKING:
    from terminal import Terminal

NOBODY = re.compile("rdpeer: error: nobody answered on the local network\nrdpeer: hint: .*\n")
TOLD = {"RDPEER_NO_DISCOVERY": ""}


@pytest.fixture
def port() -> Iterator[str]:
    """One that nobody else uses; a broadcast reaches all who share it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("", 0))
        yield str(sock.getsockname()[1])


def test_a_listener_is_found(network: Network, port: str) -> None:
    network.listen("--open", "--exec", "cat", "--discovery-port", port, env=TOLD)
    (line,) = network.near("discover", "--port", port, "--timeout", "3", "--json").splitlines()
    found = json.loads(line)
    assert found.keys() == {"id", "address", "hostname", "username", "platform", "mac", "misc"}
    assert (found["id"], found["misc"]) == (network.peer, "rdpeer")
    (line,) = network.near("discover", "--port", port, "--timeout", "3").splitlines()
    assert line.split("\t") == [str(value) for value in found.values()]


def test_one_that_does_not_want_to_be_found(network: Network, port: str) -> None:
    network.listen("--open", "--exec", "cat", "--no-discovery", env=TOLD)
    network.near("discover", "--port", port, "--timeout", "0.5", code=4, stderr=NOBODY)


def test_a_taken_port_does_not_stop_a_listener(network: Network) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as desktop:
        desktop.bind(("", 0))
        port = str(desktop.getsockname()[1])
        listener = network.listen("-v", "--open", "--exec", "cat", "--discovery-port", port, env=TOLD)
        text = f"rdpeer: not to be discovered on the local network: UDP port {port}: .*"
        assert any(re.fullmatch(text, line) for line in listener.lines)


def test_a_table_on_a_terminal(network: Network, port: str, terminal: Terminal) -> None:
    network.listen("--open", "--exec", "cat", "--discovery-port", port, env=TOLD)
    discovery = terminal.run(network.near, "discover", "--port", port, "--timeout", "3")
    terminal.shows("ID +ADDRESS +HOSTNAME +USERNAME +PLATFORM +MAC +MISC\r\n")
    terminal.shows(f"{network.peer}  [0-9.]+  .*  rdpeer\r\n")
    discovery.end()


@pytest.mark.parametrize("timeout", ["0", "-1", "nan", "inf", "soon"])
def test_a_timeout_that_is_none(rdpeer: Rdpeer, timeout: str) -> None:
    told = re.compile("rdpeer: error: .* is not a number of seconds from 0 to 3600\nrdpeer: hint: .*\n")
    rdpeer("discover", "--timeout", timeout, code=2, stderr=told)


def test_being_found_and_not_exclude_each_other(rdpeer: Rdpeer) -> None:
    told = re.compile(
        "rdpeer: error: --no-discovery and --discovery-port exclude each other\nrdpeer: hint: .*\n"
    )
    rdpeer("listen", "--no-discovery", "--discovery-port", "9", code=2, stderr=told)
