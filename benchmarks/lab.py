"""What the benchmarks run: rdpeer as its users start it, and what they would take instead.

Everything listens on loopback, on free ports, in a temporary folder; nothing is
left behind. A contender whose program is not installed raises Missing. Popen's
overloads do not take options by name from a dict, hence the ignores beside it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

RDPEER = (sys.executable, "-m", "rdpeer")
READY_WITHIN = 20.0


class Missing(Exception):
    """A program that a contender needs is not installed; the text names it."""


def program(name: str) -> str:
    """The path of ``name``: beside this interpreter, in PATH, or where Debian puts daemons."""
    places = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""), "/usr/sbin"))
    path = shutil.which(name, path=places)
    if path is None:
        raise Missing(name)
    return path


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rdpeer-bench-") as path:
        yield Path(path)


def wait_for(what: str, ready: Callable[[], bool]) -> None:
    end = time.monotonic() + READY_WITHIN
    while not ready():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} was not ready within {READY_WITHIN:g} s")
        time.sleep(0.01)  # children tell by a file or a port, on which nobody can block


@contextlib.contextmanager
def running(*argv: str, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A child for as long as the block lasts; killed at its end."""
    with subprocess.Popen(argv, **options) as child:  # type: ignore[call-overload]
        try:
            yield child
        finally:
            child.kill()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
        return True
    return False


@dataclass(frozen=True)
class Network:
    """A bundled server and two peers with homes of their own."""

    root: Path
    link: str

    def environment(self, peer: str) -> dict[str, str]:
        """Compiled code is cached, as in any installation, whatever this shell says."""
        mine = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return mine | {"RDPEER_HOME": str(self.root / peer)}

    def listen(
        self, *arguments: str, **options: object
    ) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        return running(*RDPEER, "listen", *arguments, env=self.environment("far"), **options)

    def far_id(self) -> str:
        return self._run("far", "id")

    def connect(self, *arguments: str, **options: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen((*RDPEER, "connect", *arguments), env=self.environment("near"), **options)  # type: ignore[call-overload]

    def _run(self, peer: str, *arguments: str) -> str:
        done = subprocess.run(
            (*RDPEER, *arguments), env=self.environment(peer), check=True, capture_output=True
        )
        return done.stdout.decode().strip()


@contextlib.contextmanager
def network() -> Iterator[Network]:
    with folder() as root:
        ready = root / "server"
        serve = (*RDPEER, "server", "--data-dir", str(root / "data"), "--port", "0", "--bind", "127.0.0.1")
        with running(*serve, "--ready-file", str(ready), stderr=subprocess.DEVNULL):
            wait_for("rdpeer server", ready.exists)
            net = Network(root, ready.read_text().strip())
            for peer in ("near", "far"):
                net._run(peer, "config", "import", net.link)
            yield net


@contextlib.contextmanager
def ssh_server() -> Iterator[tuple[str, ...]]:
    """An sshd of this user; the block gets the ssh command line up to its options' end."""
    sshd, ssh, keygen = program("sshd"), program("ssh"), program("ssh-keygen")
    with folder() as root:
        for name in ("host", "user"):
            subprocess.run((keygen, "-q", "-t", "ed25519", "-N", "", "-f", str(root / name)), check=True)
        shutil.copy(root / "user.pub", root / "authorized")
        port = free_port()
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # where root's sshd insists on confining its child
        config = (
            "-o",
            f"AuthorizedKeysFile={root / 'authorized'}",
            "-o",
            "StrictModes=no",
            "-o",
            "PidFile=none",
        )
        with running(
            sshd,
            "-D",
            "-f",
            "/dev/null",
            "-p",
            str(port),
            "-h",
            str(root / "host"),
            *config,
            "-o",
            "ListenAddress=127.0.0.1",
            stderr=subprocess.DEVNULL,
        ):
            wait_for("sshd", lambda: accepts(port))
            yield (
                ssh,
                "-F",
                "/dev/null",
                "-p",
                str(port),
                "-i",
                str(root / "user"),
                "-o",
                "BatchMode=yes",
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
                "-o",
                "LogLevel=ERROR",
            )
