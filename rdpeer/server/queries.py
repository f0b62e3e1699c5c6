"""Questions that anyone may ask by TCP, on both rendezvous ports (docs/PROTOCOL.md 9.6)."""

from __future__ import annotations

from collections.abc import Iterable

from rdpeer.server.presence import Presence
from rdpeer.values import Endpoint
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.endpoints import mangle


def answer_query(
    message: wire.RendezvousMessage, remote: Endpoint, registry: Presence, now: float
) -> bytes | None:
    """The answer to TestNatRequest (where the question came from), OnlineRequest or HttpProxyRequest (no);
    else None."""
    match message.WhichOneof("union"):
        case "test_nat_request":
            source = wire.TestNatResponse(port=remote.port, socket_addr=mangle(remote, 0))
            answer = wire.RendezvousMessage(test_nat_response=source)
        case "online_request":
            states = _states(message.online_request.peers, registry, now)
            answer = wire.RendezvousMessage(online_response=wire.OnlineResponse(states=states))
        case "http_proxy_request":
            # Stock posts heartbeats so, and would wait 18 s for a server that says nothing.
            refusal = wire.HttpProxyResponse(error="this server has no API")
            answer = wire.RendezvousMessage(http_proxy_response=refusal)
        case _:
            return None
    return answer.SerializeToString()


def _states(peer_ids: Iterable[str], registry: Presence, now: float) -> bytes:
    """A bit a peer, the first one the highest of the first byte."""
    bits = "".join("1" if registry.online(peer_id, now) else "0" for peer_id in peer_ids)
    size = -(-len(bits) // 8)
    return int(bits.ljust(size * 8, "0") or "0", 2).to_bytes(size, "big")
