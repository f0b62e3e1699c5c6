"""A stand-in for RustDeskServerDemo, the smallest server, as docs/PROTOCOL.md 12 has it and nothing more.

No IDs, keys or tokens are in what it passes on, and it does one thing at a time: whoever comes by TCP
while a relay runs waits until that has ended.
"""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import suppress
from typing import Self

from rdpeer.values import ServerAddress
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.frames import decode_header, encode_frame, header_size

HOST = "127.0.0.1"
PATIENCE = 3.0

End = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class SmallestServer:
    """``address`` is where it is; ``relayed`` counts the pairs that it has joined."""

    def __init__(self) -> None:
        self._datagrams, self._rendezvous, self._relay = _ports()
        self.address = ServerAddress(HOST, self._rendezvous.getsockname()[1])
        self._relay_name = str(self.address.offset(1))  # what its variable IP says
        self._known: dict[str, tuple[str, int]] = {}
        self._waiting: asyncio.StreamWriter | None = None
        self._writers: list[asyncio.StreamWriter] = []
        self.relayed = 0

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._serve_datagrams()), asyncio.create_task(self._serve())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.transport.abort()
        for sock in (self._datagrams, self._rendezvous, self._relay):
            sock.close()
        assert not [error for error in results if isinstance(error, Exception)]

    async def _serve_datagrams(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            datagram, source = await loop.sock_recvfrom(self._datagrams, 2048)
            message = wire.RendezvousMessage.FromString(datagram)
            match message.WhichOneof("union"):
                case "register_peer":
                    self._known[message.register_peer.id] = source
                    self._datagrams.sendto(bytes.fromhex("3a00"), source)
                case "register_pk":
                    self._datagrams.sendto(bytes.fromhex("820100"), source)

    async def _serve(self) -> None:
        while True:
            end = await self._accept(self._rendezvous)
            payload = await _frame(end)
            message = wire.RendezvousMessage.FromString(payload or b"")
            match message.WhichOneof("union"):
                case "punch_hole_request" if message.punch_hole_request.id in self._known:
                    self._waiting = end[1]
                    asked = wire.RendezvousMessage(
                        request_relay=wire.RequestRelay(relay_server=self._relay_name)
                    )
                    source = self._known[message.punch_hole_request.id]
                    self._datagrams.sendto(asked.SerializeToString(), source)
                case "relay_response" if self._waiting:
                    answer = wire.RendezvousMessage(
                        relay_response=wire.RelayResponse(relay_server=self._relay_name)
                    )
                    self._waiting.write(encode_frame(answer.SerializeToString()))
                    self._waiting = None
                    await self._join()
                case _:
                    end[1].close()

    async def _join(self) -> None:
        """The next two at the relay's port; nothing of their frames is looked at."""
        ends = [await self._accept(self._relay), await self._accept(self._relay)]
        for end in ends:
            await _frame(end)
        (one_in, one_out), (other_in, other_out) = ends
        self.relayed += 1
        copies = [
            asyncio.create_task(_copy(one_in, other_out)),
            asyncio.create_task(_copy(other_in, one_out)),
        ]
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        for copy, writer in zip(copies, (one_out, other_out), strict=True):
            copy.cancel()
            writer.close()
        await asyncio.wait(copies)

    async def _accept(self, listener: socket.socket) -> End:
        sock, _ = await asyncio.get_running_loop().sock_accept(listener)
        end = await asyncio.open_connection(sock=sock)
        self._writers.append(end[1])
        return end


async def _frame(end: End) -> bytes | None:
    """The first payload; None where it does not come in time."""
    reader, _ = end
    with suppress(TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(PATIENCE):
            header = await reader.readexactly(1)
            header += await reader.readexactly(header_size(header[0]) - 1)
            return await reader.readexactly(decode_header(header))
    return None


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


def _ports() -> tuple[socket.socket, socket.socket, socket.socket]:
    """UDP and TCP at one port, TCP at the next."""
    while True:
        port = random.randrange(20_000, 32_000)
        made = []
        try:
            for kind, number in (
                (socket.SOCK_DGRAM, port),
                (socket.SOCK_STREAM, port),
                (socket.SOCK_STREAM, port + 1),
            ):
                made.append(socket.socket(socket.AF_INET, kind))
                made[-1].setblocking(False)
                made[-1].bind((HOST, number))
        except OSError:
            for sock in made:
                sock.close()
            continue
        for sock in made[1:]:
            sock.listen()
        return made[0], made[1], made[2]
