"""This machine's addresses: those of its interfaces, and the one that faces another machine."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

_USUAL_PREFIX, _USUAL_PREFIX_V6 = 24, 64
ROUTED_V6 = "2001:db8::1"
"""Any address that is routed as the Internet is; nothing is sent there."""


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface with an IPv4 address. ``mac`` is ``aa:bb:cc:dd:ee:ff``, or empty where it has none."""

    ip: str
    mac: str
    prefix: int = _USUAL_PREFIX
    """Bits of the subnet that it is attached to; where that cannot be told, those that are usual."""


if sys.platform == "linux":
    import fcntl

    # SIOCGIFADDR, SIOCGIFNETMASK, SIOCGIFHWADDR of <linux/sockios.h>
    _GET_ADDRESS, _GET_MASK, _GET_HARDWARE_ADDRESS = 0x8915, 0x891B, 0x8927

    def interfaces() -> list[Interface]:
        """Those that have an IPv4 address, loopback included; with several, the first of each."""
        found = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _, name in socket.if_nameindex():
                with contextlib.suppress(OSError):  # it has none, or is gone
                    ip = socket.inet_ntoa(_ask(sock, _GET_ADDRESS, name)[4:8])
                    mac = _ask(sock, _GET_HARDWARE_ADDRESS, name)[2:8]
                    prefix = int.from_bytes(_ask(sock, _GET_MASK, name)[4:8]).bit_count()
                    found.append(Interface(ip, mac.hex(":") if any(mac) else "", prefix))
        return found

    def _ask(sock: socket.socket, request: int, name: str) -> bytes:
        """The sockaddr in the kernel's struct ifreq."""
        return fcntl.ioctl(sock.fileno(), request, struct.pack("16s240x", name.encode()))[16:]
else:

    def interfaces() -> list[Interface]:
        """The addresses of this machine's name; hardware addresses have no portable way here."""
        with contextlib.suppress(OSError):
            infos = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET, socket.SOCK_DGRAM)
            return [Interface(ip, "") for ip in dict.fromkeys(str(info[4][0]) for info in infos)]
        return []


def address_towards(ip: str, port: int = 9) -> str | None:
    """Our address on the way to ``ip``, None where there is no way. ``port`` matters where rules look at it.

    Sends nothing: connecting a datagram socket only chooses a route.
    """
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((ip, port))
            found: str = sock.getsockname()[0]
    except OSError:
        return None
    return found


def hardware_address_towards(ip: str) -> str:
    """The MAC of the interface on the way to ``ip``; empty where it cannot be told."""
    local = address_towards(ip)
    return next((interface.mac for interface in interfaces() if interface.ip == local), "")


def own_addresses(*towards: str) -> list[str]:
    """Our addresses: first those on the way to ``towards`` and to the Internet by IPv6, then others of v4."""
    facing = [address_towards(ip) for ip in (*towards, ROUTED_V6)]
    return list(dict.fromkeys([*filter(None, facing), *(interface.ip for interface in interfaces())]))


def attached_subnets() -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    """The subnets that this machine is attached to, loopback left out."""
    v4 = [ipaddress.ip_interface(f"{one.ip}/{one.prefix}") for one in interfaces()]
    found = [one.network for one in [*v4, *_interfaces_v6()] if not one.is_loopback]
    return tuple(dict.fromkeys(found))


def _interfaces_v6() -> list[ipaddress.IPv6Interface]:
    """Those that the kernel names; where it does not, the one that faces the Internet, if any."""
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:
        ours = address_towards(ROUTED_V6)
        return [ipaddress.IPv6Interface(f"{ours}/{_USUAL_PREFIX_V6}")] if ours else []
    found = (line.split() for line in lines)
    return [ipaddress.IPv6Interface((bytes.fromhex(ip), int(bits, 16))) for ip, _, bits, *_ in found]
