"""The bundled server over real sockets: registration, queries, brokering, files, ports."""

from __future__ import annotations

import asyncio
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from bare_clients import HOST, Datagrams, Stream, message, until
from hbbs_database import killed

from rdpeer.crypto.identities import open_id_pk
from rdpeer.errors import UsageError
from rdpeer.net.ports import bind_ports
from rdpeer.server import Server
from rdpeer.server.enrolment import Mode
from rdpeer.values import Endpoint, PublicKey, ServerLink
from rdpeer.wire import rendezvous_pb2 as wire
from rdpeer.wire.endpoints import mangle, unmangle

MakeServer = Callable[..., Server]

PEER = "612345678"
PK = bytes(range(32))


def asks_for(server: Server, peer_id: str = PEER, **fields: object) -> wire.RendezvousMessage:
    return message(
        punch_hole_request=wire.PunchHoleRequest(id=peer_id, licence_key=server.key.text, **fields)  # type: ignore[arg-type]
    )


async def test_registration_then_online(server: MakeServer) -> None:
    async with server() as running:
        with Datagrams(running) as peer:
            unknown = await peer.ask(message(register_peer=wire.RegisterPeer(id=PEER)))
            assert unknown.register_peer_response.request_pk
            await peer.register(PEER)
            known = await peer.ask(message(register_peer=wire.RegisterPeer(id=PEER)))
            assert known.SerializeToString() == b"\x3a\x00"
        for port in (running.base - 1, running.base):
            async with Stream(port) as asker:
                asker.send(message(online_request=wire.OnlineRequest(id="x", peers=["999999999", PEER])))
                assert (await asker.hear_message()).online_response.states == b"\x40"
                assert await asker.ended()


async def test_nat_test_tells_the_source_port_on_both_ports(server: MakeServer) -> None:
    async with server() as running:
        for port in (running.base - 1, running.base):
            async with Stream(port) as asker:
                asker.send(message(test_nat_request=wire.TestNatRequest()))
                assert (await asker.hear_message()).test_nat_response.port == asker.local.port
                assert await asker.ended()


async def test_peers_of_one_address_meet_at_their_local_one(server: MakeServer) -> None:
    async with server() as running:
        with Datagrams(running) as peer:
            await peer.register(PEER, pk=PK)
            async with Stream(running.base) as initiator, Stream(running.base) as responder:
                initiator.send(asks_for(running))
                fetch = (await peer.hear()).fetch_local_addr
                assert unmangle(fetch.socket_addr) == initiator.local
                home = Endpoint("192.168.1.10", 50000)
                answer = wire.LocalAddr(
                    id=PEER, socket_addr=fetch.socket_addr, local_addr=mangle(home, 7), version="1"
                )
                responder.send(message(local_addr=answer))
                assert await responder.ended()
                response = (await initiator.hear_message()).punch_hole_response
    assert response.is_local
    assert unmangle(response.socket_addr) == home
    signed = open_id_pk(running.key, response.pk)
    assert (signed.peer_id, signed.pk) == (PEER, PK)


async def test_a_relay_is_arranged_by_the_responder(server: MakeServer) -> None:
    async with server(relay_servers=("relay.example",), address="vps.example") as running:
        with Datagrams(running) as peer:
            await peer.register(PEER, pk=PK)
            async with Stream(running.base) as initiator, Stream(running.base) as responder:
                initiator.send(asks_for(running, force_relay=True))
                punch = (await peer.hear()).punch_hole
                assert punch.force_relay
                assert punch.nat_type == wire.SYMMETRIC
                assert punch.relay_server == "relay.example:21117"
                answer = wire.RelayResponse(
                    id=PEER, socket_addr=punch.socket_addr, uuid="token", relay_server="r", version="1"
                )
                responder.send(message(relay_response=answer))
                response = (await initiator.hear_message()).relay_response
    assert (response.uuid, response.relay_server) == ("token", "r")
    assert open_id_pk(running.key, response.pk).pk == PK
    assert running.link.server.host == "vps.example"


