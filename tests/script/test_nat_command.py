"""``rdpeer nat``: what it tells. How it finds out is tests/playbook/test_nat_probe.py's."""

from __future__ import annotations

import json
import re
import socket
from threading import Thread

import pytest
from network import Network
from program import Rdpeer

from rdpeer.cli.nat import _by_udp, _external
from rdpeer.peer.nat import Situation, View
from rdpeer.protocol.nat import Mapping, Nat
from rdpeer.values import Endpoint, ServerAddress

LOCAL, PUBLIC = Endpoint("192.168.1.7", 5000), Endpoint("198.51.100.20", 5000)


@pytest.mark.parametrize(
    ("found", "situation", "external"),
    [
        (Nat(Mapping.ASYMMETRIC, PUBLIC, (5000, 5000), PUBLIC), Situation.OPEN, "198.51.100.20:5000"),
        (Nat(Mapping.ASYMMETRIC, LOCAL, (5000, 5000), PUBLIC), Situation.CONE, "198.51.100.20:5000"),
        (Nat(Mapping.ASYMMETRIC, LOCAL, (5000, 5000), None), Situation.CONE, "port 5000; .*"),
        (Nat(Mapping.SYMMETRIC, LOCAL, (61, 62), None), Situation.SYMMETRIC, "port 61 and 62; .*"),
        (Nat(Mapping.UNKNOWN, LOCAL, (61,), None, "why"), Situation.UNKNOWN, "port 61; .*"),
        (Nat(Mapping.UNKNOWN, LOCAL, (), None, "why"), Situation.UNKNOWN, "unknown"),
    ],
)
def test_what_it_comes_to(found: Nat, situation: Situation, external: str) -> None:
    assert Situation.of(found) is situation
    assert re.fullmatch(external, _external(found))
    assert situation.meaning
    assert situation.mapping


def test_without_a_nat(network: Network) -> None:
    endpoint = r"127\.0\.0\.1:\d+"
    lines = [
        "mapping: open, .*",
        f"local: ({endpoint})",
        r"external: \1",
        f"external by UDP: {endpoint}, port kept",
        "direct paths: with any peer.*",
    ]
    assert re.fullmatch("\n".join([*lines, ""]), network.near("nat"))


def test_json(network: Network) -> None:
    told = json.loads(network.near("nat", "--json"))
    assert told.keys() == {"mapping", "local", "external", "ports", "udp", "meaning", "reason"}
    assert (told["mapping"], told["external"], told["reason"]) == ("open", told["local"], "")


def test_a_server_that_is_no_rendezvous_server(rdpeer: Rdpeer) -> None:
    """It takes the connection and closes it; nothing is at the port below."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=lambda: server.accept()[0].close(), daemon=True).start()
        told = rdpeer("nat", "--server", f"127.0.0.1:{server.getsockname()[1]}", code=3, stderr="")
    assert told.startswith("mapping: unknown, ")


def test_no_server(rdpeer: Rdpeer) -> None:
    rdpeer("nat", code=2, stderr=re.compile("rdpeer: error: no server is set\nrdpeer: hint: .*\n"))


A, B = Endpoint("198.51.100.20", 61), Endpoint("198.51.100.20", 62)


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        ((), "unknown; .*--stun.*"),
        ((A,), "198.51.100.20:61, port kept"),
        ((B,), "198.51.100.20:62, port changed"),
        ((A, B), "198.51.100.20:61 and 198.51.100.20:62, another port for each destination"),
    ],
)
def test_what_is_seen_by_udp(seen: tuple[Endpoint, ...], told: str) -> None:
    nat = Nat(Mapping.UNKNOWN, LOCAL, (), None, "why")
    assert re.fullmatch(told, _by_udp(View(nat, seen, 61), None))


def test_a_stun_server_that_does_not_answer() -> None:
    nat = Nat(Mapping.UNKNOWN, LOCAL, (), None, "why")
    told = _by_udp(View(nat, (), 61), ServerAddress("stun.example", 3478))
    assert told.endswith("no answer by IPv4 from the STUN server stun.example:3478")
