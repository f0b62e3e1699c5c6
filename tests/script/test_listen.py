"""``rdpeer listen``: invitations, one peer or many, targets."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE
from threading import Thread

import pytest
from network import ACCEPTED, INVITATION, ONLINE, Network, code_of
from program import Running

OPEN = ACCEPTED.format("", "open")


def test_the_invitation_comes_last(network: Network) -> None:
    told = network.listen().lines
    assert len(told) == 3
    assert re.fullmatch(ONLINE, told[0])
    assert re.fullmatch("code: [0-9A-Z]{4}-[0-9A-Z]{4}", told[1])
    assert re.fullmatch(INVITATION, told[2])


def test_ready_means_that_a_peer_may_come(network: Network, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    listener = network.listen("--ready-file", str(ready))
    network.connect(stdin="hello\n", env={"RDPEER_CODE": code_of(listener)})
    assert listener.end(ACCEPTED.format("", "code")) == b"hello\n"
    assert not ready.exists()


def test_one_listener_for_an_identity(network: Network) -> None:
    listener = network.listen("--open")
    first = rf"'rdpeer listen' \(process {listener.process.pid}\)"
    stderr = re.compile(f"rdpeer: error: {first} already keeps this ID online .*\nrdpeer: hint: .*\n")
    network.far("listen", "--open", code=2, stderr=stderr)


def test_a_second_peer_while_the_only_one_is_there(network: Network) -> None:
    listener = network.listen("--open")
    first = network.connecting(stdin=PIPE)
    listener.said(OPEN)
    network.connect(code=11, stderr=f"rdpeer: error: {network.peer} refused: another peer is connected\n")
    listener.said("rdpeer: somebody asked for us: refused, another peer is connected")
    assert first.end(stdin=b"first\n") == b""
    assert listener.end() == b"first\n"


def test_it_ends_as_its_only_peer_did(network: Network) -> None:
    listener = network.listen("--open")
    connection = network.connecting(stdin=PIPE)
    listener.said(OPEN)
    connection.process.kill()
    assert listener.end("rdpeer: error: .*", code=9) == b""


def test_staying_it_serves_one_after_the_other(network: Network) -> None:
    listener = network.listen("--open", "--exec", "cat")
    for text in ("one\n", "two\n", "three\n"):
        assert network.connect(stdin=text) == text
    listener.process.terminate()
    listener.end(*[OPEN] * 3)


def test_staying_it_serves_several_at_once(network: Network) -> None:
    listener = network.listen("--open", "--exec", "cat")
    connections = [network.connecting(stdin=PIPE) for _ in range(4)]
    for _ in connections:
        listener.said(OPEN)
    for number, connection in enumerate(connections):
        text = f"{number}\n".encode()
        assert connection.end(stdin=text) == text


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--exec", "cat", "--to", "h:1"], "--exec and --to or --allow exclude each other"),
        (["--exec", "cat", "--allow", "h:1"], "--exec and --to or --allow exclude each other"),
        (["--open", "--password-file", "p"], "--open and --password-file exclude each other"),
        (["--to", "h:1", "--recv-only"], "--recv-only and a listener that stays exclude each other"),
        (["--to", "h"], "no port in 'h'"),
        (["--exec", "", "--open"], "--exec: no program"),
        (["--exec", "'", "--open"], "--exec: no closing quotation"),
    ],
)
def test_usage(network: Network, arguments: list[str], told: str) -> None:
    stderr = re.compile(f"rdpeer: error: {told}\n(rdpeer: hint: .*\n)?")
    assert network.far("listen", *arguments, code=2, stderr=stderr) == ""


# Targets


@pytest.fixture
def upper() -> Iterator[str]:
    """A TCP target that reads to the end and says it again, in capitals."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        Thread(target=_serve, args=(server,), daemon=True).start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)


def _serve(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:  # the test is over
            return
        with connection, connection.makefile("rb") as incoming:
            connection.sendall(incoming.read().upper())


@pytest.fixture
def closed() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def told_by(listener: Running, pattern: str) -> None:
    listener.said(OPEN)
    listener.said(pattern)


@pytest.mark.parametrize("way", ["--relay", "--direct"])
def test_a_target(network: Network, upper: str, way: str) -> None:
    network.listen("--open", "--to", upper)
    assert network.connect(way, stdin="hello\n") == "HELLO\n"


def test_a_target_that_is_closed(network: Network, closed: str) -> None:
    listener = network.listen("--open", "--to", closed)
    stderr = re.compile(f"rdpeer: error: the peer cannot reach the target: {closed}: .*refused.*\n")
    network.connect(code=11, stderr=stderr)
    told_by(listener, f"rdpeer: .*: refused, the target cannot be reached: {closed}: .*refused.*")


def test_a_target_that_resets(network: Network) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        listener = network.listen("--open", "--to", f"127.0.0.1:{server.getsockname()[1]}")
        connecting = network.connecting(stdin=PIPE)
        connection, _ = server.accept()
        connecting.process.stdin.write(b"!")
        connecting.process.stdin.flush()
        assert connection.recv(1) == b"!"  # a reset that came earlier could still end the connecting
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        told_by(listener, "rdpeer: .*: our end failed: Connection reset by peer")
        connecting.end("rdpeer: error: the peer could not read .*: Connection reset by peer", code=9)


def test_a_named_target(network: Network, upper: str, closed: str) -> None:
    listener = network.listen("--open", "--allow", upper)
    assert network.connect(upper, stdin="hello\n") == "HELLO\n"
    stderr = f"rdpeer: error: the peer does not permit this target: {closed}\n"
    network.connect(closed, code=11, stderr=stderr)
    listener.said(OPEN)
    told_by(listener, f"rdpeer: .*: refused, not permitted: {closed}")


@pytest.mark.parametrize("target", ["localhost", "localhost:x", "[::1"])
def test_a_target_that_is_none(network: Network, target: str) -> None:
    network.connect(target, code=2, stderr=re.compile("rdpeer: error: .*\nrdpeer: hint: .*\n"))


def test_a_target_must_be_named_where_there_is_no_usual_one(network: Network, upper: str) -> None:
    network.listen("--open", "--allow", upper)
    stderr = "rdpeer: error: the peer does not permit this target: no target was named\n"
    network.connect(code=11, stderr=stderr)


def test_the_usual_target_may_be_named_too(network: Network, upper: str) -> None:
    network.listen("--open", "--to", upper)
    assert network.connect(upper, stdin="hello\n") == "HELLO\n"


def test_there_is_no_target_behind_a_pipe(network: Network, upper: str) -> None:
    network.listen("--open")
    stderr = re.compile("rdpeer: error: the peer does not permit this target: .*\n")
    network.connect(upper, code=11, stderr=stderr)
