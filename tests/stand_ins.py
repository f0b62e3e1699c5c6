"""The stand-ins for stock desktops, each as a process of its own: at any machine that a test has."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from subprocess import PIPE
from typing import Any

FOLDER = Path(__file__).parent

UPPER = """
import socketserver, sys, threading
class Upper(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line.upper())
            if line == b"bye\\n":
                return
class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
with Server(("127.0.0.1", PORT), Upper) as server:
    print(server.server_address[1], flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()
"""


class StandIn:
    """A program of ours, run by ``within``."""

    def __init__(self, *arguments: str, within: Sequence[str] = ()) -> None:
        self.process = subprocess.Popen(
            [*within, sys.executable, *arguments],
            stdin=PIPE,
            stdout=PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(FOLDER)},
        )

    def says(self) -> str:
        """The next line."""
        assert self.process.stdout
        return self.process.stdout.readline().rstrip("\n")

    def said(self, line: str) -> None:
        """Reads up to ``line``."""
        while (heard := self.says()) != line:
            assert heard, f"it ended without {line!r}"

    def end(self) -> None:
        """It ends by itself when its stdin does."""
        self.process.communicate("", timeout=50)
        assert self.process.returncode == 0


class DesktopProcess(StandIn):
    """``tests/stock_desktop.py``, registered; ``options`` are those of its Desktop."""

    def __init__(self, host: str, port: int, key: str, within: Sequence[str] = (), **options: Any) -> None:
        self.id = f"178{secrets.randbelow(10**6):06}"
        said = {"server": host, "port": port, "key": key, "id": self.id, **options}
        super().__init__(str(FOLDER / "stock_desktop.py"), json.dumps(said), within=within)
        self.said("ready")

    def click(self, button: str) -> None:
        """As the person there."""
        assert self.process.stdin
        self.process.stdin.write(f"{button}\n")
        self.process.stdin.flush()


class UpperCase(StandIn):
    """A TCP service on loopback that says each line in upper case, and closes behind ``bye``."""

    def __init__(self, port: int = 0, within: Sequence[str] = ()) -> None:
        super().__init__("-c", UPPER.replace("PORT", str(port)), within=within)
        self.target = f"127.0.0.1:{self.says()}"


def tunnelled(
    host: str, key: str, peer: str, target: str, text: str, within: Sequence[str] = (), **options: Any
) -> tuple[str, str]:
    """What a stock desktop's tunnel to ``peer`` gives back for ``text``, and the path that it took."""
    said = {"server": [host, 21116], "key": key, "peer": peer, "target": target, **options}
    client = StandIn(str(FOLDER / "stock_client.py"), json.dumps(said), within=within)
    out, _ = client.process.communicate(text, timeout=50)
    assert client.process.returncode == 0
    path, _, back = out.partition("\n")
    return back, path
