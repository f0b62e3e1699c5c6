"""``python -m benchmarks.server [--rounds N]``: rdpeer server beside hbbs and hbbr, in turns, in one run.

Each counts with its best round: where the system puts two processes on two cores or on one, and what else
the machine does meanwhile, changes from round to round.

TCP's congestion control is the machine's, and told: bbr paces even what never leaves the machine, which
holds a fast relay at a fifth of what it does with cubic, Linux's own. A route can name another, for both.

RDPEER_STOCK names the folder with hbbs and hbbr; without it rdpeer runs alone. The servers get an address
of this machine that is not loopback, which stock would take for its administrator's; the peers that
register have one each in 127.0.0.0/8. The generator shares the machine with the server: what it can do
bounds what is seen, so it sends large pieces and has the kernel drop what it receives, and CPU seconds of the
server alone stand beside.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import itertools
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.lab import RDPEER, accepts, folder, running, wait_for
from rdpeer.net.ports import local_address
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.frames import encode_frame

PEERS = 10_000
PER_ADDRESS = 25  # more at once from one address is refused, by both
AT_ONCE = 200  # new peers that are sent before their answers are read; many more would overflow hbbs
BURSTS = 4  # so many sockets' keep-alives are under way; more would overflow hbbs
UDP_SEGMENT = 103
"""From linux/udp.h: the system cuts what is sent into datagrams of this size."""
LOST_AFTER = 1.0
SECONDS = 3.0
PIECE = 1024 * 1024
IDLE_PAIRS = 500
RATES = ("/s", "a CPU second")

TOKENS = itertools.count()
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Served:
    """A server under test: where its base port is, its key, and its processes (rendezvous, relay)."""

    host: str
    base: int
    key: str
    rendezvous: int
    relay: int


@contextlib.contextmanager
def rdpeer() -> Iterator[Served]:
    host = local_address(["0.0.0.0"])
    with folder() as root:
        ready = root / "ready"
        serve = (*RDPEER, "server", "--data-dir", str(root / "d"), "--port", "0", "--ready-file", str(ready))
        with running(*serve, stderr=subprocess.DEVNULL) as process:
            wait_for("rdpeer server", ready.exists)
            base = int(ready.read_text().partition("?")[0].rpartition(":")[2])
            key = (root / "d/id_ed25519.pub").read_text()
            yield Served(host, base, key, process.pid, process.pid)


@contextlib.contextmanager
def stock() -> Iterator[Served]:
    host, programs = local_address(["0.0.0.0"]), Path(os.environ["RDPEER_STOCK"])
    unlimited = {"SINGLE_BANDWIDTH": "1000000", "TOTAL_BANDWIDTH": "1000000", "PATH": os.environ["PATH"]}
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "env": unlimited}
    with folder() as root, running(str(programs / "hbbs"), cwd=root, **silent) as hbbs:
        wait_for("hbbs", lambda: accepts(21116) and (root / "id_ed25519.pub").exists())
        with running(str(programs / "hbbr"), cwd=root, **silent) as hbbr:
            wait_for("hbbr", lambda: accepts(21117))
            yield Served(host, 21116, (root / "id_ed25519.pub").read_text(), hbbs.pid, hbbr.pid)


def cpu(pid: int) -> float:
    """Seconds of CPU that the process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident(pid: int) -> int:
    """KiB."""
    return next(
        int(line.split()[1])
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if "VmRSS" in line
    )


# registration


@dataclass(frozen=True)
class Rates:
    registered: float
    """New registrations confirmed a second."""
    answered: float
    """RegisterPeer answers a second, with 10 000 peers registered."""
    answered_per_cpu_second: float


