"""rdpeer server as a process of its own: what it says, how it ends, what survives."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest
from bare_clients import HOST, Stream, message, until
from server_process import invitation, peer_of, process

from rdpeer.net import control
from rdpeer.server.admin import SOCKET, request
from rdpeer.wire import rendezvous_pb2 as wire

PEERS = [f"61234567{n}" for n in range(10)]


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
async def test_it_invites_then_is_silent_and_ends_when_asked(tmp_path: Path, signum: signal.Signals) -> None:
    ready = tmp_path / "ready"
    async with process(
        RDPEER_SERVE_DATA_DIR=str(tmp_path / "d"), RDPEER_SERVE_PORT="0", RDPEER_SERVE_READY_FILE=str(ready)
    ) as running:
        link = await invitation(running)
        with peer_of(link) as peer:
            await peer.register(PEERS[0])
        assert ready.read_text() == f"{link}\n"
        running.send_signal(signum)
        assert await running.communicate() == (b"", b"")
        assert running.returncode == 0
    assert not ready.exists()


@pytest.mark.skipif(os.name != "posix", reason="signals")
async def test_what_got_its_ok_survives_a_kill(tmp_path: Path) -> None:
    arguments = ("--port", "0", "--data-dir", str(tmp_path / "d"))
    async with process(*arguments) as running:
        link = await invitation(running)
        with peer_of(link) as peer:
            for peer_id in PEERS:
                await peer.register(peer_id)
        running.kill()
        await running.wait()
    async with process(*arguments) as running:
        again = await invitation(running)
        assert again.key == link.key
        with peer_of(again) as peer:
            for peer_id in PEERS:
                answer = await peer.ask(message(register_peer=wire.RegisterPeer(id=peer_id)))
                assert not answer.register_peer_response.request_pk


async def test_a_taken_port_is_exit_2(tmp_path: Path) -> None:
    async with process("--port", "0", "--data-dir", str(tmp_path / "d")) as running:
        base = (await invitation(running)).server.port
        async with process("--port", str(base), "--data-dir", str(tmp_path / "e")) as second:
            out, err = await second.communicate()
    assert (second.returncode, out) == (2, b"")
    assert err.decode().splitlines() == [
        f"rdpeer: error: TCP port {base - 1} at {HOST} is taken",
        "rdpeer: hint: is another server running? --port chooses another set",
    ]


def open_files(count: int) -> tuple[str, ...]:
    return ("sh", "-c", f'ulimit -n {count}; exec "$@"', "sh")


@pytest.mark.skipif(os.name != "posix", reason="limits of open files")
@pytest.mark.parametrize("count", [40, 64, 131])
async def test_too_few_open_files_are_exit_2(tmp_path: Path, count: int) -> None:
    async with process("--port", "0", "--data-dir", str(tmp_path), through=open_files(count)) as running:
        out, err = await running.communicate()
    assert (running.returncode, out) == (2, b"")
    assert err.decode().splitlines() == [
        f"rdpeer: error: {count} open files are too few for a server",
        "rdpeer: hint: raise the limit (ulimit -n, LimitNOFILE): 64, and 17 for each 4 connections",
    ]


@pytest.mark.skipif(os.name != "posix", reason="limits of open files")
async def test_few_open_files_are_told_and_suffice_for_what_they_allow(tmp_path: Path) -> None:
    async with (
        process("--port", "0", "--data-dir", str(tmp_path), through=open_files(132)) as running,
        AsyncExitStack() as legs,
    ):
        assert running.stderr is not None
        told = await running.stderr.readline()
        assert told == b"rdpeer: 132 open files: 16 connections of each service, not 16384\n"
        link = await invitation(running)
        assert link.key is not None
        (status,) = await control.ask(tmp_path / SOCKET, request("status"))
        assert status["limits"]["connections"] == 16
        for number in range(8):
            one, two = [await legs.enter_async_context(Stream(link.server.port + 1)) for _ in range(2)]
            for leg in (one, two):
                leg.send(
                    message(request_relay=wire.RequestRelay(uuid=str(number), licence_key=link.key.text))
                )
            one.writer.write(b"12345")
            assert await two.reader.readexactly(5) == b"12345"
        for _ in range(16):
            await legs.enter_async_context(Stream(link.server.port))
        asker = await legs.enter_async_context(Stream(link.server.port + 1))
        assert await asker.ended()


@pytest.mark.skipif(sys.platform != "linux", reason="counts pipes in /proc")
async def test_open_files_suffice_where_all_connections_need_all_they_may(tmp_path: Path) -> None:
    options = ("--port", "0", "--data-dir", str(tmp_path), "--total-bandwidth", "1e-6")
    async with process(*options, through=open_files(400)) as running, AsyncExitStack() as opened:
        assert running.stderr is not None
        await running.stderr.readline()
        link = await invitation(running)
        assert link.key is not None
        (status,) = await control.ask(tmp_path / SOCKET, request("status"))
        most = status["limits"]["connections"]

        async def open_all(port: int, most: int = most) -> list[Stream]:
            return [await opened.enter_async_context(Stream(port)) for _ in range(most)]

        await open_all(link.server.port)
        await open_all(link.server.port + 2, most // 4)  # who has not said yet what he wants
        legs = (await open_all(link.server.port + 1))[: most // 2 * 2]
        before = pipes(running.pid)
        for number, leg in enumerate(legs):
            token = str(number // 2)
            leg.send(message(request_relay=wire.RequestRelay(uuid=token, licence_key=link.key.text)))
            leg.writer.write(b"waits in a pipe")

        def ended() -> int:
            return sum(leg.reader.at_eof() or leg.reader.exception() is not None for leg in legs)

        await until(lambda: pipes(running.pid) == before + 2 * len(legs) or ended() > 0)
        assert not ended()


def pipes(pid: int) -> int:
    """How many ends of pipes the process has."""
    count = 0
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed by now
            count += str(descriptor.readlink()).startswith("pipe:")
    return count


async def test_a_folder_that_cannot_be_made_is_exit_2(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with process("--port", "0", "--data-dir", str(tmp_path / "file" / "d")) as running:
        out, err = await running.communicate()
    assert (running.returncode, out) == (2, b"")
    assert err.startswith(b"rdpeer: error: cannot make the folder")
