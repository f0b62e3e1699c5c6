"""A stock RustDesk desktop as initiator of a port forward, from docs/PROTOCOL.md alone: 2.3, 3, 9.3."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import socket
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from nacl.public import PrivateKey
from nacl.signing import VerifyKey
from stock_session import Wire, digest, proof, seal_session_key

from rdpeer.values import Endpoint
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire import session_pb2 as pb
from rdpeer.wire.endpoints import unmangle

VERSION = "1.4.9"


class LoginError(Exception):
    """The text of a LoginResponse.error."""


@dataclass
class Client:
    """Set up for one server. ``passwords``: those that its user types in turn, on one connection. Where
    none is ``saved``, an empty one goes out before, as the official client does it."""

    server: tuple[str, int]
    key: str
    passwords: Sequence[str] = ("Lab-pass-1",)
    saved: bool = True
    relay: bool = False
    id: str = "987654321"
    username: str | None = None
    kind: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    echoes: int = 0
    host: str = ""
    info: pb.PeerInfo | None = None

    async def forward(self, peer: str, host: str, port: int) -> tuple[Wire, str]:
        """What its tunnel does for one local connection, up to where it is raw; and which path it took."""
        leg, signed, path = await self._connect(peer)
        try:
            await self._shake_hands(leg, peer, signed)
            await self._log_in(leg, peer, pb.PortForward(host=host, port=port))
        except BaseException:
            leg.writer.close()
            raise
        return leg, path

    # To the peer (9.3)

    async def _connect(self, peer: str) -> tuple[Wire, bytes, str]:
        request = wire.PunchHoleRequest(
            id=peer,
            nat_type=wire.SYMMETRIC if self.relay else wire.ASYMMETRIC,
            licence_key=self.key,
            conn_type=wire.PORT_FORWARD,
            version=VERSION,
            force_relay=self.relay,
        )
        server, local = await self._ask(punch_hole_request=request)
        if server.WhichOneof("union") == "relay_response":
            answer = server.relay_response
            leg = await self._join_relay(answer.relay_server, answer.uuid, peer)
            return leg, answer.pk, "relay"
        found = server.punch_hole_response
        endpoint = unmangle(found.socket_addr)
        assert endpoint is not None, found
        if not self.relay:
            return await self._dial(endpoint, local), found.pk, "direct"
        token = str(uuid.uuid4())
        relay = found.relay_server or f"{self.server[0]}:{self.server[1] + 1}"
        asked = wire.RequestRelay(
            id=peer, uuid=token, relay_server=relay, secure=bool(found.pk), conn_type=wire.PORT_FORWARD
        )
        response, _ = await self._ask(request_relay=asked)
        assert not response.relay_response.refuse_reason, response
        return await self._join_relay(relay, token, peer), found.pk, "relay"

    async def _ask(self, **member: Any) -> tuple[wire.RendezvousMessage, Endpoint]:
        reader, writer = await self._open(self.server)
        leg = Wire(reader, writer)
        leg.send(wire.RendezvousMessage(**member).SerializeToString())
        answer = wire.RendezvousMessage.FromString(await leg.receive())
        local = Endpoint.of(writer.get_extra_info("sockname"))
        writer.close()
        await writer.wait_closed()
        return answer, local

    async def _dial(self, endpoint: Endpoint, local: Endpoint) -> Wire:
        """From the port that the server saw."""
        return Wire(*await self._open((endpoint.ip, endpoint.port), local))

    async def _join_relay(self, relay: str, token: str, peer: str) -> Wire:
        host, _, port = relay.rpartition(":")
        leg = Wire(*await self._open((host, int(port))))
        request = wire.RequestRelay(licence_key=self.key, id=peer, uuid=token, conn_type=wire.PORT_FORWARD)
        leg.send(wire.RendezvousMessage(request_relay=request).SerializeToString())
        return leg

    async def _open(
        self, remote: tuple[str, int], local: Endpoint | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = socket.socket()
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            sock.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            sock.setblocking(False)
            sock.bind((local.ip, local.port) if local else (self.host, 0))
            await asyncio.get_running_loop().sock_connect(sock, remote)
            return await asyncio.open_connection(sock=sock)
        except BaseException:
            sock.close()
            raise

    # With the peer (3)

    async def _shake_hands(self, leg: Wire, peer: str, signed: bytes) -> None:
        vouched = pb.IdPk.FromString(VerifyKey(base64.b64decode(self.key)).verify(signed))
        assert vouched.id == peer
        shown = pb.IdPk.FromString(VerifyKey(vouched.pk).verify((await leg.hear()).signed_id.id))
        assert shown.id == peer
        exchange, session_key = PrivateKey.generate(), secrets.token_bytes(32)
        leg.say(
            public_key=pb.PublicKey(
                asymmetric_value=exchange.public_key.encode(),
                symmetric_value=seal_session_key(session_key, exchange, shown.pk),
            )
        )
        leg.encrypt(session_key)

    async def _log_in(self, leg: Wire, peer: str, wanted: pb.PortForward) -> None:
        left = list(self.passwords)
        while True:
            message = await leg.hear()
            match message.WhichOneof("union"):
                case "hash":
                    hash_ = message.hash
                    if not self.saved:
                        self._ask_in(leg, peer, wanted, b"")
                    self._try(leg, peer, wanted, hash_, left.pop(0))
                case "test_delay" if not message.test_delay.from_client:
                    leg.say(test_delay=message.test_delay)
                    self.echoes += 1
                case "login_response" if message.login_response.error:
                    self.errors.append(message.login_response.error)
                    if not left:
                        raise LoginError(self.errors[-1])
                    self._try(leg, peer, wanted, hash_, left.pop(0))
                case "login_response":
                    self.info = message.login_response.peer_info
                    return

    def _try(self, leg: Wire, peer: str, wanted: pb.PortForward, hash_: pb.Hash, password: str) -> None:
        self._ask_in(leg, peer, wanted, proof(digest(password, hash_.salt), hash_.challenge))

    def _ask_in(self, leg: Wire, peer: str, wanted: pb.PortForward, password: bytes) -> None:
        login = pb.LoginRequest(
            username=self.username or peer,
            password=password,
            my_id=self.id,
            my_name="desk",
            session_id=secrets.randbits(63) | 1,
            version=VERSION,
            my_platform="Windows",
            **(self.kind or {"port_forward": wanted}),
        )
        leg.say(login_request=login)


async def main(options: dict[str, Any]) -> None:
    """Says the path, and then what comes back for stdin."""
    peer, target = options.pop("peer"), options.pop("target")
    host, _, port = target.rpartition(":")
    leg, path = await Client(server=tuple(options.pop("server")), **options).forward(peer, host, int(port))
    print(path, flush=True)
    leg.writer.write(sys.stdin.buffer.read())
    sys.stdout.buffer.write(await leg.reader.read(-1))
    leg.writer.close()


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
