"""rdpeer server as a process of its own: what it says, how it ends, what survives."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from bare_clients import HOST, message
from server_process import invitation, peer_of, process

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


async def test_a_folder_that_cannot_be_made_is_exit_2(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with process("--port", "0", "--data-dir", str(tmp_path / "file" / "d")) as running:
        out, err = await running.communicate()
    assert (running.returncode, out) == (2, b"")
    assert err.startswith(b"rdpeer: error: cannot make the folder")
