"""This machine's addresses: those of its interfaces, and the one that faces another machine."""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface with an IPv4 address. ``mac`` is ``aa:bb:cc:dd:ee:ff``, or empty where it has none."""

    ip: str
    mac: str


if sys.platform == "linux":
    import fcntl

    _GET_ADDRESS, _GET_HARDWARE_ADDRESS = 0x8915, 0x8927  # SIOCGIFADDR, SIOCGIFHWADDR of <linux/sockios.h>

    def interfaces() -> list[Interface]:
        """Those that have an IPv4 address, loopback included; with several, the first of each."""
        found = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for _, name in socket.if_nameindex():
                with contextlib.suppress(OSError):  # it has none, or is gone
                    ip = socket.inet_ntoa(_ask(sock, _GET_ADDRESS, name)[4:8])
                    mac = _ask(sock, _GET_HARDWARE_ADDRESS, name)[2:8]
                    found.append(Interface(ip, mac.hex(":") if any(mac) else ""))
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
