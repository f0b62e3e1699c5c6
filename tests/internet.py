"""A small internet in network namespaces: hosts on one public network, and behind NATs. Linux, as root.

    internet = Internet()
    server = internet.host("198.51.100.1")
    home = internet.site("198.51.100.20", CONE)
    alice = home.host()
    Rdpeer(folder, within=alice.within)                 # a program there
    internet.clear()

The public network is one switch; a site is a router with a switch behind it. Nothing touches the
machine's own network. A plugin: tests/conftest.py loads it.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from program import installed

PUBLIC = 24  # bits of the public network's prefix, and of each site's

CONE = "masquerade"
"""A port keeps its number, whatever it connects to. Only what was asked for comes in."""

SYMMETRIC = "masquerade fully-random"
"""A new port for each destination. Only what was asked for comes in."""

_RULES = """
table ip nat {{
  chain out {{ type nat hook postrouting priority srcnat; oifname "wan" {masquerade}; }}
}}
table ip filter {{
  chain through {{
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname "lan" oifname "wan" accept
  }}
  chain into {{
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname "lan" accept
  }}
}}
"""

_NO_UDP = """
table ip blocked {
  chain out { type filter hook output priority filter; meta l4proto udp drop; }
}
"""

_NO_TCP = """
table inet blocked {{
  chain out {{
    type filter hook output priority filter;
    ip daddr != {server} meta l4proto tcp drop
    meta nfproto ipv6 meta l4proto tcp drop
  }}
}}
"""

_NOTHING = """
table ip alone {{
  chain out {{ type filter hook output priority filter; ip daddr != {server} drop; }}
}}
"""

_numbers = itertools.count()


def _run(*command: str, stdin: str | None = None) -> None:
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"


@dataclass(frozen=True)
class Namespace:
    """A network namespace of the kernel. ``within``: what runs a command there."""

    name: str

    @classmethod
    def make(cls) -> Namespace:
        space = cls(f"rdpeer-{os.getpid()}-{next(_numbers)}")
        _run("ip", "netns", "add", space.name)
        space.ip("link", "set", "lo", "up")
        return space

    @property
    def within(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.name)

    def ip(self, *words: str) -> None:
        _run("ip", "-n", self.name, *words)

    def rules(self, text: str) -> None:
        """Adds to its nftables."""
        _run(*self.within, "nft", "-f", "-", stdin=text)

    def plug(self, switch: Namespace, name: str) -> None:
        """A cable from its interface ``name`` to the switch."""
        end = f"veth{next(_numbers)}"
        self.ip("link", "add", name, "type", "veth", "peer", "name", end, "netns", switch.name)
        switch.ip("link", "set", end, "master", "bridge", "up")
        self.ip("link", "set", name, "up")

    def delete(self) -> None:
        _run("ip", "netns", "delete", self.name)


@dataclass(frozen=True)
class Host:
    """A machine with one address."""

    space: Namespace
    address: str

    @property
    def within(self) -> tuple[str, ...]:
        """What runs a command there."""
        return self.space.within

    def add_address(self, address: str) -> None:
        self.space.ip("address", "add", f"{address}/{PUBLIC}", "dev", "wan")

    def add_v6(self, address: str) -> None:
        self.space.ip("address", "add", f"{address}/64", "dev", "wan", "nodad")

    def block_udp(self) -> None:
        """Not a datagram leaves it any more."""
        self.space.rules(_NO_UDP)

    def block_tcp(self, server: str) -> None:
        """No TCP leaves it any more but to ``server``."""
        self.space.rules(_NO_TCP.format(server=server))

    def block_v4(self, server: str) -> None:
        """No IPv4 leaves it any more but to ``server``."""
        self.space.rules(_NOTHING.format(server=server))


@dataclass
class Site:
    """A private network, 192.168.NUMBER.0, behind a router that translates."""

    internet: Internet
    switch: Namespace
    number: int
    _hosts: int = 1

    def host(self) -> Host:
        """One more machine inside."""
        space = self.internet.namespace()
        space.plug(self.switch, "wan")
        self._hosts += 1
        address = f"192.168.{self.number}.{self._hosts}"
        space.ip("address", "add", f"{address}/{PUBLIC}", "dev", "wan")
        space.ip("route", "add", "default", "via", f"192.168.{self.number}.1")
        return Host(space, address)


@dataclass
class Internet:
    """``clear`` takes all of it away again; what is made afterwards is on another public network."""

    _spaces: list[Namespace] = field(default_factory=list)
    _switch: Namespace | None = None
    _sites: int = 0

    def namespace(self) -> Namespace:
        space = Namespace.make()
        self._spaces.append(space)
        return space

    def host(self, address: str) -> Host:
        """A machine without a NAT in front of it."""
        return Host(self._public(address), address)

    def site(self, address: str, masquerade: str) -> Site:
        """A NAT at ``address``, CONE or SYMMETRIC, and a network behind it."""
        router, switch = self._public(address), self._new_switch()
        self._sites += 1
        router.plug(switch, "lan")
        router.ip("address", "add", f"192.168.{self._sites}.1/{PUBLIC}", "dev", "lan")
        _run(*router.within, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        router.rules(_RULES.format(masquerade=masquerade))
        return Site(self, switch, self._sites)

    def clear(self) -> None:
        while self._spaces:
            self._spaces.pop().delete()
        self._switch = None

    def _new_switch(self) -> Namespace:
        """In a namespace of its own: the rules of a router are not for what passes beside it."""
        switch = self.namespace()
        switch.ip("link", "add", "bridge", "type", "bridge", "forward_delay", "0")
        switch.ip("link", "set", "bridge", "up")
        return switch

    def _public(self, address: str) -> Namespace:
        self._switch = self._switch or self._new_switch()
        space = self.namespace()
        space.plug(self._switch, "wan")
        space.ip("address", "add", f"{address}/{PUBLIC}", "dev", "wan")
        return space


@pytest.fixture(scope="module")
def internet() -> Iterator[Internet]:
    """An empty one; the test is skipped where none can be made."""
    for tool in ("ip", "nft"):
        installed(tool)
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("network namespaces want Linux and root")
    net = Internet()
    yield net
    net.clear()
