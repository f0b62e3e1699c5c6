"""``rdpeer listen --allow-stock``: what its options take, and our own stock session to it."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from network import Network
from program import Rdpeer

PASSWORD = "Lab-pass-1"


def password_file(folder: Path, text: str = f"{PASSWORD}\n", mode: int = 0o600) -> str:
    path = folder / "stock password"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


@pytest.fixture
def target() -> Iterator[str]:
    """Says hello to one who comes, and closes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"hello\n")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"


def test_our_own_stock_session(network: Network, tmp_path: Path, target: str) -> None:
    network.forget()
    listener = network.listen(
        "--allow-stock", "--stock-password-file", password_file(tmp_path), "--to", target
    )
    stderr = re.compile("rdpeer: the key .* vouches for it\nrdpeer: warning: it is a stock desktop.*\n")
    env = {"RDPEER_PASSWORD": PASSWORD}
    assert network.connect("--stock", target, stderr=stderr, env=env) == "hello\n"
    listener.said(r"rdpeer: \d+ \(stock\), .*: accepted by stock password")


def test_rdpeers_are_refused_where_it_is_the_only_way_in(
    network: Network, tmp_path: Path, target: str
) -> None:
    listener = network.listen(
        "--allow-stock", "--stock-password-file", password_file(tmp_path), "--to", target
    )
    stderr = re.compile("rdpeer: error: the peer does not authorize our key\n(rdpeer: hint: .*\n)?")
    network.connect(code=6, stderr=stderr)
    listener.said("rdpeer: .*: denied, its key is not authorized")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--allow-stock", "--to", "localhost:22"], "--allow-stock needs --stock-password-file"),
        (["--allow-stock", "--stock-password-file", "{}"], "--allow-stock needs --to: .*"),
        (["--allow-stock", "--stock-password-file", "{}", "--exec", "cat"], "--allow-stock needs --to: .*"),
        (
            ["--allow-stock", "--stock-password-file", "{}", "--allow", "localhost:22"],
            "--allow-stock needs --to: .*",
        ),
        (
            ["--allow-stock", "--stock-password-file", "{}", "--to", "localhost:22", "--open"],
            "--allow-stock and --open exclude each other",
        ),
        (
            ["--stock-password-file", "{}", "--to", "localhost:22"],
            "--stock-password-file needs --allow-stock",
        ),
        (
            ["--allow-stock", "--stock-password-file", "", "--to", "localhost:22"],
            "--stock-password-file: no file is named",
        ),
        (
            ["--allow-stock", "--stock-password-file", "{}", "--password-file", "{}", "--to", "localhost:22"],
            "desktops need a password of their own: .*",
        ),
        (
            ["--allow-stock", "--stock-password-file", "{}", "--to", "localhost"],
            "no port in 'localhost'",
        ),
    ],
)
def test_usage(rdpeer: Rdpeer, tmp_path: Path, arguments: list[str], told: str) -> None:
    path = password_file(tmp_path)
    stderr = re.compile(f"rdpeer: error: {told}\n(rdpeer: hint: .*\n)?")
    arguments = [argument.format(path) for argument in arguments]
    rdpeer("--server", "127.0.0.1:9", "listen", *arguments, code=2, stderr=stderr)


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [("secret\n", 0o644, "others may read .*"), ("\n", 0o600, "the first line of .* is empty")],
)
def test_password_files_that_are_refused(
    rdpeer: Rdpeer, tmp_path: Path, text: str, mode: int, told: str
) -> None:
    path = password_file(tmp_path, text, mode)
    stderr = re.compile(f"rdpeer: error: {told}\n(rdpeer: hint: .*\n)?")
    arguments = ("--allow-stock", "--stock-password-file", path, "--to", "localhost:22")
    rdpeer("--server", "127.0.0.1:9", "listen", *arguments, code=2, stderr=stderr)
