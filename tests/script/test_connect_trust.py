"""Whether the peer that answers is the one that was meant: pins, --peer-key, policies."""

from __future__ import annotations

import json
import re
from subprocess import DEVNULL

import pytest
from network import ACCEPTED, Network
from program import Rdpeer

OPEN = ACCEPTED.format("", "open")
OTHER = "SHA256:" + "A" * 43


def key_of(program: Rdpeer, name: str) -> str:
    return json.loads(program("id", "--json"))[name]


def renew(network: Network, other: Rdpeer) -> None:
    """far gets the key of another identity, and keeps its ID, with the help of the server's operator."""
    other("id")
    path, others = network.far.home / "identity.json", other.home / "identity.json"
    key = {name: json.loads(others.read_text())[name] for name in ("key", "public")}
    path.write_text(json.dumps(json.loads(path.read_text()) | key))
    (network.far.home / "confirmed").unlink()
    network.server.remove(network.peer)


def test_a_first_contact_is_told_and_pinned(network: Network) -> None:
    network.forget()
    listener = network.listen("--open")
    fingerprint = re.escape(key_of(network.far, "fingerprint"))
    stderr = re.compile(
        f"rdpeer: the key of {network.peer} is {fingerprint}; only the server vouches for it\n"
    )
    network.connect(stdin="hello\n", stderr=stderr)
    assert listener.end(OPEN) == b"hello\n"
    listener = network.listen("--open")
    network.connect(stdin="hello\n")
    assert listener.end(OPEN) == b"hello\n"


@pytest.mark.parametrize("form", ["fingerprint", "key"])
def test_the_peers_key(network: Network, form: str) -> None:
    network.forget()
    listener = network.listen("--open")
    network.connect("--peer-key", key_of(network.far, form), stdin="hello\n")
    assert listener.end(OPEN) == b"hello\n"
    assert " peer-key " in (network.near.home / "known_peers").read_text()


@pytest.mark.parametrize("met", [True, False])
def test_another_key_than_the_peers(network: Network, met: bool) -> None:
    if not met:
        network.forget()
    listener = network.listen("--open")
    stderr = re.compile(f"rdpeer: error: .*{re.escape(OTHER)}.*\n(rdpeer: hint: .*\n)?")
    network.connect("--peer-key", OTHER, code=7, stderr=stderr)
    assert not [line for line in listener.lines if "accepted" in line]


@pytest.mark.parametrize("with_peer_key", [False, True])
def test_a_changed_key_is_told_with_the_pin(
    own_network: Network, rdpeer: Rdpeer, with_peer_key: bool
) -> None:
    known = own_network.near.home / "known_peers"
    known.write_text("# mine\n" + known.read_text())
    pinned = known.read_text()
    before = key_of(own_network.far, "fingerprint")
    renew(own_network, rdpeer)
    after = key_of(own_network.far, "fingerprint")
    own_network.listen("--open")
    arguments = ["--peer-key", after] if with_peer_key else []
    connection = own_network.connecting(*arguments, stdin=DEVNULL)
    key, pin = re.escape(after if not with_peer_key else before), re.escape(f"{known} line 2")
    connection.end(f"rdpeer: error: (?=.*{key}).*{pin}.*", "rdpeer: hint: .*", code=7)
    assert known.read_text() == pinned


def test_strict_lets_no_stranger_be_the_peer(network: Network) -> None:
    network.forget()
    network.listen("--exec", "cat", "--open")
    fingerprint = key_of(network.far, "fingerprint")
    stderr = re.compile(
        f"rdpeer: error: .*pin = strict.*\nrdpeer: hint: .*--peer-key {re.escape(fingerprint)}\n"
    )
    network.connect("--pin", "strict", code=7, stderr=stderr)
    assert not (network.near.home / "known_peers").exists()
    assert network.connect("--pin", "strict", "--peer-key", fingerprint, stdin="hello\n") == "hello\n"
    assert network.connect("--pin", "strict", stdin="hello\n") == "hello\n"


def test_ask_without_a_terminal(network: Network) -> None:
    network.forget()
    network.listen("--open")
    connection = network.connecting("--pin", "ask", stdin=DEVNULL, start_new_session=True)
    told = ("rdpeer: error: nobody can be asked whether .*", "rdpeer: hint: run it on a terminal, .*")
    assert connection.end(*told, code=7) == b""
