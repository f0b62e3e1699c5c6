"""How a peer passes: by key, code or password, and how it does not."""

from __future__ import annotations

import re
from pathlib import Path
from subprocess import DEVNULL

import pytest
from network import ACCEPTED, Network, code_of
from program import Rdpeer

SECRET = {"RDPEER_PASSWORD": "correct horse"}
DENIED = "rdpeer: .*: denied, the code or password is wrong"
WRONG = re.compile("rdpeer: error: .*\n(rdpeer: hint: .*\n)?")


def password_file(folder: Path, text: str = "correct horse\n", mode: int = 0o600) -> str:
    path = folder / "password"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_a_code_from_the_environment(network: Network) -> None:
    listener = network.listen()
    code = code_of(listener).replace("-", " ").lower()
    assert network.connect(stdin="hello\n", env={"RDPEER_CODE": code}) == ""
    assert listener.end(ACCEPTED.format("", "code")) == b"hello\n"


def test_a_code_proves_a_peer_that_was_never_met(network: Network) -> None:
    network.forget()
    listener = network.listen()
    network.connect(stdin="hello\n", env={"RDPEER_CODE": code_of(listener)})
    assert listener.end(ACCEPTED.format("", "code")) == b"hello\n"
    assert " code " in (network.near.home / "known_peers").read_text()


def test_a_wrong_code_is_not_retried_and_the_listener_stays(network: Network) -> None:
    listener = network.listen()
    network.connect(code=6, stderr=WRONG, env={"RDPEER_CODE": "0000-0000"})
    listener.said(DENIED)
    network.connect(stdin="hello\n", env={"RDPEER_CODE": code_of(listener)})
    assert listener.end(ACCEPTED.format("", "code")) == b"hello\n"
    assert sum("denied" in line for line in listener.lines) == 1


def test_a_code_that_cannot_be_one(network: Network) -> None:
    stderr = re.compile("rdpeer: error: RDPEER_CODE: .*\n")
    network.connect(code=2, stderr=stderr, env={"RDPEER_CODE": "short"})


def test_without_a_terminal_nobody_is_asked(network: Network) -> None:
    network.listen()
    connection = network.connecting(stdin=DEVNULL, start_new_session=True)
    error = "rdpeer: error: the peer asks for its one-time code"
    hint = "rdpeer: hint: run it on a terminal to be asked for the code, or set RDPEER_CODE"
    assert connection.end(error, hint, code=6) == b""


@pytest.mark.parametrize(("near", "far"), [("file", "variable"), ("variable", "file")])
def test_a_password(network: Network, tmp_path: Path, near: str, far: str) -> None:
    arguments = {"file": ["--password-file", password_file(tmp_path)], "variable": []}
    environment = {"file": {}, "variable": SECRET}
    listener = network.listen(*arguments[far], env=environment[far])
    assert not any(line.startswith("code: ") for line in listener.lines)
    network.connect(*arguments[near], stdin="hello\n", env=environment[near])
    assert listener.end(ACCEPTED.format("", "password")) == b"hello\n"


def test_a_wrong_password(network: Network) -> None:
    listener = network.listen(env=SECRET)
    network.connect(code=6, stderr=WRONG, env={"RDPEER_PASSWORD": "correct donkey"})
    listener.said(DENIED)


@pytest.mark.parametrize("command", [["listen"], ["connect", "612345678"]])
@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ("correct horse\n", 0o644, "others may read {}"),
        ("\n", 0o600, "the first line of {} is empty"),
        (None, 0, ".*{}.*"),
    ],
)
def test_password_files_that_are_refused(
    network: Network, tmp_path: Path, command: list[str], text: str | None, mode: int, told: str
) -> None:
    path = password_file(tmp_path, text, mode) if text else str(tmp_path / "missing")
    stderr = re.compile(f"rdpeer: error: {told.format(re.escape(path))}\n(rdpeer: hint: .*\n)?")
    network.near(*command, "--password-file", path, code=2, stderr=stderr)


def test_an_authorized_key(network: Network) -> None:
    network.authorize()
    listener = network.listen()
    network.connect(stdin="hello\n")
    assert listener.end(ACCEPTED.format("", "key")) == b"hello\n"


def test_a_key_that_is_not_authorized(network: Network, rdpeer: Rdpeer) -> None:
    network.authorize()
    listener = network.listen("--exec", "cat")
    address = f"{network.peer}@{network.server.link.removeprefix('rdpeer://')}"
    assert rdpeer("connect", address, code=6, stderr=WRONG) == ""
    listener.said("rdpeer: .*: denied, its key is not authorized")
    assert network.connect(stdin="hello\n") == "hello\n"


def test_a_code_beside_an_authorized_key(network: Network, rdpeer: Rdpeer) -> None:
    network.authorize()
    listener = network.listen()
    address = f"{network.peer}@{network.server.link.removeprefix('rdpeer://')}"
    rdpeer("connect", address, stdin="hello\n", env={"RDPEER_CODE": code_of(listener)})
    assert listener.end(ACCEPTED.format("", "code")) == b"hello\n"


def test_a_removed_key_counts_at_once(network: Network) -> None:
    network.authorize()
    listener = network.listen("--exec", "cat")
    assert network.connect(stdin="hello\n") == "hello\n"
    (network.far.home / "authorized_peers").write_text("# nobody\n")
    network.connect(code=6, stderr=WRONG)
    listener.said("rdpeer: .*: denied, its key is not authorized")


def test_authorized_peers_that_others_may_write(network: Network) -> None:
    network.authorize()
    path = network.far.home / "authorized_peers"
    path.chmod(0o666)
    stderr = f"rdpeer: error: others may write {path}\nrdpeer: hint: chmod go-w {path}\n"
    network.far("listen", "--exec", "cat", code=2, stderr=stderr)


def test_a_staying_listener_needs_a_way_in(network: Network) -> None:
    stderr = re.compile(
        "rdpeer: error: nobody could connect: no way in was chosen\nrdpeer: hint: .*--open.*\n"
    )
    network.far("listen", "--exec", "cat", code=2, stderr=stderr)


def test_a_secret_that_the_peer_does_not_ask_for(network: Network) -> None:
    """A stranger in the peer's place would claim to be open."""
    network.forget()
    network.listen("--open")
    stderr = re.compile("rdpeer: error: the peer does not ask for the password, .*\nrdpeer: hint: .*\n")
    network.connect(code=6, stderr=stderr, env=SECRET)


def test_a_known_peer_may_do_without_the_secret(network: Network) -> None:
    listener = network.listen("--open")
    network.connect(stdin="hello\n", env=SECRET)
    assert listener.end(ACCEPTED.format("", "open")) == b"hello\n"


def test_secrets_are_not_told(network: Network) -> None:
    listener = network.listen(env=SECRET)
    stderr = re.compile("(?!.*horse)(rdpeer: .*\n)*", re.DOTALL)
    network.connect("-vv", stdin="hello\n", stderr=stderr, env=SECRET)
    listener.end(ACCEPTED.format("", "password"))
    assert "horse" not in "".join(listener.lines)
