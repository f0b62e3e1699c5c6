"""Descriptors of every kind as source and sink."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import subprocess
import sys

import pytest

from rdpeer.net import stdio
from rdpeer.net.stdio import FdSink, FdSource

LIMIT = 64 * 1024
BLOB = bytes(range(256)) * 10_000

linux = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full and /proc")


async def everything(source: FdSource) -> bytes:
    data = b""
    while chunk := await source.read(LIMIT):
        assert len(chunk) <= LIMIT
        data += chunk
    source.close()
    return data


def views(*chunks: bytes) -> list[memoryview]:
    return [memoryview(chunk) for chunk in chunks]


@pytest.fixture(params=["as the system can", "by a thread"])
def way(request, monkeypatch):
    """Each test by the best way of this system, and by the one that works everywhere."""
    if request.param == "by a thread":
        monkeypatch.setattr(stdio, "_poll", lambda fd: None)
        monkeypatch.setattr(stdio, "_writable_without_blocking", lambda fd, shared: None)


async def test_reading_a_pipe_as_it_fills(way):
    output, input_ = os.pipe()
    source = FdSource(output)
    reading = asyncio.create_task(source.read(LIMIT))
    await asyncio.sleep(0)
    os.write(input_, b"first")
    assert await reading == b"first"
    os.write(input_, b"second")
    os.close(input_)
    assert await everything(source) == b"second"


async def test_reading_a_file(way, tmp_path):
    path = tmp_path / "blob"
    path.write_bytes(BLOB)
    assert await everything(FdSource(os.open(path, os.O_RDONLY))) == BLOB


async def test_reading_nothing(way):
    assert await everything(FdSource(os.open(os.devnull, os.O_RDONLY))) == b""


async def test_reading_a_socket(way):
    near, far = socket.socketpair()
    with far:
        far.sendall(b"hello")
    assert await everything(FdSource(near.detach())) == b"hello"


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="terminals")
async def test_a_terminal_ends_with_the_peer(way):
    master, terminal = os.openpty()
    source = FdSource(terminal)
    assert source.ends_with_peer
    os.write(master, b"typed\n\x04")
    assert await source.read(LIMIT) == b"typed\n"
    assert await source.read(LIMIT) == b""
    source.close()
    os.close(master)


async def test_a_read_that_is_cancelled_loses_nothing():
    output, input_ = os.pipe()
    source = FdSource(output)
    reading = asyncio.create_task(source.read(LIMIT))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    os.write(input_, b"kept")
    os.close(input_)
    assert await everything(source) == b"kept"


async def test_writing_more_than_a_pipe_holds(way):
    output, input_ = os.pipe()
    sink, source = FdSink(input_), FdSource(output)

    async def write() -> None:
        for _ in range(3):
            await sink.write(views(*[BLOB[n : n + 9999] for n in range(0, len(BLOB), 9999)]))
        await sink.finish()

    _, read = await asyncio.gather(write(), everything(source))
    assert read == BLOB * 3


async def test_writing_at_once_takes_what_fits():
    output, input_ = os.pipe()
    sink, source = FdSink(input_), FdSource(output)
    view = memoryview(bytes(8 * 1024 * 1024))
    left = sink.write_now(view)
    assert 0 < len(left) < len(view)
    assert sink.write_now(left) is left
    source.close()
    assert sink.write_now(left) is left
    with pytest.raises(BrokenPipeError):
        await sink.write([left])
    sink.abort()


async def test_a_shared_descriptor_keeps_its_flags():
    output, input_ = os.pipe()
    sink, source = FdSink(input_), FdSource(output)
    assert os.get_blocking(input_)
    assert os.get_blocking(output)
    sink.abort()
    source.close()


async def test_writing_a_file(way, tmp_path):
    path = tmp_path / "blob"
    sink = FdSink(os.open(path, os.O_WRONLY | os.O_CREAT))
    await sink.write(views(BLOB, b"end"))
    await sink.finish()
    assert path.read_bytes() == BLOB + b"end"


async def test_writing_to_a_socket(way):
    near, far = socket.socketpair()
    sink = FdSink(near.detach())
    await sink.write(views(b"hel", b"lo"))
    await sink.finish()
    with far:
        assert far.recv(10) == b"hello"


@linux
async def test_writing_to_a_full_device(way):
    sink = FdSink(os.open("/dev/full", os.O_WRONLY))
    with pytest.raises(OSError, match="No space left") as caught:
        await sink.write(views(b"1"))
    assert caught.value.errno == errno.ENOSPC
    sink.abort()


async def test_writing_where_the_reader_has_gone(way):
    output, input_ = os.pipe()
    sink = FdSink(input_)
    os.close(output)
    with pytest.raises(BrokenPipeError):
        await sink.write(views(b"1"))
    sink.abort()


async def test_a_reader_that_goes_while_a_write_waits(way):
    output, input_ = os.pipe()
    sink = FdSink(input_)
    writing = asyncio.create_task(sink.write(views(BLOB)))
    source = FdSource(output)
    assert await source.read(1) == BLOB[:1]
    source.close()
    with pytest.raises(BrokenPipeError):
        await writing
    sink.abort()


async def test_the_reader_sees_the_end_at_finish_and_not_before(way):
    output, input_ = os.pipe()
    sink, source = FdSink(input_), FdSource(output)
    await sink.write(views(b"1"))
    assert await source.read(LIMIT) == b"1"
    reading = asyncio.create_task(source.read(LIMIT))
    await asyncio.sleep(0)
    assert not reading.done()
    await sink.finish()
    assert await reading == b""
    await sink.finish()
    sink.abort()
    source.close()
    source.close()


PROGRAM = """
import asyncio, os
from rdpeer.net.stdio import FdSink, FdSource

async def main():
    source, sink = FdSource(0), FdSink(1)
    while chunk := await source.read(65536):
        await sink.write([memoryview(chunk)])
    source.close()
    await sink.finish()
    print("not on standard output")  # replaced by /dev/null, not free for the next file
    assert os.open("/", os.O_RDONLY) > 2

asyncio.run(main())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="opens a folder")
def test_standard_descriptors_stay_valid():
    ran = subprocess.run([sys.executable, "-c", PROGRAM], input=BLOB, capture_output=True, timeout=60)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, BLOB, b"")


BLOCKED = """
import asyncio
from rdpeer.net import stdio

stdio._poll = lambda fd: None
stdio._writable_without_blocking = lambda fd, shared: None

async def main():
    blocked = [asyncio.create_task(stdio.FdSource(0).read(1)),
               asyncio.create_task(stdio.FdSink(1).write([memoryview(bytes(10_000_000))]))]
    await asyncio.wait(blocked, timeout=0.2)
    for task in blocked:
        task.cancel()

asyncio.run(main())
"""


def test_a_thread_that_is_blocked_does_not_hold_up_the_exit():
    with subprocess.Popen(
        [sys.executable, "-c", BLOCKED], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.wait(timeout=30) == 0
