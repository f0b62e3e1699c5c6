"""``rdpeer connect`` and ``listen`` at a terminal: questions, and a person who has not pressed ^D."""

from __future__ import annotations

from subprocess import PIPE
from typing import TYPE_CHECKING

import pytest
from network import ACCEPTED, Network, code_of

if TYPE_CHECKING:
    from terminal import Terminal

OPEN = ACCEPTED.format("", "open")
PIPES = {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}
SECRET = {"RDPEER_PASSWORD": "correct horse"}


def test_the_code_is_asked_for(network: Network, terminal: Terminal) -> None:
    """On the terminal itself: stdin and stdout are the peer's."""
    listener = network.listen()
    connection = terminal.run(network.near, "connect", network.peer, **PIPES)
    terminal.shows("code: ")
    terminal.type(code_of(listener) + "\n")
    assert connection.end(stdin=b"hello\n") == b""
    assert listener.end(ACCEPTED.format("", "code")) == b"hello\n"
    terminal.shows(code_of(listener))


def test_a_slip_is_asked_for_again(network: Network, terminal: Terminal) -> None:
    """What cannot be a code is no guess."""
    listener = network.listen()
    connection = terminal.run(network.near, "connect", network.peer, **PIPES)
    terminal.shows("code: ")
    terminal.type("0000\n")
    connection.said("rdpeer: code: a code is eight letters and digits, as in 7K4M-2XQP")
    terminal.shows("code: ")
    terminal.type(code_of(listener) + "\n")
    assert connection.end(stdin=b"hello\n") == b""


def test_a_wrong_code_is_asked_for_once(network: Network, terminal: Terminal) -> None:
    network.listen()
    connection = terminal.run(network.near, "connect", network.peer, **PIPES)
    terminal.shows("code: ")
    terminal.type("0000-0000\n")
    connection.end("rdpeer: error: .*", "rdpeer: hint: .*", code=6)


def test_the_password_is_asked_for_and_not_shown(network: Network, terminal: Terminal) -> None:
    listener = network.listen(env=SECRET)
    connection = terminal.run(network.near, "connect", network.peer, **PIPES)
    terminal.shows("password: ")
    assert not terminal.echoes
    terminal.type("correct horse\n")
    assert connection.end(stdin=b"hello\n") == b""
    assert listener.end(ACCEPTED.format("", "password")) == b"hello\n"
    assert terminal.echoes
    terminal.type("~\n")
    assert "horse" not in terminal.shows("(?s).*~")[0]


@pytest.mark.parametrize("asked", ["code", "password"])
def test_interrupting_the_question(network: Network, terminal: Terminal, asked: str) -> None:
    network.listen(env=SECRET if asked == "password" else {})
    connection = terminal.run(network.near, "connect", network.peer, **PIPES)
    terminal.shows(f"{asked}: ")
    terminal.type("\x03")
    assert connection.end(code=130) == b""
    assert terminal.echoes


def test_giving_no_answer(network: Network, terminal: Terminal) -> None:
    network.listen()
    connection = terminal.run(network.near, "connect", network.peer, **PIPES)
    terminal.shows("code: ")
    terminal.type("\x04")
    connection.end("rdpeer: error: no code or password was given", code=6)


@pytest.mark.parametrize("answer", ["yes", "no"])
def test_ask_asks(network: Network, terminal: Terminal, answer: str) -> None:
    network.forget()
    listener = network.listen("--open")
    connection = terminal.run(network.near, "connect", "--pin", "ask", network.peer, **PIPES)
    terminal.shows(r"the key of \d+ is SHA256:\S+; only the server vouches for it. connect\? \(yes/no\) ")
    terminal.type(f"{answer}\n")
    if answer == "yes":
        assert connection.end(stdin=b"hello\n") == b""
        assert listener.end(OPEN) == b"hello\n"
    else:
        connection.end("rdpeer: error: SHA256:.* was not approved as the key of .*", code=7)
    assert (network.near.home / "known_peers").exists() == (answer == "yes")


def test_the_peers_end_ends_a_person_too(network: Network, terminal: Terminal) -> None:
    listener = network.listen("--open", stdin=PIPE)
    connection = terminal.run(network.near, "connect", network.peer)
    terminal.type("from near\n")
    assert listener.process.stdout.readline() == b"from near\n"
    assert listener.end(OPEN, stdin=b"from far\n") == b""
    terminal.shows("from far\r\n")
    connection.end()


def test_a_person_at_the_listener(network: Network, terminal: Terminal) -> None:
    listener = terminal.run(network.far, "listen", "--open", stderr=PIPE)
    listener.said("rdpeer connect '.*")
    assert network.connect(stdin="hello\n") == ""
    terminal.shows("hello\r\n")
    listener.end(OPEN)


def test_the_end_typed_by_a_person(network: Network, terminal: Terminal) -> None:
    """The listener's own direction stays open until then: its end would end the person's too."""
    listener = network.listen("--open", stdin=PIPE)
    connection = terminal.run(network.near, "connect", network.peer)
    listener.said(OPEN)
    terminal.type("hello\n\x04")
    assert listener.process.stdout
    assert listener.process.stdout.readline() == b"hello\n"
    assert listener.end() == b""
    connection.end()


def test_a_terminal_that_is_closed(network: Network, terminal: Terminal) -> None:
    listener = network.listen("--open", stdin=PIPE)
    connection = terminal.run(network.near, "connect", network.peer, stderr=PIPE)
    listener.said(OPEN)
    terminal.hang_up()
    connection.end(code=129)
    listener.end("rdpeer: error: .*", code=9)
