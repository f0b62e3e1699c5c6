"""Standard input and output of both ends: pipes, files, devices, closed; and readers that are gone."""

from __future__ import annotations

import os
from pathlib import Path
from subprocess import DEVNULL, PIPE

import pytest
from network import ACCEPTED, Network

OPEN = ACCEPTED.format("", "open")
LOST = "rdpeer: error: .*"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sh and /dev are POSIX")


def test_files(network: Network, tmp_path: Path) -> None:
    """Regular files at both ends, more of them than all buffers hold."""
    data = os.urandom(1 << 20) * 40
    (tmp_path / "in").write_bytes(data)
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as sink:
        listener = network.listen("--open", stdout=sink)
        connection = network.connecting(stdin=source)
        assert connection.end() == b""
        listener.end(OPEN)
    assert (tmp_path / "out").read_bytes() == data


def test_a_file_is_appended_to(network: Network, tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("first\n")
    with path.open("ab") as sink:
        listener = network.listen("--open", stdout=sink)
        network.connect(stdin="second\n")
        listener.end(OPEN)
    assert path.read_text() == "first\nsecond\n"


def test_a_file_without_bytes(network: Network) -> None:
    listener = network.listen("--open")
    assert network.connecting(stdin=DEVNULL).end() == b""
    assert listener.end(OPEN) == b""


def test_null_devices_everywhere(network: Network) -> None:
    listener = network.listen("--open", stdout=DEVNULL)
    network.connecting(stdin=DEVNULL, stdout=DEVNULL).end()
    listener.end(OPEN)


@pytest.mark.parametrize("size", [1, 20 << 20])
def test_a_listeners_full_output(network: Network, size: int) -> None:
    """Also for one byte, which every buffer on the way would have taken."""
    with Path("/dev/full").open("wb") as full:
        listener = network.listen("--open", stdout=full)
        network.connect(
            stdin="x" * size,
            code=9,
            stderr="rdpeer: error: the peer could not write what was sent to it: No space left on device\n",
        )
        listener.end(OPEN, "rdpeer: error: No space left on device", code=1)


def test_a_connections_full_output(network: Network) -> None:
    listener = network.listen("--open", stdin=PIPE)
    with Path("/dev/full").open("wb") as full:
        connection = network.connecting(stdin=DEVNULL, stdout=full)
        error = "rdpeer: error: the peer could not write what was sent to it: .*"
        assert listener.end(OPEN, error, code=9, stdin=b"x") == b""
        connection.end("rdpeer: error: No space left on device", code=1)


def test_closed_streams_of_a_connection(network: Network) -> None:
    listener = network.listen("--open", "--exec", "echo for nobody")
    done = network.near.shell(f"rdpeer connect {network.peer} <&- >&-")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    listener.process.terminate()
    listener.end(OPEN)


def test_closed_streams_of_a_listener(network: Network) -> None:
    listener = network.listen("--open", stdout=DEVNULL, preexec_fn=lambda: os.closerange(0, 2))
    network.connect(stdin="for nobody\n")
    listener.end(OPEN)


def test_an_error_with_everything_closed(network: Network) -> None:
    done = network.near.shell("rdpeer connect 600000001 <&- >&- 2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (4, "", "")


def test_a_reader_that_is_gone(network: Network) -> None:
    """As with any program in a pipe: silent, and 141."""
    listener = network.listen("--open", "--exec", "cat /dev/zero")
    script = f"{{ rdpeer connect {network.peer} < /dev/null; echo $? >&2; }} | head -c 1 | wc -c"
    done = network.near.shell(script)
    assert (done.stdout.strip(), done.stderr) == ("1", "141\n")
    listener.process.terminate()
    listener.end(OPEN)


def test_a_listeners_reader_that_is_gone(network: Network) -> None:
    listener = network.listen("--open", stdout=PIPE)
    listener.process.stdout.close()
    listener.process.stdout = None
    stderr = "rdpeer: error: the peer could not write what was sent to it: Broken pipe\n"
    network.connect(stdin="hello\n", code=9, stderr=stderr)
    listener.end(OPEN, code=141)


def test_only_receiving(network: Network) -> None:
    """stdin never ends, and is not read."""
    listener = network.listen("--open", stdin=PIPE)
    connection = network.connecting("--recv-only", stdin=PIPE)
    assert listener.end(OPEN, stdin=b"hello\n") == b""
    assert connection.process.wait() == 0
    assert connection.end() == b"hello\n"


def test_only_sending(network: Network) -> None:
    """The far end has more to say, and is not waited for."""
    listener = network.listen("--open", stdin=PIPE)
    connection = network.connecting("--send-only", stdin=PIPE)
    assert connection.end(stdin=b"hello\n") == b""
    assert listener.process.wait() == 0
    assert listener.end(OPEN) == b"hello\n"


@pytest.mark.parametrize("flag", ["--recv-only", "--send-only"])
def test_a_listener_in_one_direction(network: Network, flag: str) -> None:
    listener = network.listen("--open", flag, stdin=PIPE)
    connection = network.connecting(stdin=PIPE)
    if flag == "--send-only":
        assert listener.end(OPEN, stdin=b"from far\n") == b""
        connection.process.stdin.close()
        connection.process.stdin = None
        assert connection.end() == b"from far\n"
    else:
        assert connection.end(stdin=b"from near\n") == b""
        assert listener.process.wait() == 0
        assert listener.end(OPEN) == b"from near\n"


def test_an_end_in_one_direction_leaves_the_other(network: Network) -> None:
    listener = network.listen("--open", "--exec", "sort")
    connection = network.connecting(stdin=PIPE)
    connection.process.stdin.write(b"b\n")
    assert connection.end(stdin=b"a\n") == b"a\nb\n"
    listener.process.terminate()
    listener.end(OPEN)


def test_bytes_arrive_as_they_come(network: Network) -> None:
    """Nothing waits for a buffer to fill."""
    network.listen("--open", "--exec", "cat")
    connection = network.connecting(stdin=PIPE)
    for line in (b"one\n", b"two\n", b"three\n"):
        connection.process.stdin.write(line)
        assert connection.process.stdout.readline() == line
    assert connection.end() == b""
