"""``rdpeer ping``: what it tells, and that it costs the listener nothing."""

from __future__ import annotations

import json
import re
import signal

import pytest
from network import ACCEPTED, Network, code_of
from program import Rdpeer

COUNTS = "{0} sent, {0} received, 0% lost\nround trip min/avg/max = [0-9.]+/[0-9.]+/[0-9.]+ ms\n"


def test_answers_and_what_they_come_to(network: Network) -> None:
    network.listen("--open", "--exec", "cat")
    told = network.near("ping", network.peer, "-c", "3", "-i", "0.01")
    lines = "".join(rf"{network.peer}: direct \S+ seq={n} time=[0-9.]+ ms\n" for n in (1, 2, 3))
    assert re.fullmatch(lines + COUNTS.format(3), told)


def test_json(network: Network) -> None:
    network.listen("--open", "--exec", "cat")
    told = network.near("ping", network.peer, "-c", "1", "--json", "--relay")
    answer, tally = map(json.loads, told.splitlines())
    assert answer.keys() == {"id", "seq", "path", "endpoint", "udp", "ms", "key"}
    assert (answer["id"], answer["seq"], answer["path"]) == (network.peer, 1, "relay")
    assert tally.keys() == {"id", "sent", "received", "min_ms", "avg_ms", "max_ms"}
    assert (tally["sent"], tally["received"]) == (1, 1)


def test_it_spends_no_guess_and_takes_no_place(network: Network) -> None:
    """The listener lets one peer in, by a code; pinged, it still does, and has nothing to tell."""
    listener = network.listen()
    for way in ("--direct", "--relay"):
        network.near("ping", network.peer, "-c", "2", "-i", "0.01", way)
    network.connect(stdin="hello\n", env={"RDPEER_CODE": code_of(listener)})
    assert listener.end(ACCEPTED.format("", "code")) == b"hello\n"


def test_it_pins_nothing(network: Network) -> None:
    network.forget()
    network.listen("--open", "--exec", "cat")
    network.near("ping", network.peer, "-c", "1")
    assert not (network.near.home / "known_peers").exists()


def test_until_direct_ends_with_the_first_direct_path(network: Network) -> None:
    network.listen("--open", "--exec", "cat")
    told = network.near("ping", network.peer, "--until-direct")
    assert re.fullmatch(rf"{network.peer}: direct .* seq=1 .*\n{COUNTS.format(1)}", told)


def test_why_another_path_was_not_taken(network: Network) -> None:
    network.listen("--open", "--exec", "cat")
    stderr = re.compile("rdpeer: asking .*\n(rdpeer: .*\n)*rdpeer: path: direct .*\n")
    network.near("ping", network.peer, "-c", "1", "-v", stderr=stderr)


def test_interrupted_it_tells_what_it_has(network: Network) -> None:
    network.listen("--open", "--exec", "cat")
    pinging = network.near.follow("ping", network.peer, "-c", "9", "-i", "3600")
    assert pinging.process.stdout
    first = pinging.process.stdout.readline()
    assert b" seq=1 " in first
    pinging.process.send_signal(signal.SIGINT)
    assert b"1 sent, 1 received, 0% lost\n" in pinging.end(code=130)


def test_nobody_there(network: Network) -> None:
    told = re.compile("rdpeer: error: .* knows no peer 600000001\n")
    assert network.near("ping", "600000001", code=4, stderr=told) == ""


def test_a_changed_key(network: Network) -> None:
    network.listen("--open", "--exec", "cat")
    other = network.near("id", "--authorized").split()[0]
    network.near("ping", network.peer, "--peer-key", other, code=7)


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "0"],
        ["-c", "x"],
        ["-i", "0"],
        ["-i", "nan"],
        ["--relay", "--until-direct"],
        ["--relay", "--direct"],
    ],
)
def test_usage(network: Network, arguments: list[str]) -> None:
    told = re.compile("rdpeer: error: .*\n(rdpeer: hint: .*\n)?")
    network.near("ping", network.peer, *arguments, code=2, stderr=told)


def test_no_server(rdpeer: Rdpeer) -> None:
    rdpeer("ping", "612345678", code=2)


def test_a_desktop_answers_no_ping(network: Network) -> None:
    pins = network.near.home / "known_peers"
    pins.write_text(pins.read_text().replace(" rdpeer ", " stock "))
    told = f"rdpeer: error: {network.peer} is pinned as a stock desktop, which answers no ping\n"
    network.near("ping", network.peer, code=2, stderr=told)
