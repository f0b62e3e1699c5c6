"""The stock servers, where RDPEER_STOCK names the folder with the two programs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from internet import Host


class Stock:
    """``program``, hbbs or hbbr, run at ``host`` with its data in ``folder``, its options and variables."""

    def __init__(self, program: str, host: Host, folder: Path, *options: str, **environ: str) -> None:
        self._command = [*host.within, str(Path(os.environ["RDPEER_STOCK"]).resolve() / program), *options]
        self._folder = folder
        self._environ = {"PATH": os.environ["PATH"], **environ}  # not ours: KEY, for one, would configure it
        self.start()

    def start(self) -> None:
        """Returns when its ports are open."""
        self._process = subprocess.Popen(
            self._command,
            cwd=self._folder,
            env=self._environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert self._process.stdout
        said = []
        for line in self._process.stdout:
            if line.endswith(b"] Start\n"):
                return
            said.append(line)
        raise AssertionError(f"it does not start: {said}")

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()
