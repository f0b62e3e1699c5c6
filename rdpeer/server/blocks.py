"""Who is not served: addresses, networks and IDs.

An entry is an IP address, a network (``192.0.2.0/24``) or else an ID. They come
from the operator at run time, and from files, one at the beginning of each
line; hbbr's ``blocklist.txt`` is such a file.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

from rdpeer.errors import UsageError
from rdpeer.store.files import read_text
from rdpeer.values import PeerId, printable

_REMEMBERED = 65536
_LIKE_AN_ADDRESS = re.compile(r"[0-9]+\.[0-9.]+|[0-9A-Fa-f.]*[:/][0-9A-Fa-f.:/]*")


class Blocks:
    """``any`` is False while there is nothing to look for; ``entries`` are what there is, in normal form."""

    has_ip: Callable[[str], bool]
    """Whether it has the address, as text. It is asked for each datagram, so the answers are remembered."""

    def __init__(self, entries: Iterable[str] = ()) -> None:
        self.set(entries)

    def set(self, entries: Iterable[str]) -> None:
        """These, and no others. ValueError for what is neither an address, a network nor an ID."""
        ids: set[str] = set()
        networks: defaultdict[tuple[int, int], set[int]] = defaultdict(set)
        self.entries = frozenset(map(normal, entries))
        for entry in self.entries:
            if (network := _network(entry)) is None:
                ids.add(entry)
            else:
                shift = network.max_prefixlen - network.prefixlen
                networks[network.version, shift].add(int(network.network_address) >> shift)
        self._ids, self._networks = ids, dict(networks)
        self.has_ip = functools.lru_cache(_REMEMBERED)(self._has_ip)
        self.any = bool(ids or networks)

    def _has_ip(self, ip: str) -> bool:
        address = ipaddress.ip_address(ip.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        number = int(address)
        return any(
            version == address.version and number >> shift in networks
            for (version, shift), networks in self._networks.items()
        )

    def has_id(self, peer_id: str) -> bool:
        return peer_id in self._ids


def normal(entry: str) -> str:
    """``entry`` in the one form that it has in lists. ValueError for what cannot be one."""
    network = _network(entry)
    if network is None:
        return PeerId(entry).text
    return str(network.network_address) if network.num_addresses == 1 else str(network)


def meant(entry: str) -> str:
    """The same of what a person wrote, who would not know that a mistyped network is an ID. ValueError for
    what looks like an address or a network, and is none."""
    if _LIKE_AN_ADDRESS.fullmatch(entry) and _network(entry) is None:
        raise ValueError("it looks like an address or a network, and is none")
    return normal(entry)


def read_list(path: Path) -> list[str]:
    """The first words of the lines of a file; empty where there is none. What follows ``#`` does not count.

    UsageError for a file that cannot be read, naming the line of an entry that cannot be one.
    """
    entries = []
    for number, line in enumerate((read_text(path) or "").splitlines(), 1):
        word = line.partition("#")[0].partition(" ")[0].strip()
        if not word:
            continue
        try:
            entries.append(meant(word))
        except ValueError as error:
            raise UsageError(f"{path}:{number}: {printable(word, 60)!r}: {error}") from None
    return entries


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """None for what is none; a v4-mapped one is the v4 one, and a zone does not count, as ``has_ip`` takes
    addresses."""
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None
    if network.version == 4:
        return network
    mapped = network.network_address.ipv4_mapped if network.prefixlen >= 96 else None
    if mapped:
        return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return ipaddress.IPv6Network((int(network.network_address), network.prefixlen))