def registration(server: Served) -> Rates:
    with contextlib.ExitStack() as cleanup:
        peers = [f"6{n:08}" for n in range(PEERS)]
        sockets = []
        for number in range(PEERS // PER_ADDRESS):
            sock = cleanup.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.bind((f"127.1.{number >> 8}.{number & 255}", 0))
            sock.connect(("127.0.0.1", server.base))
            sock.settimeout(2.0)
            sockets.append(sock)
        begin = time.perf_counter()
        for turn in range(PER_ADDRESS):
            for first in range(0, len(sockets), AT_ONCE):
                batch = slice(first, first + AT_ONCE)
                _register(sockets[batch], peers[turn::PER_ADDRESS][batch])
        registered = PEERS / (time.perf_counter() - begin)
        return Rates(registered, *_keep_alive(server, sockets, peers))


def _register(sockets: list[socket.socket], peers: list[str]) -> None:
    """One peer from each socket; waits for every answer."""
    for sock, peer in zip(sockets, peers, strict=True):
        request = wire.RegisterPk(id=peer, uuid=peer.encode(), pk=bytes(32))
        sock.send(wire.RendezvousMessage(register_pk=request).SerializeToString())
    for sock in sockets:
        assert sock.recv(100) == b"\x82\x01\x00"


def _keep_alive(server: Served, sockets: list[socket.socket], peers: list[str]) -> tuple[float, float]:
    """Answers a second, and a CPU second of the server, which is to be what is measured: what a socket sends,
    it sends in one call, and what it gets is looked for again and again, since to wake who sleeps would be
    work of the server's."""
    bursts = []
    for number, sock in enumerate(sockets):
        questions = [_register_peer(peer) for peer in peers[number * PER_ADDRESS :][:PER_ADDRESS]]
        sock.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, len(questions[0]))
        sock.setblocking(False)
        bursts.append((sock, b"".join(questions)))
    before, begin, answers = cpu(server.rendezvous), time.perf_counter(), 0
    asked: collections.deque[socket.socket] = collections.deque()
    for sock, burst in itertools.cycle(bursts):
        sock.send(burst)
        asked.append(sock)
        if len(asked) == BURSTS:
            answers += _answers(asked.popleft())
        if (seconds := time.perf_counter() - begin) >= SECONDS:
            break
    return answers / seconds, answers / (cpu(server.rendezvous) - before)


def _register_peer(peer: str) -> bytes:
    return wire.RendezvousMessage(register_peer=wire.RegisterPeer(id=peer, serial=3)).SerializeToString()


def _answers(sock: socket.socket) -> int:
    """How many of a burst came."""
    count, end = 0, time.perf_counter() + LOST_AFTER
    while count < PER_ADDRESS and time.perf_counter() < end:
        with contextlib.suppress(BlockingIOError):
            while True:
                sock.recv(100)
                count += 1
    return count


# relay


def pair(server: Served) -> tuple[socket.socket, socket.socket]:
    """Two legs that are joined. hbbr now and then misses two that arrive together: then others are tried."""
    while True:
        one, two = (_leg(server, token) for token in [f"token {next(TOKENS)}"] * 2)
        one.sendall(b"!")
        two.settimeout(2.0)
        with contextlib.suppress(TimeoutError):
            if two.recv(1):
                two.settimeout(None)
                return one, two
        one.close()
        two.close()


def _leg(server: Served, token: str) -> socket.socket:
    request = wire.RequestRelay(uuid=token, licence_key=server.key)
    leg = socket.create_connection((server.host, server.base + 1))
    leg.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    leg.sendall(encode_frame(wire.RendezvousMessage(request_relay=request).SerializeToString()))
    time.sleep(0.005)  # hbbr misses two legs that arrive together
    return leg


