"""The accepting end of WebSockets: from an accepted connection to one that speaks WebSocket."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from websockets.http11 import Request
from websockets.server import ServerProtocol

from rdpeer.net import trace
from rdpeer.net.connections import Connection
from rdpeer.net.stream_connections import StreamConnection, TracedStreamConnection
from rdpeer.net.transport.websocket import WebSocketStream
from rdpeer.values import Endpoint


@dataclass(frozen=True, slots=True)
class WebVisitor:
    """Somebody who has said what he wants by HTTP, and is not let in yet."""

    stream: WebSocketStream
    request: Request

    @property
    def path(self) -> str:
        """What he asked for, without a query."""
        return self.request.path.partition("?")[0]

    @property
    def forwarded_for(self) -> str:
        """X-Forwarded-For, all of it: by whom he says, or a proxy says, that he was sent."""
        return ",".join(self.request.headers.get_all("X-Forwarded-For"))

    def let_in(self, remote: Endpoint) -> StreamConnection | None:
        """As a connection of ``remote``; None where he does not want a WebSocket, and was told so."""
        kind = TracedStreamConnection if trace.is_on() else StreamConnection
        return kind(self.stream, remote) if self.stream.accept(self.request) else None


async def greet(connection: Connection, tls: ssl.SSLContext | None, limit: int) -> WebVisitor:
    """Hears what the other end of ``connection`` wants, which is used up by it.

    ``limit``: bytes of the longest message until the connection is widened. The caller sets the time that
    it may take. Raises OSError where it wants nothing that can be understood.
    """
    stream = WebSocketStream(ServerProtocol(max_size=limit), limit, read_ahead=0)
    try:
        await stream.run_over(connection.detach(), tls, None)
        return WebVisitor(stream, await stream.request())
    except BaseException:
        stream.abort()
        raise
