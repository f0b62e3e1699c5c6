"""``rdpeer connect`` to ``rdpeer listen``: the main job, the ways to a peer, and what can be in the way."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from subprocess import DEVNULL, PIPE

import pytest
from network import ACCEPTED, Network
from program import Rdpeer

OPEN = ACCEPTED.format("", "open")


@pytest.mark.parametrize(
    ("way", "path"), [([], "(direct|relay)"), (["--relay"], "relay"), (["--direct"], "direct")]
)
def test_hello(network: Network, way: list[str], path: str) -> None:
    listener = network.listen("--open")
    assert network.connect(*way, stdin="hello\n") == ""
    assert listener.end(rf"rdpeer: \d+ SHA256:\S+, {path} \S+: accepted by open") == b"hello\n"


def test_both_directions(network: Network) -> None:
    listener = network.listen("--open", stdin=PIPE)
    listener.process.stdin.write(b"from far\n")
    listener.process.stdin.close()
    listener.process.stdin = None
    assert network.connect(stdin="from near\n") == "from far\n"
    assert listener.end(OPEN) == b"from near\n"


def test_details_name_the_path(network: Network) -> None:
    listener = network.listen("--open")
    stderr = re.compile(r"rdpeer: asking 127\.0\.0\.1:\d+ for \d+\nrdpeer: path: relay 127\.0\.0\.1:\d+\n")
    network.connect("-v", "--relay", stdin="hello\n", stderr=stderr)
    assert listener.end(OPEN) == b"hello\n"


@pytest.mark.parametrize("form", ["spaces", "dotted quad", "relay only", "link"])
def test_forms_of_an_id(network: Network, form: str) -> None:
    peer = network.peer
    typed = {
        "spaces": f"{peer[:3]} {peer[3:6]} {peer[6:]}",
        "dotted quad": str(IPv4Address(int(peer))),
        "relay only": f"{peer}/r",
        "link": f"{peer}@{network.server.link.removeprefix('rdpeer://')}",
    }[form]
    if form == "link":
        (network.near.home / "config.toml").unlink()
    listener = network.listen("--open")
    network.near("connect", typed, stdin="hello\n")
    path = "relay" if form == "relay only" else ""
    assert listener.end(f"rdpeer: .*, {path}.*: accepted by open") == b"hello\n"


def test_the_invitation_is_all_that_the_other_end_needs(network: Network, rdpeer: Rdpeer) -> None:
    listener = network.listen("--open")
    (command,) = [line for line in listener.lines if line.startswith("rdpeer connect ")]
    done = rdpeer.shell(f"echo hello | {command}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert listener.end(OPEN) == b"hello\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["612345678", "--relay", "--direct"], "--relay and --direct exclude each other"),
        (["612345678/r", "--direct"], "--direct and 612345678/r contradict each other"),
        (["612345678", "--recv-only", "--send-only"], "--recv-only and --send-only exclude each other"),
        (["612345678@h", "--server", "g"], "--server and 612345678@h:21116 contradict each other"),
        (["12"], "a peer ID has 6 to 100 characters"),
        (["612345678", "--peer-key", "SHA256:abc"], None),
        (["612345678"], "no server is set"),
    ],
)
def test_usage(rdpeer: Rdpeer, arguments: list[str], told: str | None) -> None:
    stderr = re.compile(rf"rdpeer: error: {re.escape(told)}\n(rdpeer: hint: .*\n)?") if told else None
    assert rdpeer("connect", *arguments, code=2, stderr=stderr) == ""


def test_an_unknown_id(network: Network) -> None:
    stderr = re.compile("rdpeer: error: .*600000001.*\n(rdpeer: hint: .*\n)?")
    assert network.near("connect", "600000001", code=4, stderr=stderr) == ""


def test_a_peer_that_is_offline(own_network: Network) -> None:
    own_network.server.kill()
    own_network.server.restart()
    stderr = re.compile(f"rdpeer: error: .*{own_network.peer}.* offline.*\n(rdpeer: hint: .*\n)?")
    assert own_network.connect(code=4, stderr=stderr) == ""


@pytest.mark.slow
def test_a_peer_that_is_silent(own_network: Network) -> None:
    """Its process was killed, and the server has not noticed yet."""
    listener = own_network.listen("--open")
    listener.process.kill()
    listener.process.wait()
    stderr = re.compile("rdpeer: error: .*did not answer.*\n(rdpeer: hint: .*\n)?")
    assert own_network.connect(code=4, stderr=stderr) == ""


def test_a_peer_that_is_only_registered_refuses_at_once(network: Network) -> None:
    registered = network.far.follow("register", stdin=DEVNULL)
    registered.said("rdpeer: .* is online at .*")
    network.connect(code=11, stderr=re.compile("rdpeer: error: .*not listening\n(rdpeer: hint: .*\n)?"))
    registered.process.terminate()
    registered.end()


def test_another_server_key_is_told_with_its_origin(network: Network) -> None:
    key = "A" * 43 + "="
    stderr = re.compile(
        r"rdpeer: error: .* than the configured SHA256:\S+ \(from --key\)\nrdpeer: hint: .*\n"
    )
    assert network.connect("--key", key, code=7, stderr=stderr) == ""


def test_a_server_that_is_down(network: Network) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    stderr = re.compile(rf"rdpeer: error: .*127\.0\.0\.1:{port}.*\n(rdpeer: hint: .*\n)?")
    network.connect("--server", f"127.0.0.1:{port}", code=3, stderr=stderr)


@pytest.fixture
def mute() -> Iterator[str]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("command", [["connect", "612345678"], ["listen", "--open"], ["register", "--once"]])
def test_the_users_time_is_over(network: Network, mute: str, command: list[str]) -> None:
    stderr = "rdpeer: error: not done within the 0.5 s of --timeout\n"
    assert network.near(*command, "--server", mute, "--timeout", "0.5", code=8, stderr=stderr) == ""


def test_the_users_time_bounds_only_what_comes_before_the_first_byte(network: Network) -> None:
    listener = network.listen("--open")
    connection = network.connecting("--timeout", "30", stdin=PIPE)
    listener.said(OPEN)
    assert connection.end(stdin=b"hello\n") == b""
    assert listener.end() == b"hello\n"
