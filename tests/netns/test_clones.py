"""Two machines with one identity, as after copying a disk: they take each other's registration away."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from subprocess import DEVNULL

import pytest
from internet import Internet
from network import INVITATION
from program import Rdpeer
from servers import SERVERS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

SERVER, MACHINES = "198.51.100.1", {"original": "198.51.100.2", "clone": "198.51.100.3"}


@pytest.fixture(params=SERVERS)
def machines(request: pytest.FixtureRequest, internet: Internet, tmp_path: Path) -> Iterator[list[Rdpeer]]:
    with ExitStack() as cleanup:
        cleanup.callback(internet.clear)
        key = request.param(internet.host(SERVER), tmp_path, cleanup)
        programs = []
        for name, address in MACHINES.items():
            (tmp_path / name).mkdir()
            programs.append(Rdpeer(tmp_path / name, within=internet.host(address).within))
            cleanup.callback(programs[-1].end)
        original, clone = programs
        original("config", "import", f"rdpeer://{SERVER}?key={key}")
        original("id")
        shutil.copytree(original.home, clone.home)
        yield programs


def test_each_of_them_notices(machines: list[Rdpeer]) -> None:
    """The listener by itself, in a while; the doctor by looking."""
    original, clone = machines
    listener = original.follow("listen", "--open", "--exec", "cat", stdin=DEVNULL)
    listener.said(INVITATION)
    told = clone("doctor")
    assert re.search("WARN  identity: another machine .*\n      give the other machine an identity", told)
    other = clone.follow("listen", "--open", "--exec", "cat", stdin=DEVNULL)
    listener.said("rdpeer: .* has lost our address 2 times in a row: does another machine use .*")
    other.process.terminate()
