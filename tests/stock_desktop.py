"""A stock RustDesk desktop as responder, from docs/PROTOCOL.md alone: 2.6, 3, 9.1, 9.4.

As its own process it needs nothing of the test's loop:

    python tests/stock_desktop.py '{"server": "127.0.0.1", "port": 21116, "key": "...", "password": "..."}'

It says ``ready`` on stdout once it is registered, and then each thing that happens to it, one a line; each
line of its stdin is a person's click: ``accept`` or ``reject``.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
import secrets
import socket
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from nacl.public import PrivateKey
from nacl.signing import SigningKey
from stock_session import Wire, digest, join, open_session_key, proof

from rdpeer.values import Endpoint
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire import session_pb2 as pb
from rdpeer.wire.endpoints import mangle, unmangle

ALPHABET = "23456789abcdefghijkmnpqrstuvwxyz"
VERSION = "1.4.9"


def drawn(count: int) -> str:
    return "".join(random.choices(ALPHABET, k=count))


@dataclass
class Desktop:
    """``person``: the click of the person there when asked; without it, ``clicks`` has them as they come.
    ``answers``: the error that every login gets. ``delay``: seconds between TestDelays."""

    id: str = "178000002"
    seed: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    password: str | None = "Lab-pass-1"
    one_time: str | None = None
    second_factor: Sequence[str] = ()
    click_only: bool = False
    person: str | None = None
    tunnels: bool = True
    answers: Sequence[str] = ()
    plain: bool = False
    unsigned: bool = False
    delay: float = 1.0
    relay_only: bool = False
    tell: Callable[[str], None] = lambda line: None

    def __post_init__(self) -> None:
        self.key = SigningKey(self.seed)
        self.salt = drawn(32)
        self.uuid = uuid.uuid4().bytes
        self.clicks: asyncio.Queue[str] = asyncio.Queue()
        self.failures: list[float] = []
        self.logins: list[pb.LoginRequest] = []
        self.codes: list[str] = []
        self.echoes = 0
        self._tasks: set[asyncio.Task[None]] = set()

    # Registered at a server

    async def register(self, host: str, port: int, server_key: str) -> None:
        self._server, self._server_key = (host, port), server_key
        loop = asyncio.get_running_loop()
        self._news: asyncio.Queue[wire.RendezvousMessage] = asyncio.Queue()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Socket(self._news), remote_addr=self._server
        )
        self._socket: Any = transport
        self._registered = asyncio.Event()
        registered = asyncio.create_task(self._registered.wait())
        staying = self._start(self._stay_registered())
        await asyncio.wait((registered, staying), return_when=asyncio.FIRST_COMPLETED)
        if staying.done():
            registered.cancel()
            await staying

    async def close(self) -> None:
        self._socket.close()
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        errors = [error for error in results if isinstance(error, Exception)]
        assert not errors, errors

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _stay_registered(self) -> None:
        pk = self.key.verify_key.encode()
        self._ask(register_pk=wire.RegisterPk(id=self.id, uuid=self.uuid, pk=pk))
        while True:
            try:
                async with asyncio.timeout(15):
                    message = await self._news.get()
            except TimeoutError:
                self._ask(register_peer=wire.RegisterPeer(id=self.id))
                continue
            match message.WhichOneof("union"):
                case "register_pk_response":
                    assert message.register_pk_response.result == wire.RegisterPkResponse.OK
                    self._ask(register_peer=wire.RegisterPeer(id=self.id))
                case "register_peer_response":
                    self._registered.set()
                case "punch_hole" | "fetch_local_addr" | "request_relay" as kind:
                    self._start(self._notified(kind, getattr(message, kind)))

    def _ask(self, **member: Any) -> None:
        self._socket.sendto(wire.RendezvousMessage(**member).SerializeToString())

    async def _notified(self, kind: str, asked: Any) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            if kind == "request_relay":
                await self._relay(asked, asked.uuid, asked.relay_server, secure=asked.secure)
            elif kind == "fetch_local_addr" and not self.relay_only:
                await self._local(asked)
            elif kind == "punch_hole" and asked.nat_type != wire.SYMMETRIC and not self.relay_only:
                await self._punch(asked)
            else:
                await self._relay(asked, str(uuid.uuid4()), asked.relay_server, own=True)

    async def _relay(
        self, asked: Any, token: str, relay: str, *, secure: bool = True, own: bool = False
    ) -> None:
        answer = wire.RelayResponse(socket_addr=asked.socket_addr, version=VERSION)
        relay = relay or f"{self._server[0]}:{self._server[1] + 1}"
        if own:
            answer.uuid, answer.relay_server, answer.id = token, relay, self.id
        await self._answer(relay_response=answer)
        host, _, port = relay.rpartition(":")
        leg = Wire(*await asyncio.open_connection(host, int(port)))
        request = wire.RequestRelay(uuid=token, licence_key=self._server_key)
        leg.send(wire.RendezvousMessage(request_relay=request).SerializeToString())
        self.tell("relayed")
        await self._serve(leg, secure)

    async def _local(self, asked: Any) -> None:
        reader, writer = await _connect(*self._server)
        local = Endpoint.of(writer.get_extra_info("sockname"))
        accepting = await self._listen(local)
        answer = wire.LocalAddr(
            id=self.id,
            socket_addr=asked.socket_addr,
            local_addr=mangle(local, 7),
            relay_server=asked.relay_server,
            version=VERSION,
        )
        Wire(reader, writer).send(wire.RendezvousMessage(local_addr=answer).SerializeToString())
        writer.close()
        await self._accepted(accepting)

    async def _punch(self, asked: Any) -> None:
        reader, writer = await _connect(*self._server)
        local, theirs = Endpoint.of(writer.get_extra_info("sockname")), unmangle(asked.socket_addr)
        assert theirs
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(0.03):
                _, hole = await _connect(theirs.ip, theirs.port, local)
                hole.close()
        answer = wire.PunchHoleSent(
            socket_addr=asked.socket_addr, id=self.id, relay_server=asked.relay_server, version=VERSION
        )
        Wire(reader, writer).send(wire.RendezvousMessage(punch_hole_sent=answer).SerializeToString())
        writer.close()
        await self._accepted(await self._listen(local))

    async def _listen(self, local: Endpoint) -> tuple[asyncio.Server, asyncio.Queue[Wire]]:
        taken: asyncio.Queue[Wire] = asyncio.Queue()
        server = await asyncio.start_server(
            lambda reader, writer: taken.put_nowait(Wire(reader, writer)),
            local.ip,
            local.port,
            reuse_address=True,
            reuse_port=True,
        )
        return server, taken

    async def _accepted(self, accepting: tuple[asyncio.Server, asyncio.Queue[Wire]]) -> None:
        """Exactly one connection, within 18 s."""
        server, taken = accepting
        try:
            async with asyncio.timeout(18):
                leg = await taken.get()
        except TimeoutError:
            return
        finally:
            server.close()
        self.tell("direct")
        await self._serve(leg, secure=True)

    async def _answer(self, **member: Any) -> None:
        reader, writer = await asyncio.open_connection(*self._server)
        Wire(reader, writer).send(wire.RendezvousMessage(**member).SerializeToString())
        writer.close()

    def _start(self, work: Any) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        return task

    # One session

    async def _serve(self, leg: Wire, secure: bool) -> None:
        try:
            await Session(self, leg).run(secure and not self.plain)
        finally:
            leg.writer.close()


class Refuse(Exception):
    """The text of a LoginResponse.error, behind which the connection closes."""


class Session:
    """3.1 to 3.8, with one initiator."""

    def __init__(self, desktop: Desktop, leg: Wire) -> None:
        self._desktop = desktop
        self._leg = leg
        self._challenge = drawn(6)
        self._outstanding = False
        self._target: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._wanted: pb.PortForward | None = None
        self._password_taken = False

    async def run(self, secure: bool) -> None:
        if secure and not await self._shake_hands():
            return
        self._leg.say(hash=pb.Hash(salt=self._desktop.salt, challenge=self._challenge))
        self._leg.say(misc=pb.Misc(permission_info=pb.PermissionInfo(permission=2, enabled=False)))
        try:
            await self._talk()
        except Refuse as refusal:
            self._error(str(refusal))
            await self._leg.writer.drain()
            return
        assert self._target is not None
        await join(self._leg, *self._target)
        self._desktop.tell("ended")

    async def _shake_hands(self) -> bool:
        exchange, desktop = PrivateKey.generate(), self._desktop
        body = pb.IdPk(id=desktop.id, pk=exchange.public_key.encode()).SerializeToString()
        blob = bytes(64) + body if desktop.unsigned else bytes(desktop.key.sign(body))
        self._leg.say(signed_id=pb.SignedId(id=blob))
        key = (await self._leg.hear()).public_key
        if len(key.asymmetric_value) != 32:
            return False
        self._leg.encrypt(open_session_key(key.symmetric_value, exchange, key.asymmetric_value))
        return True

    async def _talk(self) -> None:
        """Until the connection may turn raw: logged in, and no TestDelay is on its way."""
        hearing = asyncio.create_task(self._leg.hear())
        clicked = asyncio.create_task(self._desktop.clicks.get())
        self._measure()
        try:
            while self._target is None or self._outstanding:
                done, _ = await asyncio.wait(
                    (hearing, clicked), timeout=self._desktop.delay, return_when=asyncio.FIRST_COMPLETED
                )
                if hearing in done:
                    await self._heard(hearing.result())
                    if self._target is None or self._outstanding:
                        hearing = asyncio.create_task(self._leg.hear())
                if clicked in done:
                    await self._clicked(clicked.result())
                    return
                if not done and self._target is None:
                    self._measure()
        finally:
            for task in (hearing, clicked):
                task.cancel()
            await asyncio.gather(hearing, clicked, return_exceptions=True)

    def _measure(self) -> None:
        if not self._outstanding:
            self._outstanding = True
            self._leg.say(test_delay=pb.TestDelay())

    async def _heard(self, message: pb.Message) -> None:
        match message.WhichOneof("union"):
            case "test_delay":
                assert self._outstanding
                assert message.test_delay == pb.TestDelay(), "the identical message comes back"
                self._outstanding = False
                self._desktop.echoes += 1
            case "login_request":
                await self._asked(message.login_request)
            case "auth_2fa":
                await self._coded(message.auth_2fa.code)
            case "misc" if message.misc.HasField("close_reason"):
                raise asyncio.IncompleteReadError(b"", None)

    async def _asked(self, login: pb.LoginRequest) -> None:
        desktop = self._desktop
        desktop.logins.append(login)
        if desktop.answers:
            raise Refuse(desktop.answers[0])
        if login.username != desktop.id:
            raise Refuse("Offline")
        if not desktop.tunnels:
            raise Refuse("No permission of IP tunneling")
        if self._wanted not in (None, login.port_forward):
            raise Refuse("Connection not allowed")
        self._wanted = login.port_forward
        if desktop.click_only:
            self._error("No Password Access")
            self._ask_person()
        elif not login.password:
            self._ask_person()
        elif len(desktop.failures) > 30:
            self._error("Too many wrong attempts")
        elif sum(at // 60 == time.time() // 60 for at in desktop.failures) > 6:
            self._error("Please try 1 minute later")
        elif not self._is_right(login.password):
            desktop.failures.append(time.time())
            self._error("Wrong Password")
        elif desktop.second_factor:
            self._password_taken = True
            self._error("2FA Required")
        else:
            await self._pass()

    def _ask_person(self) -> None:
        self._desktop.tell("asking")
        if self._desktop.person:
            self._desktop.clicks.put_nowait(self._desktop.person)

    def _is_right(self, shown: bytes) -> bool:
        passwords = (self._desktop.one_time, self._desktop.password)
        return any(
            proof(digest(password, self._desktop.salt), self._challenge) == shown
            for password in passwords
            if password
        )

    async def _coded(self, code: str) -> None:
        self._desktop.codes.append(code)
        if not self._password_taken:
            return
        if code in self._desktop.second_factor:
            await self._pass()
        else:
            self._error("Wrong 2FA Code")

    async def _clicked(self, click: str) -> None:
        if click == "accept":
            await self._pass()
            return
        self._leg.say(misc=pb.Misc(close_reason="Closed manually by the peer"))
        await self._leg.writer.drain()
        raise asyncio.IncompleteReadError(b"", None)

    async def _pass(self) -> None:
        assert self._wanted is not None
        host, port = self._wanted.host or "localhost", self._wanted.port
        try:
            async with asyncio.timeout(3):
                self._target = await asyncio.open_connection(host.strip("[]"), port)
        except (OSError, TimeoutError):
            place = f"{host}:{port}"
            raise Refuse(f"Failed to access remote {place}. Please make sure it is reachable/open.") from None
        info = pb.PeerInfo(username="user", hostname="vm", platform="Linux", version=VERSION)
        info.platform_additions = '{"support_view_camera":true}'
        self._leg.say(login_response=pb.LoginResponse(peer_info=info))
        self._desktop.tell("in")

    def _error(self, text: str) -> None:
        self._leg.say(login_response=pb.LoginResponse(error=text))


async def _connect(
    host: str, port: int, local: Endpoint | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """From a port that a listener may share (2.6)."""
    sock = socket.socket()
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    try:
        sock.setblocking(False)
        sock.bind((local.ip, local.port) if local else ("", 0))  # a port of its own, not one that it shares
        await asyncio.get_running_loop().sock_connect(sock, (host, port))
        return await asyncio.open_connection(sock=sock)
    except BaseException:
        sock.close()
        raise


class _Socket(asyncio.DatagramProtocol):
    def __init__(self, news: asyncio.Queue[wire.RendezvousMessage]) -> None:
        self._news = news

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._news.put_nowait(wire.RendezvousMessage.FromString(data))


async def main(options: dict[str, Any]) -> None:
    host, port, key = (options.pop(name) for name in ("server", "port", "key"))
    if "seed" in options:
        options["seed"] = base64.b64decode(options["seed"])
    async with Desktop(tell=lambda line: print(line, flush=True), **options) as desktop:
        await desktop.register(host, port, key)
        print("ready", flush=True)
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
        while line := await reader.readline():
            desktop.clicks.put_nowait(line.decode().strip())


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
