"""Sessions that begin on the relay, behind real NATs, and end on a direct path (docs/CHANNEL.md 6.1)."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from subprocess import DEVNULL

import pytest
from internet import CONE, SYMMETRIC, Host, Internet
from network import INVITATION
from program import Rdpeer, Running
from servers import SERVERS, bundled
from test_nat_paths import rows

pytestmark = pytest.mark.slow

SERVER = "198.51.100.1"
STUN = "198.51.100.2"

ONLY_TO_SERVERS = f"""
table ip only {{
  chain out {{
    type filter hook output priority filter;
    meta l4proto tcp ip daddr != {{ {SERVER}, {STUN} }} drop;
  }}
}}
"""
"""No TCP from one peer to another: so the session begins on the relay."""

NO_UDP_V6 = """
table ip6 blocked {
  chain out { type filter hook output priority filter; meta l4proto udp drop; }
}
"""


@dataclass
class World:
    internet: Internet
    folder: Path
    key: str
    cleanup: ExitStack
    reflects: bool
    """Whether the server itself answers STUN."""

    def peer(self, name: str, place: Host, *settings: str) -> Rdpeer:
        place.space.rules(ONLY_TO_SERVERS)
        program = Rdpeer(self.folder / name, within=place.within)
        self.cleanup.callback(program.end)
        program.folder.mkdir()
        program("config", "import", f"rdpeer://{SERVER}?key={self.key}")
        for setting in settings:
            program("config", "set", *setting.split("="))
        return program

    def place(self, kind: str, address: str) -> Host:
        """A host that is open, or behind a NAT of this kind; ``address`` is how it is seen."""
        nat = {"cone": CONE, "symmetric": SYMMETRIC}.get(kind)
        return self.internet.site(address, nat).host() if nat else self.internet.host(address)

    def session(self, near: Rdpeer, far: Rdpeer) -> tuple[Running, Running]:
        """A listener that echoes, and a connection to it that is on the relay."""
        listening = far.follow("listen", "-v", "--open", "--exec", "cat", stdin=DEVNULL)
        listening.said(INVITATION)
        connecting = near.follow("connect", "-v", far("id").strip())
        connecting.said(f"rdpeer: path: relay {SERVER}:21117")
        return connecting, listening


@pytest.fixture(params=SERVERS)
def world(request: pytest.FixtureRequest, internet: Internet, tmp_path: Path) -> Iterator[World]:
    with ExitStack() as cleanup:
        cleanup.callback(internet.clear)
        make: Callable[..., str] = request.param
        options = ["--always-use-relay"] if make is bundled else []
        key = make(internet.host(SERVER), tmp_path, cleanup, *options)
        yield World(internet, tmp_path, key, cleanup, make is bundled)


def reflector(world: World) -> list[str]:
    """Where the server does not answer STUN, an rdpeer server elsewhere does."""
    if world.reflects:
        return []
    (folder := world.folder / "reflector").mkdir()
    server = Rdpeer(folder, within=world.internet.host(STUN).within)
    world.cleanup.callback(server.end)
    server.follow("server", "--data-dir", "data", stdin=DEVNULL).said(r"rdpeer config import '.*'")
    return [f"stun={STUN}:21116"]


def carried(connecting: Running) -> None:
    """Everything that goes in comes back."""
    blob = random.Random(8).randbytes(5_000_000)
    said, _ = connecting.process.communicate(blob, timeout=50)
    assert hashlib.sha256(said).digest() == hashlib.sha256(blob).digest()
    assert connecting.process.returncode == 0


DIRECT = r"rdpeer: path: direct {}:\d+ by UDP \(was relay {}:21117\)"


def direct(address: str) -> str:
    return DIRECT.format(re.escape(address), re.escape(SERVER))


@pytest.mark.parametrize(("near", "far", "end"), rows("From the relay to a direct path"))
def test_where_it_ends(world: World, near: str, far: str, end: str) -> None:
    settings = reflector(world)
    connecting, listening = world.session(
        world.peer("near", world.place(near, "198.51.100.10"), *settings),
        world.peer("far", world.place(far, "198.51.100.11"), *settings),
    )
    if end == "direct":
        connecting.said(direct("198.51.100.11"))
        listening.said(r"rdpeer: \d+ .*: path: direct 198\.51\.100\.10:\d+ by UDP \(was relay .*\)")
    else:
        connecting.said(f"rdpeer: staying on relay {SERVER}:21117: no direct path within 10 s")
    carried(connecting)


def test_two_cones_without_a_stun_setting(world: World) -> None:
    """A cone keeps the port, and the server has told both where the other one's TCP comes from."""
    near = world.peer("near", world.internet.site("198.51.100.10", CONE).host())
    far = world.peer("far", world.internet.site("198.51.100.11", CONE).host())
    connecting, _ = world.session(near, far)
    if not world.reflects:
        connecting.said("rdpeer: nobody says how our UDP looks from outside: .*")
    connecting.said(direct("198.51.100.11"))
    carried(connecting)


def test_behind_one_nat(world: World) -> None:
    site = world.internet.site("198.51.100.10", CONE)
    near, far = world.peer("near", site.host()), world.peer("far", site.host())
    listening = far.follow("listen", "-v", "--open", "--exec", "cat", stdin=DEVNULL)
    listening.said(INVITATION)
    connecting = near.follow("connect", "-v", far("id").strip())
    connecting.said(r"rdpeer: path: direct 192\.168\.\d+\.\d+:\d+ by UDP \(was relay .*\)")
    carried(connecting)


def test_by_tcp_where_both_have_ipv6(world: World) -> None:
    near, far = world.internet.host("198.51.100.10"), world.internet.host("198.51.100.11")
    for number, host in enumerate((near, far), start=10):
        host.add_v6(f"2001:db8::{number}")
        host.space.rules(NO_UDP_V6)
    near.block_udp()
    connecting, _ = world.session(world.peer("near", near), world.peer("far", far))
    connecting.said(r"rdpeer: path: direct \[2001:db8::11\]:\d+ \(was relay .*\)")
    carried(connecting)
