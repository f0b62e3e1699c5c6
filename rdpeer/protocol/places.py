"""Where a server was looked for, in the words of every error and report about it."""

from __future__ import annotations

from rdpeer.errors import ServerUnreachable
from rdpeer.values import Endpoint, ServerAddress


def place(server: ServerAddress, remote: Endpoint | None = None) -> str:
    """``host:port`` as configured, with the address that was tried behind it where the name hides it."""
    if remote is None or remote.ip == server.host:
        return str(server)
    return f"{server} ({remote.ip})"


def not_reached(server: ServerAddress, reason: str, what: str = "") -> ServerUnreachable:
    """The error for a connection that did not come about; ``reason`` names the addresses tried.

    ``what`` is said before the address, for what is not the rendezvous server.
    """
    tried = reason if reason.startswith(f"{server}: ") else f"{server}: {reason}"
    return ServerUnreachable(f"cannot reach {what}{tried}")