async def test_a_relay_that_does_not_answer_is_left_out_until_it_does(
    server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rdpeer.server.service._CHECK_RELAYS", 0.0)
    with socket.socket() as relay:
        relay.bind((HOST, 0))
        address = f"{HOST}:{relay.getsockname()[1]}"
        async with server(relay_servers=(address,)) as running:
            for answers in (False, True):
                if answers:
                    relay.listen()
                await until(lambda: running.operator.status()["relay_servers"] == {address: answers})  # noqa: B023


async def test_a_restart_keeps_the_peers_and_the_key(server: MakeServer, tmp_path: Path) -> None:
    async with server(data_dir=tmp_path / "d") as first:
        with Datagrams(first) as peer:
            await peer.register(PEER)
    async with server(data_dir=tmp_path / "d") as second:
        assert second.key == first.key
        with Datagrams(second) as peer:
            known = await peer.ask(message(register_peer=wire.RegisterPeer(id=PEER)))
            assert not known.register_peer_response.request_pk
            thief = wire.RegisterPk(id=PEER, uuid=b"other", pk=bytes(32))
            refused = await peer.ask(message(register_pk=thief))
            assert refused.register_pk_response.result == wire.RegisterPkResponse.UUID_MISMATCH


async def test_silent_connections_are_closed(server: MakeServer) -> None:
    async with server() as running:
        loop = asyncio.get_running_loop()
        async with (
            Stream(running.base) as silent,
            Stream(running.base - 1) as half,
            Stream(running.base + 1) as relay,
        ):
            half.writer.write(b"\xfd")  # the first byte of a header
            relay.writer.write(b"\xfd\x01" + bytes(10))
            await until(lambda: running.connections == 3)
            running.sweep(loop.time() + 29)
            assert not silent.reader.at_eof()
            running.sweep(loop.time() + 31)
            assert all([await stream.ended() for stream in (silent, half, relay)])


async def test_what_cannot_be_read_closes_the_connection(server: MakeServer) -> None:
    junk = (b"\xff\xff", b"", message(key_exchange=wire.KeyExchange()).SerializeToString())
    async with server() as running:
        for port in (running.base - 1, running.base, running.base + 1):
            for payload in junk:
                async with Stream(port) as stream:
                    stream.send(payload)
                    assert await stream.ended()
            async with Stream(port) as stream:
                stream.writer.write(b"\xff\xff\xff\xff")  # the header of a frame of 1 GiB
                assert await stream.ended()


async def test_junk_datagrams_are_not_answered(server: MakeServer) -> None:
    async with server() as running:
        with Datagrams(running) as peer:
            for junk in (
                b"",
                b"\x32",
                b"\xff" * 1500,
                message(punch_hole=wire.PunchHole()).SerializeToString(),
            ):
                peer.send(junk)
            answer = await peer.ask(message(register_peer=wire.RegisterPeer(id=PEER)))
            assert answer.register_peer_response.request_pk


async def test_files_are_its_owners_alone(server: MakeServer, tmp_path: Path) -> None:
    async with server(data_dir=tmp_path / "d"):
        pass
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "d").iterdir()}
    assert modes == {"id_ed25519": 0o600, "id_ed25519.pub": 0o600, "peers.sqlite3": 0o600}


async def test_a_folder_serves_one_server(server: MakeServer, tmp_path: Path) -> None:
    async with server(data_dir=tmp_path / "d"):
        with pytest.raises(UsageError, match="in use by another server"):
            async with server(data_dir=tmp_path / "d"):
                pass


@pytest.mark.parametrize("name", ["id_ed25519", "id_ed25519.pub", "peers.sqlite3"])
async def test_a_damaged_file_is_refused_and_kept(server: MakeServer, tmp_path: Path, name: str) -> None:
    async with server(data_dir=tmp_path / "d"):
        pass
    path = tmp_path / "d" / name
    damaged = b"garbage" * 100
    path.write_bytes(damaged)
    with pytest.raises(UsageError, match=str(path)):
        async with server(data_dir=tmp_path / "d"):
            pass
    assert path.read_bytes() == damaged


async def test_a_taken_port_is_named(server: MakeServer) -> None:
    taken = bind_ports([HOST], 0)
    try:
        with pytest.raises(UsageError, match=rf"port {taken.base - 1} at {HOST} is taken"):
            async with server(port=taken.base):
                pass
    finally:
        taken.close()


