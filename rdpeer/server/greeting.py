"""KeyExchange: the connection to a rendezvous server made confidential (docs/PROTOCOL.md 2.4).

The server speaks first: an X25519 key, signed with the key that clients know it by. A client that
registers over TCP waits for that before it says a word; all others speak at once, and old ones stumble
over an answer to nothing. So we greet only who is silent for a moment.
"""

from __future__ import annotations

from collections.abc import Sequence

from rdpeer.crypto.keys import ExchangeKey, IdentityKey
from rdpeer.crypto.stock import StockChannel
from rdpeer.errors import RemoteProtocolError
from rdpeer.wire import rendezvous_pb2 as wire

GREET_AFTER = 0.1
"""Seconds. What others say comes with the last packet of the handshake, or right behind it."""


class Greeting:
    """One connection's; ``payload`` is what we say."""

    def __init__(self, key: IdentityKey) -> None:
        self._exchange = ExchangeKey.generate()
        exchange = wire.KeyExchange(keys=[key.sign_combined(self._exchange.public)])
        self.payload = wire.RendezvousMessage(key_exchange=exchange).SerializeToString()

    def answered(self, keys: Sequence[bytes]) -> StockChannel:
        """What both ends use from here on; ``keys``: the client's own, and the session key sealed for us.

        RemoteProtocolError where they are not that.
        """
        if len(keys) != 2:
            raise RemoteProtocolError(f"a key exchange with {len(keys)} keys")
        theirs, sealed = keys
        return StockChannel(self._exchange.open_session_key(sealed, theirs))