@contextlib.contextmanager
def saturated(server: Served, count: int) -> Iterator[Callable[[], int]]:
    """``count`` pairs that carry as much as they can; gives the bytes carried so far."""
    pairs = [pair(server) for _ in range(count)]
    carried = [0] * count
    block = bytes(PIECE)

    def send(leg: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                leg.sendall(block)

    def receive(number: int, leg: socket.socket) -> None:
        buffer = bytearray(PIECE)
        with contextlib.suppress(OSError):
            while size := leg.recv_into(buffer, PIECE, socket.MSG_TRUNC):
                carried[number] += size

    threads = [threading.Thread(target=send, args=(one,), daemon=True) for one, _ in pairs]
    threads += [
        threading.Thread(target=receive, args=(number, two), daemon=True)
        for number, (_, two) in enumerate(pairs)
    ]
    for thread in threads:
        thread.start()
    try:
        yield lambda: sum(carried)
    finally:
        for one, two in pairs:
            for leg in (one, two):
                with contextlib.suppress(OSError):
                    leg.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        for one, two in pairs:
            one.close()
            two.close()


def throughput(server: Served, count: int) -> tuple[float, float]:
    """MB/s, and CPU seconds of the relay for a GB."""
    with saturated(server, count) as carried:
        time.sleep(0.5)  # until windows and buffers have grown
        bytes_before, cpu_before, begin = carried(), cpu(server.relay), time.perf_counter()
        time.sleep(SECONDS)
        moved, used, seconds = (
            carried() - bytes_before,
            cpu(server.relay) - cpu_before,
            time.perf_counter() - begin,
        )
    return moved / seconds / 1e6, used / (moved / 1e9)


def round_trip(server: Served) -> tuple[float, float]:
    """Median and p99 of 2000 round trips through the relay, in microseconds. On one core: on two, what counts
    is where the system happens to put the two processes, and what it costs to wake another core."""
    one, two = pair(server)
    times = []
    with one, two, one_core(server.relay):
        for number in range(2000):
            begin = time.perf_counter()
            one.sendall(struct.pack(">I", number))
            two.sendall(two.recv(4))
            one.recv(4)
            times.append((time.perf_counter() - begin) * 1e6)
    return _median_and_p99(times)


@contextlib.contextmanager
def one_core(process: int) -> Iterator[None]:
    """This thread and all of ``process`` share a core."""
    everywhere = os.sched_getaffinity(0)
    threads = [0, *(int(task.name) for task in Path(f"/proc/{process}/task").iterdir())]
    try:
        for thread in threads:
            os.sched_setaffinity(thread, {max(everywhere)})
        yield
    finally:
        for thread in threads:
            with contextlib.suppress(ProcessLookupError):  # it may have ended
                os.sched_setaffinity(thread, everywhere)


def udp_round_trip(server: Served) -> tuple[float, float]:
    """Median and p99 of 1000 RegisterPeer answers, in microseconds."""
    question = wire.RendezvousMessage(register_peer=wire.RegisterPeer(id="600000000")).SerializeToString()
    times = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.1.0.0", 0))
        sock.connect(("127.0.0.1", server.base))
        sock.settimeout(2.0)
        for _ in range(1000):
            begin = time.perf_counter()
            sock.send(question)
            sock.recv(100)
            times.append((time.perf_counter() - begin) * 1e6)
    return _median_and_p99(times)


def memory_of_a_pair(server: Served) -> float:
    """KiB of the relay for each of many idle pairs."""
    before = resident(server.relay)
    pairs = [pair(server) for _ in range(IDLE_PAIRS)]
    after = resident(server.relay)
    for one, two in pairs:
        one.close()
        two.close()
    return (after - before) / IDLE_PAIRS


def _median_and_p99(times: list[float]) -> tuple[float, float]:
    return statistics.median(times), statistics.quantiles(times, n=100)[98]


# the report


def congestion_control(server: Served) -> str:
    """TCP's, on the way to ``server``."""
    with socket.create_connection((server.host, server.base + 1)) as leg:
        return leg.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0").decode()


def measure(server: Served) -> dict[str, float]:
    rates = registration(server)
    found = {
        "RegisterPeer answers/s": rates.answered,
        "RegisterPeer answers a CPU second": rates.answered_per_cpu_second,
        "new registrations/s": rates.registered,
    }
    for count in (1, 4, 200):
        speed, cost = throughput(server, count)
        found[f"relay, {count} pairs, MB/s"] = speed
        found[f"relay, {count} pairs, CPU s a GB"] = cost
    found["relay round trip, median us"], found["relay round trip, p99 us"] = round_trip(server)
    with saturated(server, 1):
        found["beside a busy pair, median us"], found["beside a busy pair, p99 us"] = round_trip(server)
        found["UDP beside a busy pair, median us"], found["UDP beside a busy pair, p99 us"] = udp_round_trip(
            server
        )
    found["KiB an idle pair"] = memory_of_a_pair(server)
    return found


def best(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The highest of each rate, the lowest of what is better low."""
    return {
        what: (max if what.endswith(RATES) else min)(found[what] for found in rounds) for what in rounds[0]
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.server", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    contenders = {"rdpeer": rdpeer}
    if os.environ.get("RDPEER_STOCK"):
        contenders["hbbs, hbbr"] = stock
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    for _ in range(options.rounds):
        for name, start in contenders.items():
            with start() as server:
                print(f"{name}, {congestion_control(server)}", file=sys.stderr)
                rounds[name].append(measure(server))
    results = {name: best(found) for name, found in rounds.items()}
    width = shutil.get_terminal_size().columns
    print(f"\n{'':36}" + "".join(f"{name:>14}" for name in results) + f"{'ratio':>10}\n"[: width - 36])
    for what in results["rdpeer"]:
        values = [result[what] for result in results.values()]
        ratio = f"{values[0] / values[1]:10.2f}" if len(values) > 1 and values[1] else ""
        decimals = 1 if min(values) >= 10 else 3
        print(f"  {what:34}" + "".join(f"{value:14.{decimals}f}" for value in values) + ratio)


if __name__ == "__main__":
    main()
