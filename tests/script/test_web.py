"""Servers by WebSocket, proxies and address families, as typed."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from network import Network
    from program import Rdpeer


def test_a_server_by_url(network: Network) -> None:
    web = ("--server", f"ws://127.0.0.1:{network.server.port + 2}")
    network.listen("--exec", "cat", "--open")
    assert network.near("online", *web, network.peer) == f"{network.peer} online\n"
    assert network.connect(*web, stdin="hello") == "hello"


def test_a_listener_by_url_invites_by_it(network: Network) -> None:
    url = f"ws://127.0.0.1:{network.server.port + 2}"
    listener = network.listen("--server", url, "--exec", "cat", "--open")
    invitation = next(line for line in listener.lines if line.startswith("rdpeer connect "))
    assert f"{network.peer}@{url}?key=" in invitation
    address = invitation.split("'")[1]
    assert network.near("connect", address, stdin="hello") == "hello"


def test_a_direct_path_is_not_promised_there(network: Network) -> None:
    url = f"ws://127.0.0.1:{network.server.port + 2}"
    told = "rdpeer: error: no direct path: the server is reached by WebSocket\n"
    network.connect("--direct", "--server", url, code=5, stderr=told)


def test_a_url_that_is_none(rdpeer: Rdpeer) -> None:
    told = "rdpeer: error: --server: not a server's address: 'https://h' (HOST, ws:// or wss://)\n"
    rdpeer("online", "--server", "https://h", "612345678", code=2, stderr=told)


def test_the_family_that_was_asked_for(rdpeer: Rdpeer) -> None:
    for flags in (("-6",), ("--family", "6"), ("-4", "-6")):
        told = "rdpeer: error: cannot reach 127.0.0.1:21115: not an IPv6 address\n"
        rdpeer("online", "--server", "127.0.0.1", *flags, "612345678", code=3, stderr=told)
    told = "rdpeer: error: cannot reach [::1]:21115: not an IPv4 address\n"
    rdpeer("-4", "online", "--server", "::1", "612345678", code=3, stderr=told)


HINT = "rdpeer: hint: write the proxy's URL into RDPEER_PROXY, or into the file that .* names\n"
SEEN = re.compile(f"rdpeer: error: everybody can read a password on the command line\n{HINT}")


COMMANDS = [
    ("online", "612345678", "--proxy"),
    ("config", "set", "proxy"),
    ("ssh-config", "612345678", "--proxy"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_proxys_password_is_not_for_the_command_line(rdpeer: Rdpeer, command: tuple[str, ...]) -> None:
    rdpeer(*command, "http://me:secret@proxy.example", code=2, stderr=SEEN)


def test_a_proxys_password_is_taken_from_elsewhere_and_not_shown(rdpeer: Rdpeer) -> None:
    environ = {"RDPEER_PROXY": "http://me:secret@127.0.0.1:1"}
    told = rdpeer("config", "list", env=environ)
    assert "proxy = http://me@127.0.0.1:1  (RDPEER_PROXY)\n" in told
    assert "secret" not in told
    stderr = (
        "rdpeer: error: cannot reach h:21115: the proxy cannot be reached: 127.0.0.1:1: Connection refused\n"
    )
    rdpeer("online", "--server", "h", "612345678", env=environ, code=3, stderr=stderr)


def test_proxies_of_others_are_not_ours(rdpeer: Rdpeer) -> None:
    environ = {"ALL_PROXY": "socks5://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}
    assert "proxy" not in rdpeer("config", "list", env=environ)


@pytest.mark.parametrize("option", ["--tls-cert", "--tls-key"])
def test_a_certificate_and_its_key_go_together(rdpeer: Rdpeer, option: str) -> None:
    told = "rdpeer: error: --tls-cert and --tls-key go together\n"
    rdpeer("server", option, "x.pem", code=2, stderr=told)


def test_the_plain_path_does_without_websockets() -> None:
    """They cost 90 ms."""
    program = "import sys, rdpeer.peer.connect, rdpeer.peer.listen; sys.exit('websockets' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
