"""A link against a peer that is hostile, silent or cut off: the other end is driven by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from rdpeer.crypto.channel import SecureChannel
from rdpeer.errors import ConnectionLost, RemoteProtocolError
from rdpeer.net.link import Link
from rdpeer.net.transport import memory
from rdpeer.protocol.session import MAX_DATA
from rdpeer.wire import channel_pb2 as pb
from rdpeer.wire.records import RecordType, decode, encode, encode_data


class Peer:
    """The initiator's end of a link, record by record."""

    def __init__(self) -> None:
        self.stream, self.far = memory.pair(limit=4096)
        self.channel = channel(initiator=True)

    def send(self, kind: RecordType, body: object = b"", *, final: bool = False) -> None:
        self.stream.send(self.channel.seal(encode(kind, body), final))  # type: ignore[arg-type]

    def greet(self) -> None:
        self.send(RecordType.HELLO, pb.Hello(max_streams=8))

    async def receive(self) -> RecordType:
        payload = await self.stream.receive()
        assert payload is not None
        return decode(self.channel.open(payload)[0])[0]

    def link(self) -> Link:
        self.stream.limit = 1_000_000
        return Link(self.far, channel(initiator=False), initiator=False)


async def until(true: Callable[[], object]) -> None:
    """Lets the loop run, its clock being the test's, until ``true``."""
    while not true():  # noqa: ASYNC110 - what is waited for is inside the loop and tells nobody
        await asyncio.sleep(0)


def channel(*, initiator: bool) -> SecureChannel:
    return SecureChannel.derive(
        initiator=initiator, shared=bytes(32), session_key=bytes(32), t0=bytes(32), version=2
    )


async def test_hello_goes_out_at_once():
    peer = Peer()
    async with peer.link():
        assert await peer.receive() is RecordType.HELLO


async def test_a_payload_that_does_not_open():
    peer = Peer()
    async with peer.link() as link:
        peer.stream.send(bytes(100))
        with pytest.raises(RemoteProtocolError, match="does not open"):
            await link.next_offer()


async def test_a_payload_that_comes_twice():
    peer = Peer()
    async with peer.link() as link:
        sealed = peer.channel.seal(encode(RecordType.HELLO, pb.Hello()))
        peer.stream.send(sealed)
        peer.stream.send(sealed)
        with pytest.raises(RemoteProtocolError, match="does not open"):
            await link.next_offer()


async def test_a_record_that_no_session_has():
    peer = Peer()
    async with peer.link() as link:
        peer.greet()
        peer.send(RecordType.CONFIRM, bytes(32))
        with pytest.raises(RemoteProtocolError, match="CONFIRM inside a session"):
            await link.finish()


async def test_a_payload_over_the_limit():
    peer = Peer()
    async with peer.link() as link:
        peer.stream.send(peer.channel.seal(encode_data(1, bytes(MAX_DATA + 1))))
        with pytest.raises(RemoteProtocolError, match="over the limit"):
            await link.next_offer()


async def test_a_close_without_final():
    peer = Peer()
    async with peer.link() as link:
        peer.greet()
        await peer.stream.close()
        with pytest.raises(ConnectionLost, match="the peer closed the connection before its end"):
            await link.finish()


async def test_a_close_after_final_is_in_order():
    peer = Peer()
    async with peer.link() as link:
        peer.greet()
        peer.send(RecordType.FINAL, final=True)
        await peer.stream.close()
        assert await link.next_offer() is None
        await link.finish()


async def test_our_final_alone_is_not_enough():
    peer = Peer()
    async with peer.link() as link:
        peer.greet()
        finishing = asyncio.create_task(link.finish())
        assert [await peer.receive() for _ in range(2)] == [RecordType.HELLO, RecordType.FINAL]
        peer.stream.abort()
        with pytest.raises(ConnectionLost):
            await finishing


async def test_leaving_without_finish_aborts():
    peer = Peer()
    async with peer.link():
        pass
    with pytest.raises(ConnectionLost):
        await peer.receive()


async def test_leaving_with_an_error_says_first_what_was_wrong():
    peer = Peer()
    peer.greet()
    peer.send(RecordType.OPEN, pb.OpenStream(stream=1))

    async def serve() -> None:
        async with peer.link() as link:
            offer = await link.next_offer()
            assert offer is not None
            offer.accept().reset("no use")
            raise OSError("mine")

    with pytest.raises(OSError, match="mine"):
        await serve()
    heard = [await peer.receive() for _ in range(3)]
    assert heard == [RecordType.HELLO, RecordType.OPENED, RecordType.RESET]


async def test_cancelled_it_aborts_and_leaves_nothing_behind():
    peer = Peer()
    peer.greet()

    async def serve() -> None:
        async with peer.link() as link:
            await link.next_offer()

    serving = asyncio.create_task(serve())
    assert await peer.receive() is RecordType.HELLO
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    with pytest.raises(ConnectionLost):
        await peer.receive()


async def test_pings_and_silence(monkeypatch):
    loop = asyncio.get_running_loop()
    ahead, real = [0.0], loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + ahead[0])
    peer = Peer()
    async with peer.link() as link:
        assert await peer.receive() is RecordType.HELLO
        waiting = asyncio.create_task(link.next_offer())
        for _ in range(2):
            ahead[0] += 10.0
            await until(lambda: peer.stream._received)
            assert await peer.receive() is RecordType.PING
        ahead[0] += 10.0
        await until(waiting.done)
        with pytest.raises(ConnectionLost, match="nothing came from the peer for 30 s"):
            await waiting


async def test_a_peer_that_never_reads_does_not_make_us_hold_its_answers():
    peer = Peer()
    peer.greet()
    async with peer.link() as link:
        for _ in range(50_000):
            peer.send(RecordType.PING)
        waiting = asyncio.create_task(link.next_offer())
        await until(lambda: not peer.far._received)
        assert peer.stream._unread < 2_000_000
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
