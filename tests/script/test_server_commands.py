"""``rdpeer server status`` and the others, as an operator types them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from subprocess import DEVNULL
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from program import Rdpeer

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Unix sockets")

KEY = re.compile(r"[A-Za-z0-9+/]{43}=\n")


@pytest.fixture
def operator(rdpeer: Rdpeer) -> Iterator[Rdpeer]:
    """Its server runs in the folder ``d``."""
    running = rdpeer.follow("server", "--data-dir", "d", "--port", "0", "--bind", "127.0.0.1", stdin=DEVNULL)
    running.said("rdpeer config import '(.*)'")
    yield rdpeer
    running.process.terminate()
    assert running.end() == b""


def test_an_operators_day(operator: Rdpeer) -> None:
    def server(*args: str, **run: object) -> str:
        return operator("server", "--data-dir", "d", *args, **run)  # type: ignore[arg-type]

    assert "peers\t0 known, 0 online, 0 waiting\n" in server("status")
    status = json.loads(server("status", "--json"))
    assert (status["peers"], status["bind"]) == (0, ["127.0.0.1"])
    (operator.folder / "d" / "blacklist.txt").write_text("192.0.2.1\n")
    server("reload")
    assert "limits\t32 Mb/s blacklisted\n" in server("status")
    assert server("check").count(": ok\n") == 6
    assert server("peers") == server("peers", "--online", "--json") == server("relays") == ""
    server("block", "192.0.2.1/24")
    assert server("blocked") == "192.0.2.0/24\toperator\n"
    server("unblock", "192.0.2.0/24")
    server("block", "192.0.2.0/33", code=2)
    server("unblock", "192.0.2.0/24", code=2, stderr="rdpeer: error: 192.0.2.0/24 is not blocked\n")
    for command in ("approve", "remove"):
        server(command, "612345678", code=2)
    server("reload")
    first = server("key", "show")
    second = server("key", "rotate")
    assert KEY.fullmatch(first)
    assert server("key", "show") == second != first
    assert server("key", "rotate", "--now") == server("key", "show")
    server("key", "rotate", "--now", "--days", "1", code=2)
    server("backup", "copy")
    server("backup", "copy", code=2)
    assert {path.name for path in (operator.folder / "copy").iterdir()} >= {"id_ed25519", "peers.sqlite3"}


def test_without_a_server(rdpeer: Rdpeer) -> None:
    nobody = f"rdpeer: error: no server runs with {rdpeer.folder}/d as its data folder\n"
    (rdpeer.folder / "d").mkdir()
    data = ("server", "--data-dir", str(rdpeer.folder / "d"))
    for command in (["status"], ["peers"], ["relays"], ["block", "1.2.3.4"], ["reload"], ["check"]):
        rdpeer(*data, *command, code=2, stderr=nobody)
    rdpeer(*data, "key", "show", code=2)
    made = rdpeer(*data, "key", "rotate")
    assert rdpeer(*data, "key", "show") == made
    rdpeer(*data, "backup", "copy")


def test_another_servers_ports_are_checked(rdpeer: Rdpeer) -> None:
    told = rdpeer("server", "check", "127.0.0.1:2", "--json", code=3)
    assert [json.loads(line)["ok"] for line in told.splitlines()] == [False] * 6
    for address in ("a b", "127.0.0.1:1", "127.0.0.1:65533"):
        rdpeer("server", "check", address, code=2)
