"""The nouns that travel everywhere: peer IDs, endpoints, server addresses, keys.

All of them are frozen and valid by construction: a ``parse`` takes what a
person typed or a server sent and raises :class:`ValueError` with one line that
says what is wrong; the edge turns that into the error of its side.
"""

from __future__ import annotations

from rdpeer.values.choices import Family, PinPolicy
from rdpeer.values.endpoint import Endpoint, join_host_port, split_host_port
from rdpeer.values.keys import Fingerprint, PublicKey, ServerKey
from rdpeer.values.links import PeerAddress, ServerLink
from rdpeer.values.peer_id import PeerId
from rdpeer.values.server_address import BASE_PORT, RELAY_PATH, RENDEZVOUS_PATH, ServerAddress, WebAddress
from rdpeer.values.text import printable

__all__ = [
    "BASE_PORT",
    "RELAY_PATH",
    "RENDEZVOUS_PATH",
    "Endpoint",
    "Family",
    "Fingerprint",
    "PeerAddress",
    "PeerId",
    "PinPolicy",
    "PublicKey",
    "ServerAddress",
    "ServerKey",
    "ServerLink",
    "WebAddress",
    "join_host_port",
    "printable",
    "split_host_port",
]
