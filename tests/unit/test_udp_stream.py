"""The stream over UDP on real sockets: who does not answer, who lies, and kernels without the fast way."""

from __future__ import annotations

import asyncio
import socket

import pytest

from rdpeer.errors import ConnectionLost
from rdpeer.net import batch
from rdpeer.net.transport import udp_stream
from rdpeer.values import Endpoint
from rdpeer.wire import kcp as wire

LIMIT = 128 * 1024


def bound(ip: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((ip, 0))
    return sock


def where(sock: socket.socket) -> Endpoint:
    return Endpoint.of(sock.getsockname())


async def joined(ip: str = "127.0.0.1") -> tuple[udp_stream.UdpStream, udp_stream.UdpStream]:
    near, far = bound(ip), bound(ip)
    there, here = where(far), where(near)
    return await asyncio.gather(
        udp_stream.connect(near, there, limit=LIMIT, timeout=10),
        udp_stream.accept(far, here, limit=LIMIT, timeout=10),
    )


async def test_over_v6():
    left, right = await joined("::1")
    left.send(b"hello")
    assert await right.receive() == b"hello"
    assert left.remote == right.local
    left.abort()
    right.abort()


async def test_nobody_there():
    with bound() as silent:
        near = bound()
        with pytest.raises(TimeoutError, match=r"127\.0\.0\.1:\d+: no answer by UDP within 0\.3 s"):
            await udp_stream.connect(near, where(silent), limit=LIMIT, timeout=0.3)
        assert near.fileno() == -1


async def test_an_abort_breaks_the_stream_at_the_other_end():
    left, right = await joined()
    left.send(b"whole")
    assert await right.receive() == b"whole"
    left.abort()
    with pytest.raises(ConnectionLost, match="reset by the other end"):
        await right.receive()
    right.abort()


async def test_an_end_inside_a_frame():
    with bound() as far:
        near = bound()
        name = wire.encode_name(7)
        accepting = asyncio.create_task(udp_stream.accept(near, where(far), limit=LIMIT, timeout=10))
        while not accepting.done():
            for flags in (wire.SYN, wire.ACK | wire.DATA):
                far.sendto(wire.encode_header(name, flags), near.getsockname())
            await asyncio.wait([accepting], timeout=0.05)
        stream = accepting.result()
        cut = wire.encode_segment(7, wire.PUSH, 100, 0, 0, 0, 3) + b"\xfcab"
        far.sendto(wire.encode_header(name, wire.ACK | wire.DATA) + cut, near.getsockname())
        far.sendto(wire.encode_header(name, wire.FIN), near.getsockname())
        with pytest.raises(ConnectionLost, match="ended inside a frame"):
            await stream.receive()
        stream.abort()


async def test_strangers_are_not_heard():
    left, right = await joined()
    with bound() as stranger:
        for _ in range(100):
            stranger.sendto(bytes(12) + bytes((wire.RST, 0)), (right.local.ip, right.local.port))
    left.send(b"still here")
    assert await right.receive() == b"still here"
    left.abort()
    right.abort()


async def test_the_first_datagram_may_have_come_before():
    with bound() as near:
        near.setblocking(False)
        name = wire.encode_name(2**32 - 1)
        syn = wire.encode_header(name, wire.SYN)
        accepting = asyncio.create_task(
            udp_stream.accept(bound(), where(near), limit=LIMIT, timeout=10, first=syn)
        )
        answer = await asyncio.get_running_loop().sock_recv(near, 100)
        assert answer == wire.encode_header(name, wire.SYN | wire.ACK)
        accepting.cancel()
        await asyncio.wait([accepting])


async def test_what_strangers_sent_before_is_not_heard():
    near = bound()
    name = wire.encode_name(7)
    with bound() as far, bound() as stranger:
        far.setblocking(False)
        for flags in (wire.SYN, wire.ACK | wire.DATA):
            stranger.sendto(wire.encode_header(name, flags), near.getsockname())
        accepting = asyncio.create_task(udp_stream.accept(near, where(far), limit=LIMIT, timeout=0.2))
        with pytest.raises(TimeoutError):
            await accepting
        with pytest.raises(BlockingIOError):
            far.recv(100)


async def exchange() -> None:
    left, right = await joined()
    payloads = [bytes([n]) * 100_000 for n in range(40)]
    for payload in payloads:
        left.send(payload)
    assert [await right.receive() for _ in payloads] == payloads
    closing = asyncio.create_task(left.close())
    assert await right.receive() is None
    await right.close()
    await closing


async def test_each_datagram_alone_where_the_kernel_knows_no_rows(monkeypatch):
    monkeypatch.setattr(batch, "_supports", lambda *_: False)
    await exchange()


class BlindLoop:
    """An event loop that cannot watch a socket."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __getattr__(self, name: str) -> object:
        return getattr(self._loop, name)

    def add_reader(self, *_: object) -> None:
        raise NotImplementedError


async def test_asyncios_own_transport_where_the_loop_watches_no_sockets(monkeypatch):
    class Blind(batch.BatchSocket):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)
            self._loop = BlindLoop(self._loop)

    monkeypatch.setattr(udp_stream, "BatchSocket", Blind)
    await exchange()


async def test_rows_are_given_up_where_the_way_does_not_take_them(monkeypatch):
    """As for a network device without checksum offload: EIO for a row, and each alone goes through."""

    class Stubborn(socket.socket):
        def sendmsg(self, *_):
            raise OSError(5, "Input/output error")

    with bound() as far, Stubborn(socket.AF_INET, socket.SOCK_DGRAM) as near:
        near.connect(far.getsockname())
        socket_of_ours = batch.BatchSocket(near, lambda datagrams: None)
        monkeypatch.setattr(socket_of_ours, "_segments", True)
        assert not socket_of_ours.send([b"one", b"two", b"six", b"x"])
        assert [far.recv(10) for _ in range(4)] == [b"one", b"two", b"six", b"x"]
