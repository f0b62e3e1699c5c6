"""A stream to a server, by the transport that its address names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rdpeer.net.transport import tcp
from rdpeer.values import Endpoint, ServerAddress, WebAddress

if TYPE_CHECKING:
    from rdpeer.net.transport.websocket import WebSocketStream


async def connect(
    address: ServerAddress,
    *,
    limit: int,
    timeout: float,
    local_port_reuse: bool = False,
    local: Endpoint | None = None,
) -> tcp.TcpStream | WebSocketStream:
    """As ``rdpeer.net.transport.tcp.connect``; a local port is shared and chosen over TCP only."""
    if isinstance(address, WebAddress):
        from rdpeer.net.transport import websocket  # 90 ms that the plain path does without

        return await websocket.connect(address, limit=limit, timeout=timeout)
    return await tcp.connect(
        address, limit=limit, timeout=timeout, local_port_reuse=local_port_reuse, local=local
    )
