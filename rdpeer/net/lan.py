"""Both ends of discovery on the local network: who asks everybody, and who answers (docs/PROTOCOL.md 8).

A pong is larger than the ping that it answers, and anyone may send a ping in
another's name. So answers go to hosts of an attached network only, never
through a router (SO_DONTROUTE).
"""

from __future__ import annotations

import asyncio
import getpass
import os
import platform
import socket
from collections.abc import Callable
from typing import Any

from rdpeer.net.datagrams import DatagramSocket
from rdpeer.net.interfaces import hardware_address_towards, interfaces
from rdpeer.protocol.discovery import Answerer, Card, ping
from rdpeer.values import PeerId

_EVERYBODY = "255.255.255.255"
_PAUSES = (0.0, 0.3, 0.7)  # seconds before each ping: the first may be lost, as on a wireless network


async def ask_everybody(port: int, hear: Callable[[bytes, str], None]) -> None:
    """Asks on every attached network until cancelled; ``hear`` gets each answer, and the IP it came from."""

    def heard(datagram: bytes, source: Any, now: float) -> None:
        hear(datagram, source[0])

    addresses = dict.fromkeys([*(interface.ip for interface in interfaces()), "0.0.0.0"])  # noqa: S104
    askers = [asker for address in addresses if (asker := _asker(address))]
    try:
        async with asyncio.TaskGroup() as listening:
            for asker in askers:
                listening.create_task(asker.serve(heard))
            for pause in _PAUSES:
                await asyncio.sleep(pause)
                for asker in askers:
                    asker.send(ping(), (_EVERYBODY, port))
    finally:
        for asker in askers:
            asker.close()


class Discoverable:
    """Answers at a UDP port of this machine. OSError where it is taken."""

    def __init__(self, card: Card, port: int) -> None:
        self._answerer = Answerer(card)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            if os.name == "posix":  # several of us: a broadcast reaches all. On Windows it would steal
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
            sock.bind(("", port))
            self.port: int = sock.getsockname()[1]
        except OSError:
            sock.close()
            raise
        self._socket = DatagramSocket(sock)

    async def serve(self) -> None:
        """Answers until it is cancelled."""
        await self._socket.serve(self._answer)

    def close(self) -> None:
        self._socket.close()

    def _answer(self, datagram: bytes, source: Any, now: float) -> bytes | None:
        if not self._answerer.is_asked(datagram, now):
            return None
        return self._answerer.pong(hardware_address_towards(source[0]))


def own_card(peer: PeerId) -> Card:
    """What this machine says of itself, in stock's words; ``misc`` says what it is that answers."""
    system = {"Darwin": "Mac OS"}.get(platform.system(), platform.system())
    return Card(peer, socket.gethostname(), _user(), system, "rdpeer")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name, as in containers; KeyError until Python 3.13
        return ""


def _asker(address: str) -> DatagramSocket | None:
    """None where the address has just gone."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.bind((address, 0))
    except OSError:
        sock.close()
        return None
    return DatagramSocket(sock)