async def test_an_address_that_is_not_here_is_left_out(server: MakeServer) -> None:
    async with server(bind=("192.0.2.7", HOST)) as running:
        assert running.link.server.host == HOST
        assert ServerLink.parse(str(running.link)) == running.link
    with pytest.raises(UsageError, match=r"cannot listen at 192\.0\.2\.7"):
        async with server(bind=("192.0.2.7",)):
            pass


async def test_v4_and_v6_are_served_apart(server: MakeServer) -> None:
    try:
        bind_ports(["::1"], 0).close()
    except UsageError:
        pytest.skip("this machine has no IPv6")
    async with server(bind=(HOST, "::1")) as running:
        for host in (HOST, "::1"):
            with Datagrams(running, host) as peer:
                await peer.register(f"peer at {host}".replace(" ", "-"))
            async with Stream(running.base, host) as asker:
                asker.send(asks_for(running, "nobody"))
                assert await asker.hear() == b"\x5a\x00"


async def test_hbbs_peers_are_taken_over_once(server: MakeServer, tmp_path: Path) -> None:
    (tmp_path / "live").mkdir()
    row = (PEER, b"uuid", PK, f'{{"ip":"::ffff:{HOST}"}}')
    folder = killed(tmp_path / "live", tmp_path / "d", row, ("bad", b"uuid", PK, "{}"))
    async with server(data_dir=folder) as running:
        assert running.imported == 1
        with Datagrams(running) as peer:
            known = await peer.ask(message(register_peer=wire.RegisterPeer(id=PEER)))
            assert not known.register_peer_response.request_pk
    async with server(data_dir=folder) as running:
        assert running.imported is None


async def test_one_service_alone(server: MakeServer, tmp_path: Path) -> None:
    async with (
        server(only="rendezvous") as rendezvous,
        server(only="relay", key=rendezvous.key.text, data_dir=tmp_path / "r") as relay,
    ):
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, rendezvous.base + 1)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(HOST, relay.base)
        leg = message(request_relay=wire.RequestRelay(uuid="t", licence_key=rendezvous.key.text))
        async with Stream(relay.base + 1) as first, Stream(relay.base + 1) as second:
            for stream in (first, second):
                stream.send(leg)
            first.writer.write(b"hello")
            assert await second.reader.readexactly(5) == b"hello"
        with Datagrams(rendezvous) as peer:
            await peer.register(PEER)
    assert [path.name for path in (tmp_path / "r").iterdir()] == ["peers.sqlite3"]


async def test_the_key_named_has_to_be_the_one_that_signs(server: MakeServer) -> None:
    with pytest.raises(UsageError, match="is not that of"):
        async with server(key=PublicKey(PK).text):
            pass


async def test_a_relay_without_a_key_has_its_own_pair(server: MakeServer) -> None:
    async with server(only="relay") as relay, Stream(relay.base + 1) as leg:
        leg.send(message(request_relay=wire.RequestRelay(uuid="t", licence_key=PublicKey(PK).text)))
        assert await leg.ended()
        async with Stream(relay.base + 1) as right:
            right.send(message(request_relay=wire.RequestRelay(uuid="t", licence_key=relay.key.text)))
            await until(lambda: relay.parked == 1)


async def test_a_blocked_address_is_not_served(server: MakeServer, tmp_path: Path) -> None:
    (tmp_path / "blocklist.txt").write_text("127.0.0.0/8\n")
    async with server(data_dir=tmp_path) as running:
        for port in (running.base - 1, running.base, running.base + 1):
            async with Stream(port) as stream:
                assert await stream.ended()


async def test_a_list_that_is_named_has_to_be_there(server: MakeServer, tmp_path: Path) -> None:
    for option in ("blocklist", "allow_keys"):
        with pytest.raises(UsageError, match="no such file"):
            server(**{option: tmp_path / "list"})


async def test_a_closed_server_takes_listed_keys_alone(server: MakeServer, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text(f"{PublicKey(PK)} laptop\n")
    keys.chmod(0o600)
    async with server(enrol=Mode.CLOSED, allow_keys=keys) as running:
        with Datagrams(running) as peer:
            await peer.register(PEER, pk=PK)
            request = wire.RegisterPk(id="712345678", uuid=b"u", pk=bytes(32))
            refused = await peer.ask(message(register_pk=request))
            assert refused.register_pk_response.result == wire.RegisterPkResponse.NOT_DEPLOYED
