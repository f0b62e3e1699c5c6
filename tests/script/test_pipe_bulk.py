"""Much: a gibibyte by checksum, a reader that is slow, many connections."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from subprocess import DEVNULL, PIPE
from threading import Thread
from typing import IO

import pytest
from network import ACCEPTED, Network

OPEN = ACCEPTED.format("", "open")
MIB = 1 << 20
GIB = 1 << 30

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("way", ["--relay", "--direct"])
@pytest.mark.timeout(180)
def test_a_gibibyte(network: Network, way: str) -> None:
    """Both ways at the same time."""
    listener = network.listen("--open", stdin=PIPE)
    connection = network.connecting(way, stdin=PIPE)
    ends = (listener.process, connection.process)
    sums = [hashlib.blake2b(), hashlib.blake2b()]
    writers = [
        Thread(target=_offer, args=(end.stdin, GIB // 2, sums[number])) for number, end in enumerate(ends)
    ]
    received = [hashlib.blake2b(), hashlib.blake2b()]
    readers = [Thread(target=_take, args=(end.stdout, received[number])) for number, end in enumerate(ends)]
    for thread in (*writers, *readers):
        thread.start()
    for thread in (*writers, *readers):
        thread.join()
    for end in ends:
        assert end.wait() == 0
    assert [each.digest() for each in received] == [each.digest() for each in reversed(sums)]


def _offer(pipe: IO[bytes], size: int, checksum: hashlib.blake2b) -> None:
    """Pseudo-random bytes, none like those a block before."""
    block = bytearray(os.urandom(MIB))
    with pipe:
        for number in range(size // MIB):
            block[:8] = number.to_bytes(8)
            checksum.update(block)
            _write(pipe, block)


def _write(pipe: IO[bytes], data: bytes | bytearray) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[pipe.write(rest) :]


def _take(pipe: IO[bytes], checksum: hashlib.blake2b) -> None:
    while data := pipe.read(MIB):
        checksum.update(data)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("way", ["--relay", "--direct"])
def test_a_slow_reader_costs_no_memory(network: Network, way: str) -> None:
    """1 GiB offered, 1 MiB taken each second, for 20 s: neither end nor the server keeps the rest."""
    listener = network.listen("--open")
    connection = network.connecting(way, stdin=PIPE)
    Thread(target=_flood, args=(connection.process.stdin,), daemon=True).start()
    assert listener.process.stdout.read(1)
    watched = [each.process.pid for each in (listener, connection, network.server.running)]
    before = [_resident(pid) for pid in watched]
    most = before
    for _ in range(20):
        _read(listener.process.stdout, MIB)
        time.sleep(1)  # the pace is what is tested
        most = [max(pair) for pair in zip(most, map(_resident, watched), strict=True)]
    grown = [after - start for after, start in zip(most, before, strict=True)]
    assert max(grown) < 64 * MIB, grown
    connection.process.kill()
    connection.process.wait()


def _flood(pipe: IO[bytes]) -> None:
    block = bytes(MIB)
    try:
        for _ in range(GIB // MIB):
            _write(pipe, block)
    except (BrokenPipeError, ValueError):  # the test has ended it
        return


def _read(pipe: IO[bytes], size: int) -> None:
    while size:
        size -= len(pipe.read(size))


def _resident(pid: int) -> int:
    """Bytes of memory that the process has in use."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


@pytest.mark.timeout(180)
def test_one_hundred_connections_one_after_the_other(network: Network) -> None:
    listener = network.listen("--open", "--exec", "cat")
    for number in range(100):
        assert network.connect(stdin=f"{number}\n") == f"{number}\n"
    listener.process.terminate()
    listener.end(*[OPEN] * 100)


@pytest.mark.timeout(180)
def test_fifty_connections_at_once(network: Network) -> None:
    """All are open before the first one ends."""
    listener = network.listen("--open", "--exec", "cat")
    connections = [network.connecting(stdin=PIPE) for _ in range(50)]
    for number, connection in enumerate(connections):
        connection.process.stdin.write(f"{number}\n".encode())
    for number, connection in enumerate(connections):
        assert connection.process.stdout.readline() == f"{number}\n".encode()
    for connection in connections:
        assert connection.end() == b""
    listener.process.terminate()
    listener.end(*[OPEN] * 50)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("way", ["--relay", "--direct"])
def test_a_listener_outlives_the_killed(network: Network, way: str) -> None:
    listener = network.listen("--open", "--exec", "cat")
    for _ in range(10):
        connection = network.connecting(way, stdin=PIPE)
        Thread(target=_flood, args=(connection.process.stdin,), daemon=True).start()
        _read(connection.process.stdout, 8 * MIB)
        connection.process.kill()
        connection.process.wait()
    assert network.connect(way, stdin="hello\n") == "hello\n"
    open_files = Path(f"/proc/{listener.process.pid}/fd")
    assert not open_files.exists() or len(list(open_files.iterdir())) < 40
    listener.process.terminate()
    listener.end(*[OPEN] * 11)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("way", ["--relay", "--direct"])
def test_no_killed_sender_passes_for_an_end(network: Network, way: str) -> None:
    for _ in range(10):
        listener = network.listen("--open", stdin=DEVNULL)
        connection = network.connecting(way, stdin=PIPE)
        Thread(target=_flood, args=(connection.process.stdin,), daemon=True).start()
        _read(listener.process.stdout, 8 * MIB)
        connection.process.kill()
        listener.end(OPEN, "rdpeer: error: .*", code=9)
        connection.process.wait()
