"""Where TCP does not get through: UDP through real NATs, and IPv6, as docs/PATHS.md has it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from internet import Host, Internet
from servers import bundled
from test_nat_paths import SERVER, World, rows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(internet: Internet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    with ExitStack() as cleanup:
        cleanup.callback(internet.clear)
        world = World(internet, folder, bundled(internet.host(SERVER), folder, cleanup))
        yield world
        for program in world.programs:
            program.end()


def path(world: World, near: Host, far: Host) -> str:
    """What a fresh peer's connection takes, in the words of the table."""
    told = world.peer(near).follow("connect", world.listener(far), "-v")
    found = told.said(r"rdpeer: path: (?:direct (\[?).* (by UDP)|relay .*)")
    assert told.process.communicate(b"through it", timeout=50)[0] == b"through it"
    if not found[2]:
        return "relay"
    return "direct by IPv6" if found[1] else "direct by UDP"


_places = itertools.count()


def pair(world: World, near: str, far: str) -> tuple[Host, Host]:
    """Hosts of these kinds, between which there is no TCP; nobody else is where they are."""
    number = next(_places)
    hosts = world.place(near, f"connecting {number}"), world.place(far, f"listening {number}")
    for host in hosts:
        host.block_tcp(SERVER)
    return hosts


def behind(near: str, far: str):
    return lambda world: path(world, *pair(world, near, far))


def by_v6(world: World) -> str:
    hosts = pair(world, "open", "open")
    for number, host in enumerate(hosts, 7):
        host.block_v4(SERVER)
        host.add_v6(f"2001:db8::{number}")
    return path(world, *hosts)


def without_anything(world: World) -> str:
    hosts = pair(world, "cone", "cone")
    hosts[0].block_v4(SERVER)
    return path(world, *hosts)


CIRCUMSTANCES = {
    "both behind a cone, no TCP between them": behind("cone", "cone"),
    "a cone connects to an open host, no TCP between them": behind("cone", "open"),
    "an open host connects to a cone, no TCP between them": behind("open", "cone"),
    "a symmetric NAT connects to a cone, no TCP between them": behind("symmetric", "cone"),
    "both with IPv6, no TCP between them, no way by IPv4": by_v6,
    "both behind a cone, neither TCP between them nor UDP": without_anything,
}


@pytest.mark.parametrize(("what", "expected"), rows("By UDP and IPv6"))
def test_circumstances(world: World, what: str, expected: str) -> None:
    assert CIRCUMSTANCES[what](world) == expected


def test_no_circumstance_is_missing() -> None:
    assert {what for what, _ in rows("By UDP and IPv6")} == set(CIRCUMSTANCES)
