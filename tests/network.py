"""A network to connect over: the bundled server and two peers, each a process with a home of its own.

A plugin: tests/conftest.py loads it. The server of ``network`` is one for the whole run, and so are the
two identities; each test has its own copy of both homes. That of ``own_network`` is the test's, to kill.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL
from typing import TYPE_CHECKING, Any

import pytest
from program import Rdpeer, Running

if TYPE_CHECKING:
    from terminal import Terminal

ONLINE = r"rdpeer: \d+ is online at .*"
INVITATION = "rdpeer connect '.*' --peer-key SHA256:.*"
ACCEPTED = "rdpeer: {}.*: accepted by {}"


class Server:
    """``rdpeer server`` on 127.0.0.1 and free ports; ``link`` is what peers are set up with."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._program = Rdpeer(folder)
        self.start("0")

    def start(self, port: str) -> None:
        self.running = self._program.follow(
            "server", "--port", port, "--bind", "127.0.0.1", "--data-dir", "data", stdin=DEVNULL
        )
        self.link = self.running.said("rdpeer config import '(.*)'")[1]

    @property
    def port(self) -> int:
        return int(re.findall(r":(\d+)\?", self.link)[0])

    def remove(self, peer: str) -> None:
        """As its operator would: the ID is free again."""
        self._program("server", "--data-dir", "data", "remove", peer)

    def kill(self) -> None:
        """As a power cut would."""
        self.running.process.kill()
        self.running.process.wait()

    def restart(self) -> None:
        """On the same ports, with the same data."""
        self._program.end()
        self.start(str(self.port))

    def stop(self) -> None:
        """Whatever it had to say while it ran was an error."""
        if self.running.process.poll() is None:
            self.running.process.terminate()
            assert self.running.end() == b""
        self._program.end()


@dataclass
class Network:
    """``far`` listens, ``near`` connects; they have met once, so nothing is news. ``peer`` is far's ID."""

    server: Server
    near: Rdpeer
    far: Rdpeer
    peer: str

    @classmethod
    def of(cls, server: Server, folder: Path) -> Network:
        near, far = Rdpeer(folder / "near"), Rdpeer(folder / "far")
        for program in (near, far):
            program.folder.mkdir()
            program("config", "import", server.link)
        network = cls(server, near, far, far("id").strip())
        network.listen("--open")
        near("connect", network.peer, stderr=re.compile(".* only the server vouches for it\n"))
        far.end()
        return network

    def copy(self, folder: Path) -> Network:
        """The same peers, with homes in ``folder``."""
        near, far = Rdpeer(folder / "near"), Rdpeer(folder / "far")
        for copy, program in ((near, self.near), (far, self.far)):
            shutil.copytree(program.home, copy.home)
        return Network(self.server, near, far, self.peer)

    def forget(self) -> None:
        """They have never met."""
        (self.near.home / "known_peers").unlink()

    def authorize(self) -> None:
        """From now on near's key opens far."""
        line = self.near("id", "--authorized")
        path = self.far.home / "authorized_peers"
        path.write_text(line)
        path.chmod(0o600)

    def listen(self, *args: str, **popen: Any) -> Running:
        """far listens, and can be reached. Its stdin is empty unless told."""
        listener = self.far.follow("listen", *args, **({"stdin": DEVNULL} | popen))
        listener.said(INVITATION)
        return listener

    def connect(self, *args: str, **run: Any) -> str:
        """near connects to far, to the end: its stdout."""
        return self.near("connect", self.peer, *args, **run)

    def connecting(self, *args: str, **popen: Any) -> Running:
        """near connects to far."""
        return self.near.follow("connect", self.peer, *args, **popen)

    def end(self) -> None:
        for program in (self.near, self.far):
            program.end()


def code_of(listener: Running) -> str:
    """The one-time code that it has told."""
    return next(line.removeprefix("code: ") for line in listener.lines if line.startswith("code: "))


@pytest.fixture(scope="session")
def acquainted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    folder = tmp_path_factory.mktemp("network")
    server = Server(folder / "server")
    try:
        yield Network.of(server, folder)
    finally:
        server.stop()


@pytest.fixture
def network(acquainted: Network, tmp_path: Path) -> Iterator[Network]:
    network = acquainted.copy(tmp_path)
    yield network
    network.end()


@pytest.fixture
def own_network(tmp_path: Path) -> Iterator[Network]:
    server = Server(tmp_path / "server")
    try:
        network = Network.of(server, tmp_path)
        yield network
        network.end()
    finally:
        server.stop()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    pytest.importorskip("termios", reason="terminals are POSIX")
    from terminal import Terminal

    terminal = Terminal()
    yield terminal
    terminal.close()
