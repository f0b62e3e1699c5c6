"""A listener whose machine moves to another network: offline for a moment, then back at its new place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL

import pytest
from internet import PUBLIC, Host, Internet
from network import INVITATION, ONLINE
from program import Rdpeer
from servers import SERVERS

pytestmark = pytest.mark.slow

SERVER, NEAR, FAR, ELSEWHERE = (f"198.51.100.{number}" for number in (1, 2, 3, 4))
OFFLINE = r"rdpeer: \d+ is offline at .*: {}"


@dataclass
class World:
    """``far`` listens on the machine ``host``; ``near`` connects."""

    near: Rdpeer
    far: Rdpeer
    host: Host

    def ip(self, command: str) -> None:
        """On far's machine."""
        self.host.space.ip(*command.split())


@pytest.fixture(params=SERVERS)
def world(request: pytest.FixtureRequest, internet: Internet, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as cleanup:
        cleanup.callback(internet.clear)
        key = request.param(internet.host(SERVER), tmp_path, cleanup)
        hosts = {"near": internet.host(NEAR), "far": internet.host(FAR)}
        programs = []
        for name, host in hosts.items():
            (tmp_path / name).mkdir()
            programs.append(Rdpeer(tmp_path / name, within=host.within))
            cleanup.callback(programs[-1].end)
            programs[-1]("config", "import", f"rdpeer://{SERVER}?key={key}")
        yield World(*programs, hosts["far"])


def another_address(world: World) -> None:
    world.ip("address flush dev wan")
    world.ip(f"address add {ELSEWHERE}/{PUBLIC} dev wan")


def another_route(world: World) -> None:
    """The old address is still there."""
    world.ip(f"address add {ELSEWHERE}/{PUBLIC} dev wan")
    world.ip(f"route replace {SERVER}/32 dev wan src {ELSEWHERE}")


def nothing_for_a_while(world: World) -> None:
    world.ip("link set wan down")


@pytest.mark.parametrize("move", [another_address, another_route])
def test_back_at_once(world: World, move: Callable[[World], None]) -> None:
    listener = world.far.follow("listen", "--open", "--exec", "cat", stdin=DEVNULL)
    listener.said(INVITATION)
    peer = world.far("id").strip()
    move(world)
    listener.said(OFFLINE.format("the way there has changed"))
    listener.said(ONLINE)
    told = world.near.follow("connect", "-v", "--direct", peer)
    told.said(f"rdpeer: path: direct {ELSEWHERE}:.*")
    assert told.process.communicate(b"hello", timeout=50)[0] == b"hello"


def test_back_after_a_time_without_any_network(world: World) -> None:
    listener = world.far.follow("listen", "--open", "--exec", "cat", stdin=DEVNULL)
    listener.said(INVITATION)
    peer = world.far("id").strip()
    nothing_for_a_while(world)
    listener.said(OFFLINE.format("cannot.*|.*[Uu]nreachable.*"))
    world.ip("link set wan up")
    another_address(world)
    listener.said(ONLINE)
    told = world.near.follow("connect", "-v", peer)
    told.said("rdpeer: path: .*")
    assert told.process.communicate(b"hello", timeout=50)[0] == b"hello"
