"""How long until the first payload byte is back, from the start of the command."""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks import lab

ROUNDS = 10


def rdpeer() -> float:
    """Seconds from starting ``connect`` to its first byte echoed by ``listen --exec cat``, the best."""
    with lab.network() as net:
        ready = net.root / "listening"
        with net.listen("--open", "--exec", "cat", "--ready-file", str(ready), stderr=subprocess.DEVNULL):
            lab.wait_for("rdpeer listen", ready.exists)
            peer = net.far_id()
            return min(_echo(net, peer) for _ in range(ROUNDS))


def _echo(net: lab.Network, peer: str) -> float:
    start = time.perf_counter()
    with net.connect(peer, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as near:
        assert near.stdin is not None
        assert near.stdout is not None
        near.stdin.write(b"!")
        near.stdin.flush()
        assert near.stdout.read(1) == b"!"
        return time.perf_counter() - start


def imports() -> float:
    """Seconds that ``python -c 'import click, nacl.bindings'`` takes; best of ROUNDS."""
    return min(_imports() for _ in range(ROUNDS))


def _imports() -> float:
    start = time.perf_counter()
    subprocess.run((sys.executable, "-c", "import click, nacl.bindings"), check=True)
    return time.perf_counter() - start
