"""The servers that tests in network namespaces run against: ours, and stock's where RDPEER_STOCK has them."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from subprocess import DEVNULL

from internet import Host
from program import Rdpeer
from stock import Stock


def bundled(host: Host, folder: Path, cleanup: ExitStack, *options: str) -> str:
    """``rdpeer server`` at ``host``, until ``cleanup``: its key."""
    server = Rdpeer(folder, within=host.within)
    cleanup.callback(server.end)
    running = server.follow("server", *options, "--data-dir", "data", stdin=DEVNULL)
    return running.said(r"rdpeer config import '.*\?key=(.*)'")[1]


def stock(host: Host, folder: Path, cleanup: ExitStack) -> str:
    """hbbs and hbbr."""
    for program in ("hbbs", "hbbr"):
        cleanup.callback(Stock(program, host, folder).kill)
    return (folder / "id_ed25519.pub").read_text()


SERVERS = [bundled, stock] if "RDPEER_STOCK" in os.environ else [bundled]
