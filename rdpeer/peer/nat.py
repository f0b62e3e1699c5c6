"""What the NAT in front of us does with our ports."""

from __future__ import annotations

from rdpeer.net.driver import converse
from rdpeer.peer.setup import rendezvous_server, within
from rdpeer.protocol.nat import Nat, NatProbe
from rdpeer.settings import Settings
from rdpeer.values import ServerAddress


async def nat(settings: Settings) -> Nat:
    """As the server that is set sees it.

    Raises UsageError where none is set, DeadlineExceeded, and what :func:`probe` raises.
    """
    async with within(settings.timeout):
        return await probe(rendezvous_server(settings).address)


async def probe(server: ServerAddress) -> Nat:
    """As the rendezvous server at ``server`` sees it; its mapping is UNKNOWN where that does not tell.

    Raises ServerUnreachable, and RemoteProtocolError for what is no frame (a stock server's second port
    is a text console to whoever comes from loopback).
    """
    found: Nat = (await converse(NatProbe(server))).value
    return found
