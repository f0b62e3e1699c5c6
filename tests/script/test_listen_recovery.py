"""What stays comes back by itself when the server does, and says so."""

from __future__ import annotations

from subprocess import DEVNULL

import pytest
from network import ACCEPTED, ONLINE, Network

OFFLINE = r"rdpeer: \d+ is offline at .*"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_a_registration(own_network: Network) -> None:
    registered = own_network.far.follow("register", stdin=DEVNULL)
    registered.said(ONLINE)
    own_network.server.kill()
    registered.said(OFFLINE)
    own_network.server.restart()
    registered.said(ONLINE)
    assert own_network.near("online", own_network.peer) == f"{own_network.peer} online\n"
    registered.process.terminate()
    registered.end()


def test_a_listener(own_network: Network) -> None:
    """It is there again before it has noticed anything."""
    listener = own_network.listen("--open", "--exec", "cat")
    own_network.server.kill()
    own_network.server.restart()
    own_network.near.shell(f"until rdpeer online {own_network.peer}; do :; done")
    for way in ("--relay", "--direct"):
        assert own_network.connect(way, stdin="hello\n") == "hello\n"
    listener.process.terminate()
    listener.end(*[ACCEPTED.format("", "open")] * 2)


def test_a_listener_for_one_peer_gives_up(own_network: Network) -> None:
    listener = own_network.listen("--open")
    own_network.server.kill()
    listener.end(OFFLINE, "rdpeer: error: .*127.0.0.1.*", code=3)
