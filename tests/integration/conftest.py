"""The bundled server in the test's own process and loop."""

from __future__ import annotations

import gc
import itertools
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parties import Peers, maker

from rdpeer.server import Server, ServerOptions


@pytest.fixture
def server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., Server]]:
    """Makes servers on free loopback ports, each with a folder of its own unless told:

        async with server() as running:
            running.link.server, running.key

    Keywords are those of ServerOptions. At the end of the test, a logged error fails it, and so does a
    socket that nobody closed; a task that still runs is the test's own loop to tell.
    """
    caplog.set_level(logging.INFO, "rdpeer")
    folders = (tmp_path / f"server-{number}" for number in itertools.count())

    def make(**options: Any) -> Server:
        options.setdefault("data_dir", next(folders))
        return Server(ServerOptions(**{"port": 0, "bind": ("127.0.0.1",), **options}))

    yield make
    gc.collect()  # a socket that was dropped open warns now, and warnings are errors
    errors = [record.getMessage() for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
    assert not errors


@pytest.fixture
def peers(tmp_path: Path) -> Peers:
    """Makes peers, each with a home of its own; see parties.py."""
    return maker(tmp_path)
