"""Tells systemd how we are (sd_notify(3)); does nothing where nobody asked for it."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from rdpeer.net.clock import monotonic

READY = "READY=1"
STOPPING = "STOPPING=1"


def reloading() -> str:
    """The state that a READY ends."""
    return f"RELOADING=1\nMONOTONIC_USEC={int(monotonic() * 1_000_000)}"


def notify(state: str) -> None:
    """One datagram to the socket that NOTIFY_SOCKET names; what cannot be told is not our failure."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path or not hasattr(socket, "AF_UNIX"):
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(state.encode(), address)
