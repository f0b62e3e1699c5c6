"""What stock's initiator does to punch a hole (docs/PROTOCOL.md 2.6). A program, too:

    python tests/stock_initiator.py SERVER KEY ID       # prints direct, relay or nothing got through

It asks, closes, and connects from the same port; it listens nowhere. Refused, it tries once more.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass

from rdpeer.net.transport.tcp import TcpStream, connect
from rdpeer.values import Endpoint, ServerAddress
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire import session_pb2
from rdpeer.wire.endpoints import unmangle

AGAIN_AFTER = 0.3
WAITS = 3.0


@dataclass
class StockInitiator:
    """It was told ``answer``, and ``blob`` for the peer's key. ``local`` is where it asked from."""

    local: Endpoint
    answer: Endpoint
    blob: bytes

    @classmethod
    async def asks(cls, server: ServerAddress, key: str, peer: str) -> StockInitiator | None:
        """None where it was told to meet the peer at a relay."""
        stream = await connect(server, limit=4096, timeout=5, local_port_reuse=True)
        question = wire.PunchHoleRequest(id=peer, licence_key=key, version="1.4.9")
        stream.send(wire.RendezvousMessage(punch_hole_request=question).SerializeToString())
        answer = wire.RendezvousMessage.FromString(await stream.receive() or b"")
        await stream.close()
        if answer.HasField("relay_response"):
            return None
        endpoint = unmangle(answer.punch_hole_response.socket_addr)
        assert endpoint, answer
        return cls(stream.local, endpoint, answer.punch_hole_response.pk)

    async def comes(self, timeout: float = WAITS) -> TcpStream:
        """Connects, once."""
        address = ServerAddress(self.answer.ip, self.answer.port)
        return await connect(address, limit=4096, timeout=timeout, local=self.local)


async def path(server: str, key: str, peer: str) -> str:
    initiator = await StockInitiator.asks(ServerAddress(server), key, peer)
    if initiator is None:
        return "relay"
    try:
        try:
            stream = await initiator.comes()
        except ConnectionRefusedError:
            await asyncio.sleep(AGAIN_AFTER)
            stream = await initiator.comes()
    except OSError:
        return "nothing got through"
    opening = session_pb2.Message.FromString(await stream.receive() or b"")
    stream.abort()
    return "direct" if opening.HasField("signed_id") else "nothing got through"


if __name__ == "__main__":
    print(asyncio.run(path(*sys.argv[1:])))
