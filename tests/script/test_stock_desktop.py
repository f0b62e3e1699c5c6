"""``rdpeer connect --stock``: a port of a RustDesk desktop, which is a stand-in in a process of its own."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from subprocess import DEVNULL, PIPE
from typing import TYPE_CHECKING, Any

import pytest
from network import Network
from program import Rdpeer
from stand_ins import DesktopProcess, UpperCase

if TYPE_CHECKING:
    from terminal import Terminal

PASSWORD = {"RDPEER_PASSWORD": "Lab-pass-1"}
NEWS = r"rdpeer: the key of \d+ is SHA256:.*; only the server vouches for it"
WARNING = "rdpeer: warning: it is a stock desktop: what is carried is not encrypted, .*"
FIRST = re.compile(f"{NEWS}\n{WARNING}\n")
AGAIN = re.compile(f"{WARNING}\n")
PIPES = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}

Start = Callable[..., DesktopProcess]


@pytest.fixture
def desktop(network: Network) -> Iterator[Start]:
    link = re.fullmatch(r"rdpeer://([\d.]+):(\d+)\?key=(.*)", network.server.link)
    assert link
    started: list[DesktopProcess] = []

    def start(**options: Any) -> DesktopProcess:
        started.append(DesktopProcess(link[1], int(link[2]), link[3], **options))
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.fixture
def target() -> Iterator[str]:
    service = UpperCase()
    yield service.target
    service.end()


@pytest.mark.parametrize(("way", "path"), [("--direct", "direct"), ("--relay", "relayed")])
def test_hello(network: Network, desktop: Start, target: str, way: str, path: str) -> None:
    peer = desktop()
    arguments = ("connect", way, "--stock", peer.id, target)
    assert network.near(*arguments, stdin="hello\nbye\n", stderr=FIRST, env=PASSWORD) == "HELLO\nBYE\n"
    peer.said(path)
    peer.said("ended")


def test_told_once_the_pin_knows(network: Network, desktop: Start, target: str) -> None:
    peer = desktop()
    stderr = re.compile("rdpeer: error: the peer does not speak .*\nrdpeer: hint: .*--stock.*\n")
    network.near("connect", peer.id, target, code=7, stderr=stderr, env=PASSWORD)
    network.near("connect", "--stock", peer.id, target, stdin="bye\n", stderr=FIRST, env=PASSWORD)
    assert network.near("connect", peer.id, target, stdin="bye\n", stderr=AGAIN, env=PASSWORD) == "BYE\n"
    pins = (network.near.home / "known_peers").read_text()
    assert re.search(f" {peer.id} .* stock server ", pins)


def test_a_target_has_to_be_named(network: Network) -> None:
    stderr = re.compile("rdpeer: error: .* has to be told .*\nrdpeer: hint: .*ssh --stock 178000002\n")
    network.near("connect", "--stock", "178000002", code=2, stderr=stderr)


def test_encryption_may_be_required(network: Network, desktop: Start, target: str) -> None:
    both = re.compile(
        "rdpeer: error: --stock and --require-encryption exclude each other\n(rdpeer: hint: .*\n)?"
    )
    peer = desktop()
    network.near("connect", "--stock", "--require-encryption", peer.id, target, code=2, stderr=both)
    network.near("connect", "--stock", peer.id, target, stdin="bye\n", stderr=FIRST, env=PASSWORD)
    pinned = re.compile(f"rdpeer: error: {peer.id} is pinned as a stock desktop, .* not encrypted\n")
    network.near("connect", "--require-encryption", peer.id, target, code=7, stderr=pinned, env=PASSWORD)


def test_a_pinned_rdpeer_stays_one(network: Network) -> None:
    listener = network.listen("--open")
    stderr = f"rdpeer: --stock is not heeded: {network.peer} is pinned as an rdpeer\n"
    network.connect("--stock", stdin="hello\n", stderr=stderr)
    assert listener.end("rdpeer: .*: accepted by open") == b"hello\n"


def test_an_rdpeer_that_takes_no_desktops(network: Network) -> None:
    network.forget()
    network.listen("--open")
    stderr = re.compile("rdpeer: error: the peer is an rdpeer .*\nrdpeer: hint: .* without --stock\n")
    network.connect("localhost:1", "--stock", code=11, stderr=stderr, env=PASSWORD)
    assert (
        network.peer not in (network.near.home / "known_peers").read_text()
        if (network.near.home / "known_peers").exists()
        else True
    )


@pytest.mark.parametrize("text", ["x", "-1", "nan", "inf"])
def test_a_linger_that_is_no_time(rdpeer: Rdpeer, text: str) -> None:
    stderr = re.compile("rdpeer: error: invalid value for '--linger': .*\n(rdpeer: hint: .*\n)?")
    rdpeer("connect", "--linger", text, "--stock", "178000002", "localhost:22", code=2, stderr=stderr)


def test_the_end_of_the_input_is_not_the_end(network: Network, desktop: Start, target: str) -> None:
    peer = desktop()
    arguments = ("connect", "--stock", "--linger", "0.5", peer.id, target)
    assert network.near(*arguments, stdin="hello\n", stderr=FIRST, env=PASSWORD) == "HELLO\n"


# Being let in


def test_a_wrong_password(network: Network, desktop: Start, target: str) -> None:
    peer = desktop()
    stderr = re.compile("rdpeer: error: the desktop says that the password is wrong\nrdpeer: hint: .*\n")
    wrong = {"RDPEER_PASSWORD": "horse"}
    network.near("connect", "--stock", peer.id, target, code=6, stderr=stderr, env=wrong)


def test_the_password_is_asked_for(network: Network, desktop: Start, target: str, terminal: Terminal) -> None:
    peer = desktop()
    connection = terminal.run(network.near, "connect", "--stock", peer.id, target, **PIPES)
    terminal.shows("password .*: ")
    assert not terminal.echoes
    terminal.type("horse\n")
    connection.said("rdpeer: the desktop says that the password is wrong")
    terminal.shows("password .*: ")
    terminal.type("Lab-pass-1\n")
    assert connection.end(NEWS, WARNING, stdin=b"bye\n") == b"BYE\n"


def test_nothing_typed_asks_the_person_there(
    network: Network, desktop: Start, target: str, terminal: Terminal
) -> None:
    peer = desktop()
    connection = terminal.run(network.near, "connect", "--stock", peer.id, target, **PIPES)
    terminal.shows("password .*: ")
    terminal.type("\n")
    connection.said("rdpeer: waiting for somebody at the desktop to accept")
    peer.said("asking")
    peer.click("accept")
    assert connection.end(NEWS, WARNING, stdin=b"bye\n") == b"BYE\n"


def test_without_a_terminal_the_person_there_is_asked(network: Network, desktop: Start, target: str) -> None:
    peer = desktop(person="reject")
    arguments = ("connect", "--stock", peer.id, target)
    connection = network.near.follow(*arguments, stdin=DEVNULL, start_new_session=True)
    connection.end(
        "rdpeer: waiting for somebody at the desktop to accept",
        "rdpeer: error: the desktop closed the connection: Closed manually by the peer",
        code=11,
    )


def test_the_code_of_the_second_factor_is_asked_for(
    network: Network, desktop: Start, target: str, terminal: Terminal
) -> None:
    peer = desktop(second_factor=["123456"])
    connection = terminal.run(network.near, "connect", "--stock", peer.id, target, **PIPES, env=PASSWORD)
    terminal.shows("code of the second factor: ")
    terminal.type("000000\n")
    connection.said("rdpeer: the code is wrong")
    terminal.shows("code of the second factor: ")
    terminal.type(" 123456 \n")
    assert connection.end(NEWS, WARNING, stdin=b"bye\n") == b"BYE\n"


def test_a_command_gives_the_code(network: Network, desktop: Start, target: str) -> None:
    """It is no line of sh, its first line counts, and it sees no secrets of ours."""
    peer = desktop(second_factor=["12 $HOME"])
    script = "import os; print('12 $HOME'); print('more'); assert 'RDPEER_PASSWORD' not in os.environ"
    arguments = ("connect", "--stock", "--totp-command", f'{sys.executable} -c "{script}"', peer.id, target)
    assert network.near(*arguments, stdin="bye\n", stderr=FIRST, env=PASSWORD) == "BYE\n"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("echo 000000", "the desktop says that the code of --totp-command is wrong"),
        ("false", "--totp-command false: it exited 1"),
        ("true", "--totp-command true: it printed no line that could be a code"),
        ("/no/such/program", "--totp-command /no/such/program: .*No such file.*"),
    ],
)
def test_a_command_that_gives_no_good_code(
    network: Network, desktop: Start, target: str, command: str, told: str
) -> None:
    peer = desktop(second_factor=["123456"])
    arguments = ("connect", "--stock", "--totp-command", command, peer.id, target)
    network.near(*arguments, code=6, stderr=re.compile(f"rdpeer: error: {told}\n"), env=PASSWORD)


@pytest.mark.parametrize("command", ["", "'"])
def test_a_command_that_is_none(rdpeer: Rdpeer, command: str) -> None:
    stderr = re.compile("rdpeer: error: --totp-command: .*\n(rdpeer: hint: .*\n)?")
    arguments = ("connect", "--totp-command", command, "--stock", "178000002", "localhost:22")
    rdpeer(*arguments, code=2, stderr=stderr)


def test_a_second_factor_without_anybody_to_ask(network: Network, desktop: Start, target: str) -> None:
    peer = desktop(second_factor=["123456"])
    arguments = ("connect", "--stock", peer.id, target)
    connection = network.near.follow(*arguments, stdin=DEVNULL, start_new_session=True, env=PASSWORD)
    connection.end(
        "rdpeer: error: the desktop wants a code of its second factor",
        "rdpeer: hint: .*--totp-command",
        code=6,
    )


def test_secrets_are_not_told(network: Network, desktop: Start, target: str) -> None:
    peer = desktop()
    stderr = re.compile("(?!.*Lab-pass)(rdpeer: .*\n)*", re.DOTALL)
    network.near("connect", "-vv", "--stock", peer.id, target, stdin="bye\n", stderr=stderr, env=PASSWORD)


def test_a_trace_shows_the_login_and_no_secret(network: Network, desktop: Start, target: str) -> None:
    peer = desktop(second_factor=["123456"])
    arguments = ("--trace", "connect", "--relay", "--stock", "--totp-command", "echo 123456", peer.id, target)
    wanted = (
        "<- tcp .*: SignedId .*",
        "-> tcp .*: PublicKey .*",
        "<- tcp .*: Hash salt=.*",
        "-> tcp .*: LoginRequest .*password=<hidden, 32 bytes>.*",
        "<- tcp .*: LoginResponse error=.2FA Required.*",
        "-> tcp .*: Auth2FA code=<hidden.*",
        "<- tcp .*: LoginResponse peer_info=.*",
    )
    stderr = re.compile("(?!.*123456)(?!.*Lab-pass).*" + ".*".join(wanted) + ".*", re.DOTALL)
    assert network.near(*arguments, stdin="bye\n", stderr=stderr, env=PASSWORD) == "BYE\n"


def test_a_person_who_does_not_come_in_time(network: Network, desktop: Start, target: str) -> None:
    peer = desktop()
    arguments = ("--timeout", "2", "connect", "--stock", peer.id, target)
    connection = network.near.follow(*arguments, stdin=DEVNULL, start_new_session=True)
    told = "rdpeer: error: not done within the 2 s of --timeout"
    connection.end("rdpeer: waiting for somebody at the desktop to accept", told, code=8)


def test_not_by_websocket(rdpeer: Rdpeer) -> None:
    """Its raw bytes have no place there: said at once, with nobody asked."""
    stderr = "rdpeer: error: a stock desktop cannot be reached by WebSocket: only TCP can turn raw\n"
    arguments = ("--server", "ws://127.0.0.1:9", "connect", "--stock", "178000002", "localhost:22")
    rdpeer(*arguments, code=5, stderr=stderr)
