"""The server as a service: its logs, its signals, its manager, its metrics."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
from pathlib import Path

import pytest
from bare_clients import HOST, Stream, message
from server_process import invitation, peer_of, process

from rdpeer.values import ServerLink
from rdpeer.wire import rendezvous_pb2 as wire

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")

PEER = "612345678"


def leg(link: ServerLink) -> wire.RendezvousMessage:
    assert link.key is not None
    return message(request_relay=wire.RequestRelay(uuid="t", licence_key=link.key.text))


async def line_of(running: asyncio.subprocess.Process) -> str:
    assert running.stderr is not None
    return (await running.stderr.readline()).decode()


@pytest.mark.parametrize("form", ["text", "json"])
async def test_each_request_is_an_entry_of_the_access_log(tmp_path: Path, form: str) -> None:
    log = tmp_path / "access.log"
    arguments = (
        "--data-dir",
        str(tmp_path / "d"),
        "--port",
        "0",
        "--access-log",
        str(log),
        "--log-format",
        form,
    )
    async with process(*arguments) as running:
        link = await invitation(running)
        assert link.key is not None
        with peer_of(link) as peer:
            await peer.register(PEER)
        async with Stream(link.server.port) as asker:
            asker.send(message(punch_hole_request=wire.PunchHoleRequest(id="an id\n", licence_key="wrong")))
            await asker.hear()
        async with Stream(link.server.port + 1) as refused:
            refused.send(message(request_relay=wire.RequestRelay(id=PEER, uuid="t")))
            assert await refused.ended()
        async with Stream(link.server.port + 1) as one, Stream(link.server.port + 1) as two:
            one.send(leg(link))
            two.send(message(request_relay=wire.RequestRelay(id=PEER, uuid="t", licence_key=link.key.text)))
            one.writer.write(b"12345")
            await two.reader.readexactly(5)
        running.terminate()
        await running.communicate()
    text = log.read_text()
    assert link.key.text not in text
    register, punch, stranger, pair = text.splitlines()
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00"
    if form == "text":
        assert re.fullmatch(rf"{time} {HOST} register accepted id={PEER} why=OK path=udp", register)
        assert re.fullmatch(
            rf'{time} {HOST}:\d+ connect refused id="an id\?" why=LICENSE_MISMATCH path=tcp', punch
        )
        assert re.fullmatch(
            rf"{time} {HOST}:\d+ leg refused id={PEER} why=\"a request .* without the key\" path=tcp",
            stranger,
        )
        carried = rf'id={PEER} why="with {HOST}:\d+" path=tcp\+tcp bytes=5 seconds=\S+'
        assert re.fullmatch(rf"{time} {HOST}:\d+ pair carried {carried}", pair)
    else:
        entry = json.loads(pair)
        assert (entry["what"], entry["decision"], entry["bytes"]) == ("pair", "carried", 5)
        assert re.fullmatch(time, entry["time"])
        assert json.loads(register)["id"] == PEER


async def test_a_log_that_cannot_be_written_is_exit_2(tmp_path: Path) -> None:
    async with process("--data-dir", str(tmp_path / "d"), "--access-log", str(tmp_path)) as running:
        assert await running.communicate() == (
            b"",
            f"rdpeer: error: cannot write {tmp_path}: Is a directory\n".encode(),
        )
        assert running.returncode == 2


async def test_a_hang_up_reloads(tmp_path: Path) -> None:
    config = tmp_path / "d" / "server.toml"
    config.parent.mkdir()
    name = f"rdpeer-test-{os.getpid()}"
    manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    manager.bind(f"\0{name}")
    manager.setblocking(False)
    loop = asyncio.get_running_loop()
    with manager:
        async with process(
            "--data-dir", str(config.parent), "--port", "0", NOTIFY_SOCKET=f"@{name}"
        ) as running:
            link = await invitation(running)
            assert await loop.sock_recv(manager, 100) == b"READY=1"
            for text, told in (
                ("port = 'x'", "nothing was reloaded: .*port: not a whole number: 'x'"),
                ("", None),
            ):
                config.write_text(text)
                (config.parent / "blocklist.txt").write_text(PEER)
                running.send_signal(signal.SIGHUP)
                assert (await loop.sock_recv(manager, 100)).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
                assert await loop.sock_recv(manager, 100) == b"READY=1"
                if told:
                    assert re.fullmatch(f"rdpeer: error: {told}\n", await line_of(running))
            with peer_of(link) as peer:
                peer.send(message(register_peer=wire.RegisterPeer(id=PEER)).SerializeToString())  # no answer
                answer = await peer.ask(message(register_peer=wire.RegisterPeer(id="712345678")))
                assert answer.register_peer_response.request_pk
            running.terminate()
            assert await running.communicate() == (b"", b"")
            assert await loop.sock_recv(manager, 100) == b"STOPPING=1"


async def test_a_server_that_is_asked_to_stop_lets_its_pairs_end(tmp_path: Path) -> None:
    async with process("--data-dir", str(tmp_path / "d"), "--port", "0", "--drain", "50") as running:
        link = await invitation(running)
        async with Stream(link.server.port + 1) as one, Stream(link.server.port + 1) as two:
            one.send(leg(link))
            two.send(leg(link))
            one.writer.write(b"1")
            await two.reader.readexactly(1)
            running.terminate()
            assert await line_of(running) == "rdpeer: waiting for 1 relayed pairs to end, 50 s at most\n"
            one.writer.write(b"2")
            assert await two.reader.readexactly(1) == b"2"
        assert await running.communicate() == (b"", b"")
        assert running.returncode == 0


async def test_metrics_are_on_loopback(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as probe:
        port = probe.getsockname()[1]
    async with process(
        "--data-dir", str(tmp_path / "d"), "--port", "0", "--metrics", f"{HOST}:{port}"
    ) as running:
        await invitation(running)
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert b"\nrdpeer_peers 0\n" in await reader.read()
        writer.close()
    async with process("--data-dir", str(tmp_path / "d"), "--port", "0", "--metrics", "0.0.0.0:1") as running:
        _, err = await running.communicate()
        assert err.startswith(b"rdpeer: error: 0.0.0.0:1 is not a loopback address\n")
        assert running.returncode == 2
