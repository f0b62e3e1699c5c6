"""Signals: quiet, prompt, and with the code that a shell expects; and what the other end makes of them."""

from __future__ import annotations

import os
import signal
import socket
from subprocess import DEVNULL, PIPE

import pytest
from network import ACCEPTED, Network
from program import Running

OPEN = ACCEPTED.format("", "open")
LOST = "rdpeer: error: .*"
STOPPING = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP] if os.name == "posix" else []

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")


def connected(network: Network) -> tuple[Running, Running]:
    """A listener and its only peer, in the middle of their transfer."""
    listener = network.listen("--open", stdin=PIPE)
    connection = network.connecting(stdin=PIPE)
    connection.process.stdin.write(b"hello\n")
    assert listener.process.stdout.readline() == b"hello\n"
    listener.said(OPEN)
    return listener, connection


@pytest.mark.parametrize("signum", STOPPING)
def test_connect(network: Network, signum: signal.Signals) -> None:
    listener, connection = connected(network)
    connection.process.send_signal(signum)
    assert connection.end(code=128 + signum) == b""
    assert listener.end(LOST, code=9) == b""


@pytest.mark.parametrize("signum", STOPPING)
def test_listen(network: Network, signum: signal.Signals) -> None:
    listener, connection = connected(network)
    listener.process.send_signal(signum)
    assert listener.end(code=128 + signum) == b""
    assert connection.end(LOST, code=9) == b""


@pytest.mark.parametrize("signum", STOPPING)
def test_a_listener_that_waits(network: Network, signum: signal.Signals) -> None:
    listener = network.listen("--open")
    listener.process.send_signal(signum)
    assert listener.end(code=128 + signum) == b""


@pytest.mark.parametrize("signum", STOPPING)
def test_a_listener_that_stays_ends_well(network: Network, signum: signal.Signals) -> None:
    listener = network.listen("--open", "--exec", "cat")
    connection = network.connecting(stdin=PIPE)
    listener.said(OPEN)
    listener.process.send_signal(signum)
    assert listener.end() == b""
    assert connection.end(LOST, code=9) == b""


@pytest.mark.parametrize("signum", STOPPING)
def test_while_it_connects(network: Network, signum: signal.Signals) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        server = f"127.0.0.1:{mute.getsockname()[1]}"
        connection = network.connecting("--server", server, stdin=DEVNULL)
        with mute.accept()[0]:
            connection.process.send_signal(signum)
            assert connection.end(code=128 + signum) == b""


def test_what_was_ignored_stays_ignored(network: Network) -> None:
    """As under nohup."""
    listener = network.listen("--open", preexec_fn=_ignore_hangups)
    listener.process.send_signal(signal.SIGHUP)
    network.connect(stdin="hello\n")
    assert listener.end(OPEN) == b"hello\n"


def _ignore_hangups() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def test_a_suspended_connection_goes_on(network: Network) -> None:
    listener, connection = connected(network)
    connection.process.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, connection.process.pid, os.WSTOPPED | os.WNOWAIT)
    connection.process.send_signal(signal.SIGCONT)
    listener.process.stdin.close()
    listener.process.stdin = None
    assert connection.end(stdin=b"again\n") == b""
    assert listener.end() == b"again\n"


# Ends without a word


@pytest.mark.parametrize("way", ["--relay", "--direct"])
@pytest.mark.parametrize("victim", ["listener", "connection"])
def test_a_killed_end(network: Network, way: str, victim: str) -> None:
    """In the middle of a transfer that never ends: truncation is never taken for the end."""
    listener = network.listen("--open", stdin=DEVNULL)
    connection = network.connecting(way, stdin=PIPE)
    connection.process.stdin.write(b"hello\n")
    assert listener.process.stdout.readline() == b"hello\n"
    listener.said(OPEN)
    killed, left = (listener, connection) if victim == "listener" else (connection, listener)
    killed.process.kill()
    assert left.end(LOST, code=9) == b""


def test_a_killed_relay(own_network: Network) -> None:
    listener = own_network.listen("--open")
    connection = own_network.connecting("--relay", stdin=PIPE)
    connection.process.stdin.write(b"hello\n")
    assert listener.process.stdout.readline() == b"hello\n"
    listener.said(OPEN)
    own_network.server.kill()
    assert connection.end(LOST, code=9) == b""
    assert listener.end(LOST, code=9) == b""


def test_a_direct_path_outlives_the_server(own_network: Network) -> None:
    listener = own_network.listen("--open")
    connection = own_network.connecting("--direct", stdin=PIPE)
    listener.said(OPEN)
    own_network.server.kill()
    assert connection.end(stdin=b"hello\n") == b""
    assert listener.end() == b"hello\n"
