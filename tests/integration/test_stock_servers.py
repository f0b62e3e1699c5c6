"""Against stock hbbs and hbbr: collected only where RDPEER_STOCK names the folder with the two programs.

They tell peers apart by IP address, and take whoever comes over loopback for an administrator. So the
servers and each of two machines have a network namespace of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL

import pytest
from internet import Host, Internet
from network import INVITATION, ONLINE
from program import Rdpeer, Running
from stock import Stock

SERVER = "10.77.0.1"
MACHINES = {"server": SERVER, "near": "10.77.0.2", "far": "10.77.0.3"}


@pytest.fixture(scope="module")
def machines(internet: Internet) -> dict[str, Host]:
    """Beside each other on one network."""
    return {name: internet.host(address) for name, address in MACHINES.items()}


@dataclass
class Network:
    """``far`` listens, ``near`` connects, and so does ``beside``, on far's machine. ``peer`` is far's ID."""

    hbbs: Stock
    near: Rdpeer
    far: Rdpeer
    beside: Rdpeer
    peer: str

    def listen(self, *args: str) -> Running:
        listener = self.far.follow("listen", *args, stdin=DEVNULL)
        listener.said(INVITATION)
        return listener


@pytest.fixture
def stock(machines: dict[str, Host], tmp_path: Path) -> Iterator[Network]:
    with ExitStack() as cleanup:
        programs = []
        for name, machine in (("near", "near"), ("far", "far"), ("beside", "far")):
            (tmp_path / name).mkdir()
            programs.append(Rdpeer(tmp_path / name, machines[machine].within))
            cleanup.callback(programs[-1].end)
        hbbs = Stock("hbbs", machines["server"], tmp_path)
        cleanup.callback(hbbs.kill)
        hbbr = Stock("hbbr", machines["server"], tmp_path)
        cleanup.callback(hbbr.kill)
        key = (tmp_path / "id_ed25519.pub").read_text()
        for program in programs:
            program("config", "import", f"rdpeer://{SERVER}?key={key}")
        near, far, beside = programs
        yield Network(hbbs, near, far, beside, far("id").strip())


def path(text: str) -> re.Pattern[str]:
    """What a first ``connect -v`` over this path says, and nothing else."""
    return re.compile(f"(?:rdpeer: .*\n)*rdpeer: path: {text}\nrdpeer: .* only the server vouches for it\n")


OVER_HBBR = path(f"relay {SERVER}:21117")
DIRECT = path(f"direct {MACHINES['far']}:[0-9]+")


def test_a_registration(stock: Network) -> None:
    assert stock.near("online", stock.peer, code=4) == f"{stock.peer} offline\n"
    stock.far("register", "--once")
    assert stock.near("online", stock.peer) == f"{stock.peer} online\n"
    stock.far("register", "--once")  # with the key confirmed


@pytest.mark.parametrize(
    ("machine", "option", "said"),
    [
        ("near", [], DIRECT),
        ("beside", [], DIRECT),
        ("near", ["--relay"], OVER_HBBR),
        ("beside", ["--relay"], OVER_HBBR),
    ],
    ids=["another address", "same address", "relay asked for", "relay asked for at the same address"],
)
def test_a_pipe(stock: Network, machine: str, option: list[str], said: re.Pattern[str]) -> None:
    stock.listen("--exec", "wc -c", "--open")
    text = "x" * 3_000_000
    program: Rdpeer = getattr(stock, machine)
    assert program("connect", "-v", stock.peer, *option, stdin=text, stderr=said).strip() == str(len(text))


def test_another_key_than_the_servers(stock: Network) -> None:
    stock.listen("--exec", "cat", "--open")
    told = re.compile(f"rdpeer: error: {SERVER}:21116 has another key than .*\nrdpeer: hint: .*\n")
    stock.near("connect", "--key", "A" * 43 + "=", stock.peer, code=7, stderr=told)


def test_online_again_after_a_restart(stock: Network) -> None:
    listener = stock.listen("--exec", "cat", "--open")
    stock.hbbs.kill()
    listener.said(r"rdpeer: \d+ is offline at .*")
    stock.hbbs.start()
    listener.said(ONLINE)
    assert stock.near("connect", "-v", stock.peer, stdin="hello", stderr=DIRECT) == "hello"
