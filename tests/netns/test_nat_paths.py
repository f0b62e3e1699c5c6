"""Real NATs of the Linux kernel: which pairs go direct and which relay, as docs/PATHS.md has it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import DEVNULL

import pytest
from internet import CONE, SYMMETRIC, Host, Internet
from network import INVITATION
from program import Rdpeer
from servers import SERVERS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PATHS, PROTOCOL = ROOT / "docs" / "PATHS.md", ROOT / "docs" / "PROTOCOL.md"
STOCK_INITIATOR = ROOT / "tests" / "stock_initiator.py"
SERVER, SECOND = "198.51.100.1", "198.51.100.2"
MASQUERADES = {"cone": CONE, "symmetric": SYMMETRIC}


def rows(heading: str, document: Path = PATHS) -> list[list[str]]:
    """The table below the heading that begins so, row by row, without its head."""
    section = document.read_text().partition(f"## {heading}")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


@dataclass
class World:
    """A server, and peers around it. ``listeners``: by host, the ID of whom listens there."""

    internet: Internet
    folder: Path
    key: str
    programs: list[Rdpeer] = field(default_factory=list)
    places: dict[str, Host] = field(default_factory=dict)
    listeners: dict[str, str] = field(default_factory=dict)

    def place(self, kind: str, role: str) -> Host:
        """The host of this kind for those who connect, or for those who listen; behind a NAT of its own."""
        name = f"{kind} {role}"
        if name not in self.places:
            address = f"198.51.100.{10 + len(self.places)}"
            nat = MASQUERADES.get(kind)
            net = self.internet
            self.places[name] = net.site(address, nat).host() if nat else net.host(address)
        return self.places[name]

    def peer(self, host: Host, server: str = SERVER) -> Rdpeer:
        """A fresh one."""
        program = Rdpeer(self.folder / f"peer-{len(self.programs)}", within=host.within)
        program.folder.mkdir()
        program("config", "import", f"rdpeer://{server}?key={self.key}")
        self.programs.append(program)
        return program

    def listener(self, host: Host) -> str:
        """The ID of the one that listens there, and echoes."""
        if host.space.name not in self.listeners:
            program = self.peer(host)
            listening = program.follow("listen", "-v", "--open", "--exec", "cat", stdin=DEVNULL)
            listening.said(INVITATION)
            listening.said("rdpeer: the NAT in front of us: (open|cone|symmetric)")
            self.listeners[host.space.name] = program("id").strip()
        return self.listeners[host.space.name]

    def path(self, near: Host, far: Host, *options: str, server: str = SERVER) -> str:
        """``direct`` or ``relay``: what a fresh peer's connection takes."""
        told = self.peer(near, server).follow("connect", self.listener(far), "-v", *options)
        found = told.said("rdpeer: path: (direct|relay) .*")[1]
        assert told.process.communicate(b"through it", timeout=50)[0] == b"through it"
        return found


@pytest.fixture(scope="module", params=SERVERS)
def world(
    request: pytest.FixtureRequest, internet: Internet, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    host = internet.host(SERVER)
    host.add_address(SECOND)
    with ExitStack() as cleanup:
        cleanup.callback(internet.clear)
        world = World(internet, folder, request.param(host, folder, cleanup))
        yield world
        for program in world.programs:
            program.end()


@pytest.mark.parametrize(("near", "far", "path"), [row[:3] for row in rows("Hosts and NATs")])
def test_which_pairs_go_direct(world: World, near: str, far: str, path: str) -> None:
    assert world.path(world.place(near, "connecting"), world.place(far, "listening")) == path


def stock_rows() -> Iterator[tuple[str, str, str]]:
    """docs/PROTOCOL.md 2.7, the column of a stock initiator: each pair, and whether it goes direct."""
    for pairs, _, stock, _ in rows("2.7 A better TCP punch", PROTOCOL):
        for pair in pairs.split(";"):
            near, far = pair.strip().split(", ")
            yield near, far, "direct" if "yes" in stock else "not"


@pytest.mark.parametrize(("near", "far", "path"), list(stock_rows()))
def test_a_stock_initiator(world: World, near: str, far: str, path: str) -> None:
    host, peer = world.place(near, "connecting"), world.listener(world.place(far, "listening"))
    command = (*host.within, sys.executable, str(STOCK_INITIATOR), SERVER, world.key, peer)
    found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=50).stdout.strip()
    assert (found == "direct") == (path == "direct"), found


def behind_one(masquerade: str) -> Callable[[World], str]:
    def path(world: World) -> str:
        site = world.internet.site(f"198.51.100.{100 + len(masquerade)}", masquerade)
        return world.path(site.host(), site.host())

    return path


def asked_for_the_relay(world: World) -> str:
    return world.path(world.place("open", "connecting"), world.place("open", "listening"), "--relay")


def without_udp(world: World) -> str:
    near = world.internet.host("198.51.100.90")
    near.block_udp()
    return world.path(near, world.place("cone", "listening"))


def at_another_address(world: World) -> str:
    near, far = world.place("cone", "connecting"), world.place("cone", "listening")
    return world.path(near, far, server=SECOND)


CIRCUMSTANCES = {
    "both behind one cone": behind_one(CONE),
    "both behind one symmetric NAT": behind_one(SYMMETRIC),
    "both open, `--relay`": asked_for_the_relay,
    "no UDP where the connecting one is": without_udp,
    "the two reach the server at different addresses": at_another_address,
}


@pytest.mark.parametrize(("what", "path"), rows("Circumstances"))
def test_circumstances(world: World, what: str, path: str) -> None:
    assert CIRCUMSTANCES[what](world) == path


def test_no_circumstance_is_missing() -> None:
    assert {what for what, _ in rows("Circumstances")} == set(CIRCUMSTANCES)


def test_the_matrix_is_whole() -> None:
    kinds = ("open", "cone", "symmetric")
    assert [(near, far) for near, far, *_ in rows("Hosts and NATs")] == [(a, b) for a in kinds for b in kinds]
