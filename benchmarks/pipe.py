"""Bulk through the pipe: one source, one sink that throws everything away, each contender between."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import lab

_DISCARD = """
import socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
stream, _ = listener.accept()
room, total = bytearray(1 << 20), 0
while count := stream.recv_into(room):
    total += count
print(total, flush=True)
"""


def _zeros(size: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(("head", "-c", str(size), "/dev/zero"), stdout=subprocess.PIPE)


def _finish(*children: subprocess.Popen[bytes]) -> None:
    for child in children:
        if child.wait():
            raise RuntimeError(f"{child.args} exited {child.returncode}")


def rdpeer(path: str) -> Callable[[int], float]:
    """``path``: ``--direct`` or ``--relay``. Seconds for ``size`` bytes, start-up of connect included."""

    def run(size: int) -> float:
        with lab.network() as net:
            ready = net.root / "listening"
            with net.listen(
                "--open",
                "--ready-file",
                str(ready),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            ) as far:
                lab.wait_for("rdpeer listen", ready.exists)
                start = time.perf_counter()
                source = _zeros(size)
                near = net.connect(path, net.far_id(), stdin=source.stdout, stderr=subprocess.DEVNULL)
                _finish(source, near, far)
                return time.perf_counter() - start

    return run


def ssh(size: int) -> float:
    """``ssh -W`` with its default cipher, to a TCP sink."""
    with (
        lab.ssh_server() as command,
        lab.running(sys.executable, "-c", _DISCARD, stdout=subprocess.PIPE) as sink,
    ):
        assert sink.stdout is not None
        port = int(sink.stdout.readline())
        start = time.perf_counter()
        source = _zeros(size)
        near = subprocess.Popen((*command, "-W", f"127.0.0.1:{port}", "127.0.0.1"), stdin=source.stdout)
        _finish(source, near, sink)
        elapsed = time.perf_counter() - start
        assert int(sink.stdout.readline()) == size
        return elapsed


def wormhole(size: int) -> float:
    """magic-wormhole sending a file through a mailbox server and transit relay of its own."""
    lab.program("wormhole")
    with lab.folder() as root:
        mailbox, transit = lab.free_port(), lab.free_port()
        twist = lab.program("twist")
        home = os.environ | {"HOME": str(root)}
        (root / "file").touch()
        os.truncate(root / "file", size)
        serve = {"cwd": root, "env": home, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with (
            lab.running(twist, "wormhole-mailbox", f"--port=tcp:{mailbox}:interface=127.0.0.1", **serve),
            lab.running(twist, "transitrelay", f"--port=tcp:{transit}:interface=127.0.0.1", **serve),
        ):
            lab.wait_for("the mailbox server", lambda: lab.accepts(mailbox))
            lab.wait_for("the transit relay", lambda: lab.accepts(transit))
            return _send_file(root, home, mailbox, transit)


def _send_file(root: Path, home: dict[str, str], mailbox: int, transit: int) -> float:
    base = (
        lab.program("wormhole"),
        f"--relay-url=ws://127.0.0.1:{mailbox}/v1",
        f"--transit-helper=tcp:127.0.0.1:{transit}",
    )
    send = ("send", "--hide-progress", "--no-listen", "--code=1-bench-mark", "file")
    receive = ("receive", "--hide-progress", "--no-listen", "--accept-file", "-o", "copy", "1-bench-mark")
    quiet = {"env": home, "cwd": root, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    start = time.perf_counter()
    near = subprocess.Popen((*base, *send), **quiet)  # type: ignore[call-overload]
    far = subprocess.Popen((*base, *receive), **quiet)  # type: ignore[call-overload]
    _finish(near, far)
    return time.perf_counter() - start
