"""Much at once: a flood of junk beside thousands of peers, thousands of pairs at the relay."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, ExitStack, closing, suppress
from pathlib import Path

import pytest
from bare_clients import HOST, Datagrams, Stream, message, until
from server_process import invitation, peer_of, process

from rdpeer.net import control
from rdpeer.net.control import Row
from rdpeer.net.ports import allow_descriptors
from rdpeer.server.admin import SOCKET, request
from rdpeer.server.database import Database
from rdpeer.server.registry import Registration
from rdpeer.wire import rendezvous_pb2 as wire

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc"),
]

PEERS, SOCKETS, PAIRS, AT_ONCE = 10_000, 50, 2_000, 100
AGAIN_AFTER = 1.0

FLOOD = f"""
import os, socket, sys
sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sink.connect(("{HOST}", int(sys.argv[1])))
junk = [os.urandom(size) for size in (1, 20, 200, 1400)] + [b"", b"\\x32\\x06\\x0a\\x04none", b"\\x7a\\x00"]
for number in range(300_000):
    sink.send(junk[number % len(junk)])
"""


async def status(data_dir: Path) -> Row:
    (row,) = await control.ask(data_dir / SOCKET, request("status"))
    return row


def open_files(pid: int) -> Counter[str]:
    """How many descriptors of each kind the process has."""
    kinds: Counter[str] = Counter()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed by now
            kinds[str(descriptor.readlink()).partition(":")[0]] += 1
    return kinds


async def keep_alive(peer: Datagrams, names: list[str]) -> None:
    """One after the other, each until it is answered."""
    for name in names:
        alive = message(register_peer=wire.RegisterPeer(id=name))
        while True:
            try:
                async with asyncio.timeout(AGAIN_AFTER):
                    assert (await peer.ask(alive)).SerializeToString() == b"\x3a\x00"
                    break
            except TimeoutError:
                continue


async def test_a_flood_of_junk_puts_nobody_offline(tmp_path: Path) -> None:
    names = [f"peer-{n:05}" for n in range(PEERS)]
    with closing(Database(tmp_path)) as database:
        database.save([Registration(name, b"uuid", bytes(32), HOST) for name in names])
    async with process("--data-dir", str(tmp_path), "--port", "0") as running:
        link = await invitation(running)
        with ExitStack() as sockets:
            peers = [sockets.enter_context(peer_of(link)) for _ in range(SOCKETS)]

            async def keep_all_alive() -> None:
                async with asyncio.TaskGroup() as crowd:
                    for number, peer in enumerate(peers):
                        crowd.create_task(keep_alive(peer, names[number::SOCKETS]))

            await keep_all_alive()
            flood = await asyncio.create_subprocess_exec(sys.executable, "-c", FLOOD, str(link.server.port))
            await keep_all_alive()
            assert await flood.wait() == 0
            await keep_all_alive()
        after = await status(tmp_path)
        assert after["online"] == PEERS
        assert after["keep_alives"] >= 3 * PEERS
        running.terminate()
        assert await running.communicate() == (b"", b"")


@pytest.fixture
def descriptors() -> Iterator[None]:
    """As many as two thousand pairs need, here and, inherited, in the server."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 9 * PAIRS + 1000
    if allow_descriptors(wanted) < wanted:
        pytest.skip(f"the hard limit of open files is below {wanted}")
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_two_thousand_pairs_carry_both_ways_and_leave_nothing(
    tmp_path: Path, descriptors: None
) -> None:
    async with process("--data-dir", str(tmp_path), "--port", "0") as running:
        link = await invitation(running)
        assert link.key is not None
        key = link.key.text

        async def pair(number: int, streams: AsyncExitStack) -> tuple[Stream, Stream]:
            one, two = [await streams.enter_async_context(Stream(link.server.port + 1)) for _ in range(2)]
            for leg in (one, two):
                leg.send(message(request_relay=wire.RequestRelay(uuid=f"token {number}", licence_key=key)))
            one.writer.write(b"1")
            assert await two.reader.readexactly(1) == b"1"
            return one, two

        async def carry(number: int, here: Stream, there: Stream) -> None:
            blob = number.to_bytes(4) * 4096
            here.writer.write(blob)
            assert await there.reader.readexactly(len(blob)) == blob

        before = open_files(running.pid)
        async with AsyncExitStack() as streams:
            pairs: list[tuple[Stream, Stream]] = []
            for first in range(0, PAIRS, AT_ONCE):
                some = range(first, first + AT_ONCE)
                pairs += await asyncio.gather(*(pair(number, streams) for number in some))
            assert (await status(tmp_path))["pairs"] == PAIRS
            ways = [way for one, two in pairs for way in ((one, two), (two, one))]
            await asyncio.gather(*(carry(number, *way) for number, way in enumerate(ways)))
        await until(lambda: open_files(running.pid)["socket"] <= before["socket"])
        assert (await status(tmp_path))["pairs"] == 0
        assert open_files(running.pid)["pipe"] < AT_ONCE  # the pump keeps a few
        running.terminate()
        assert await running.communicate() == (b"", b"")
