"""``rdpeer listen --exec``: a program for each peer, and how it ends is told at the other end."""

from __future__ import annotations

import os
import re
import shlex
import sys
from subprocess import PIPE

import pytest
from network import ACCEPTED, Network

OPEN = ACCEPTED.format("", "open")


def python(script: str) -> str:
    return shlex.join([sys.executable, "-c", script])


def test_its_standard_streams_are_the_peers(network: Network) -> None:
    network.listen("--open", "--exec", "wc -c")
    assert network.connect(stdin="hello\n").strip() == "6"


def test_its_standard_error_is_ours(network: Network) -> None:
    listener = network.listen("--open", "--exec", "sh -c 'echo oops >&2; cat'")
    assert network.connect(stdin="hello\n") == "hello\n"
    listener.said(OPEN)
    listener.said("oops")


def test_no_shell_is_between(network: Network) -> None:
    network.listen("--open", "--exec", "echo '$HOME;' *")
    assert network.connect() == "$HOME; *\n"


@pytest.mark.parametrize(
    ("program", "status"),
    [("sh -c 'cat; exit 3'", 3), ("sh -c 'kill -TERM $$'", 143), ("sh -c 'kill -KILL $$'", 137)],
)
def test_a_program_that_fails(network: Network, program: str, status: int) -> None:
    listener = network.listen("--open", "--exec", program)
    network.connect(code=11, stderr=f"rdpeer: error: the peer's command exited {status}\n")
    listener.process.terminate()
    listener.end(OPEN)


def test_what_a_failing_program_wrote_arrives(network: Network) -> None:
    network.listen("--open", "--exec", "sh -c 'echo so far; exit 1'")
    stderr = "rdpeer: error: the peer's command exited 1\n"
    assert network.connect(code=11, stderr=stderr) == "so far\n"


def test_input_that_nobody_read(network: Network) -> None:
    """More than any buffer holds, to a program that reads none of it, is no failure."""
    network.listen("--open", "--exec", "true")
    assert network.connect(stdin="x" * (32 << 20)) == ""


def test_no_such_program(network: Network) -> None:
    listener = network.listen("--open", "--exec", "/nowhere/at-all")
    stderr = "rdpeer: error: the peer has no such program: No such file or directory\n"
    network.connect(code=11, stderr=stderr)
    listener.said(OPEN)
    listener.said("rdpeer: .*: No such file or directory|rdpeer: .*: .*/nowhere/at-all.*")


def test_its_environment(network: Network) -> None:
    network.listen("--exec", "env", env={"RDPEER_PASSWORD": "correct horse"})
    told = network.connect(stdin="", env={"RDPEER_PASSWORD": "correct horse"})
    environment = dict(line.split("=", 1) for line in told.splitlines() if "=" in line)
    own = {name for name in environment if name.startswith("RDPEER_")}
    assert own == {"RDPEER_REMOTE_ID", "RDPEER_REMOTE_KEY", "RDPEER_REMOTE_PATH"}
    assert environment["RDPEER_REMOTE_ID"] == network.near("id").strip()
    assert environment["RDPEER_REMOTE_KEY"] == network.near("id", "--authorized").split()[0]
    assert environment["RDPEER_REMOTE_PATH"] in ("direct", "relay")
    assert environment["HOME"] == str(network.far.folder)


def test_it_is_hung_up_when_the_peer_is_gone(network: Network) -> None:
    """The whole group: what the program started hears it, too."""
    grandchild = python(
        "import signal, sys\n"
        "def hung_up(*_):\n"
        "    print('hung up', file=sys.stderr, flush=True)\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGHUP, hung_up)\n"
        "print('ready', flush=True)\n"
        "signal.pause()"
    )
    listener = network.listen("--open", "--exec", shlex.join(["sh", "-c", f"{grandchild}; exit"]))
    connection = network.connecting(stdin=PIPE)
    assert connection.process.stdout.readline() == b"ready\n"
    connection.process.kill()
    listener.said("hung up")


@pytest.mark.slow
def test_one_that_does_not_listen_to_that_is_killed(network: Network) -> None:
    program = python(
        "import os, signal\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "print(os.getpid(), flush=True)\n"
        "while True:\n"
        "    signal.pause()"
    )
    listener = network.listen("--open", "--exec", program)
    connection = network.connecting(stdin=PIPE)
    pid = int(connection.process.stdout.readline())
    connection.process.kill()
    listener.process.terminate()
    listener.end(OPEN)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_each_peer_has_one_of_its_own(network: Network) -> None:
    network.listen("--open", "--exec", "sh -c 'echo $$'")
    assert network.connect() != network.connect()
    assert re.fullmatch(r"\d+\n", network.connect())
