"""What the operator sees and changes while the server runs."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import stat
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tls
from bare_clients import HOST, Datagrams, Stream, message, until

from rdpeer.crypto.keys import IdentityKey
from rdpeer.errors import UsageError
from rdpeer.net import control
from rdpeer.net.budget import Budget
from rdpeer.net.control import Row
from rdpeer.net.ports import bind_ports
from rdpeer.net.tls import client_tls
from rdpeer.server import Server, ServerOptions, check, offline, operator
from rdpeer.server.admin import SOCKET, request
from rdpeer.server.enrolment import Mode
from rdpeer.server.limits import Limits
from rdpeer.values import PublicKey, ServerAddress
from rdpeer.wire import rendezvous_pb2 as wire

MakeServer = Callable[..., Server]

PEER = "612345678"
PK = bytes(range(32))
MIB = 1024 * 1024


def ask(data_dir: Path, do: str, **arguments: Any) -> Any:
    return control.ask(data_dir / SOCKET, request(do, **arguments))


def registration(peer_id: str = PEER) -> wire.RendezvousMessage:
    return message(register_pk=wire.RegisterPk(id=peer_id, uuid=b"uuid", pk=PK))


async def join(running: Server, one: Stream, two: Stream, token: str = "t") -> None:
    for leg in (one, two):
        leg.send(message(request_relay=wire.RequestRelay(uuid=token, licence_key=running.key.text)))
    one.writer.write(b"12345")
    assert await two.reader.readexactly(5) == b"12345"


async def test_the_state_is_told(server: MakeServer, tmp_path: Path) -> None:
    async with (
        server(data_dir=tmp_path, relay_servers=("relay.example",)) as running,
        Stream(running.base + 1) as one,
        Stream(running.base + 1) as two,
    ):
        with Datagrams(running) as peer:
            await peer.register(PEER, pk=PK)
            await peer.ask(message(register_peer=wire.RegisterPeer(id=PEER)))
            (row,) = await ask(tmp_path, "peers")
            del row["seen"]
            key = PublicKey(PK).text
            assert row == {
                "id": PEER, "state": "online", "address": HOST, "port": peer.local.port, "key": key,
                "proven": False,
            }  # fmt: skip
        await join(running, one, two)
        (status,) = await ask(tmp_path, "status")
        expected = {
            "bind": [HOST], "port": running.base, "key": running.key.text, "peers": 1, "online": 1,
            "pairs": 1, "relayed_bytes": 5, "connections": 2, "keep_alives": 1,
            "relay_servers": {"relay.example:21117": True},
            "requests": {"register accepted": 1},
        }  # fmt: skip
        assert {name: status[name] for name in expected} == expected
        (pair,) = await ask(tmp_path, "relays")
        assert (pair["first"], pair["second"], pair["bytes"]) == (str(one.local), str(two.local), 5)
        assert pair["limit"] is status["limit_speed"] is None
        one.writer.close()
        two.writer.close()
        await until(lambda: not running.pairs)
        (status,) = await ask(tmp_path, "status")
        assert (status["pairs"], status["relayed_bytes"], status["requests"]["pair carried"]) == (0, 5, 1)


async def test_datagrams_are_counted_that_are_no_registration(server: MakeServer, tmp_path: Path) -> None:
    async with server(data_dir=tmp_path) as running:
        with Datagrams(running) as asker:
            asker.send(b"junk")
            asker.send(bytes(2000))
            assert (await asker.ask(message(test_nat_request=wire.TestNatRequest()))).test_nat_response.port
            unknown = await asker.ask(message(register_peer=wire.RegisterPeer(id=PEER)))
            assert unknown.register_peer_response.request_pk
            await ask(tmp_path, "block", entry=HOST)
            asker.send(message(register_peer=wire.RegisterPeer(id=PEER)).SerializeToString())
            counts = running.operator.journal.counts
            await until(lambda: counts["datagram", "dropped"] == 3)
        (status,) = await ask(tmp_path, "status")
        assert status["requests"] == {"datagram answered": 2, "datagram dropped": 3}


async def test_the_clock_on_the_wall_does_not_move_the_uptime(
    server: MakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server(data_dir=tmp_path):
        monkeypatch.setattr(operator, "wall", lambda: 0.0)
        (status,) = await ask(tmp_path, "status")
        assert status["uptime"] >= 0


async def test_a_block_counts_at_once_and_after_a_restart(server: MakeServer, tmp_path: Path) -> None:
    async with server(data_dir=tmp_path) as running, Stream(running.base + 1) as asker:  # greeted by nobody
        with Datagrams(running) as peer:
            await peer.register(PEER)
            await until(lambda: running.connections == 1)
            await ask(tmp_path, "block", entry=PEER)
            (row,) = await ask(tmp_path, "peers")
            assert row["state"] == "offline"
            await ask(tmp_path, "block", entry="127.0.0.1/8")
            assert await asker.ended()
    async with server(data_dir=tmp_path) as running:
        async with Stream(running.base) as asker:
            assert await asker.ended()
        await ask(tmp_path, "unblock", entry="127.0.0.0/8")
        async with Stream(running.base) as asker:
            asker.send(message(test_nat_request=wire.TestNatRequest()))
            assert await asker.hear_message()
        with pytest.raises(UsageError, match=r"127\.0\.0\.0/8 is not blocked"):
            await ask(tmp_path, "unblock", entry="127.0.0.0/8")
        (tmp_path / "blocklist.txt").write_text("10.0.0.1\n")
        with pytest.raises(UsageError, match=r"10\.0\.0\.1 is blocked by the file"):
            await ask(tmp_path, "unblock", entry="10.0.0.1")
        await ask(tmp_path, "reload")
        listed = [{"entry": "10.0.0.1", "by": "file"}, {"entry": PEER, "by": "operator"}]
        assert await ask(tmp_path, "blocked") == listed
        assert (await ask(tmp_path, "status"))[0]["blocked"] == 2
        with pytest.raises(UsageError, match="neither an address"):
            await ask(tmp_path, "block", entry="no")


async def test_where_the_list_cannot_be_read_nothing_is_blocked_or_unblocked(
    server: MakeServer, tmp_path: Path
) -> None:
    async with server(data_dir=tmp_path) as running:
        await ask(tmp_path, "block", entry=PEER)
        (tmp_path / "blocklist.txt").write_text("what\n")
        for do, entry in (("block", "192.0.2.1"), ("unblock", PEER)):
            with pytest.raises(UsageError, match=r"blocklist\.txt:1"):
                await ask(tmp_path, do, entry=entry)
        assert running.operator.blocked == {PEER}
        assert await running.operator.disk.do(lambda database: database.blocks()) == [PEER]


async def test_a_newcomer_is_approved_and_removed(server: MakeServer, tmp_path: Path) -> None:
    async with server(data_dir=tmp_path, enrol=Mode.APPROVE) as running:
        with Datagrams(running) as peer:
            refused = await peer.ask(registration())
            assert refused.register_pk_response.result == wire.RegisterPkResponse.NOT_DEPLOYED
            (row,) = await ask(tmp_path, "peers")
            assert (row["id"], row["state"]) == (PEER, "waiting")
            await ask(tmp_path, "approve", id=PEER)
            known = await peer.ask(message(register_peer=wire.RegisterPeer(id=PEER)))
            assert not known.register_peer_response.request_pk
            with pytest.raises(UsageError, match="does not wait"):
                await ask(tmp_path, "approve", id=PEER)
            await ask(tmp_path, "remove", id=PEER)
            unknown = await peer.ask(message(register_peer=wire.RegisterPeer(id=PEER)))
            assert unknown.register_peer_response.request_pk
            with pytest.raises(UsageError, match="is not known"):
                await ask(tmp_path, "remove", id=PEER)
            await peer.ask(registration("712345678"))
            await ask(tmp_path, "remove", id="712345678")
            assert await ask(tmp_path, "peers") == []


async def test_a_full_disk_is_told_and_survived(server: MakeServer, tmp_path: Path) -> None:
    async with server(data_dir=tmp_path, enrol=Mode.APPROVE) as running:
        with Datagrams(running) as peer:
            await peer.ask(registration())
        await running.operator.disk.do(lambda database: database._connection.execute("PRAGMA query_only = 1"))
        for do, arguments in (("block", {"entry": "10.0.0.1"}), ("approve", {"id": PEER})):
            with pytest.raises(UsageError, match="could not be written"):
                await ask(tmp_path, do, **arguments)
        assert (await ask(tmp_path, "status"))[0]["blocked"] == 0


async def counts(running: Server, key: PublicKey, token: str) -> bool:
    """Whether both services take ``key``."""
    async with (
        Stream(running.base) as initiator,
        Stream(running.base + 1) as one,
        Stream(running.base + 1) as two,
    ):
        initiator.send(message(punch_hole_request=wire.PunchHoleRequest(id=PEER, licence_key=key.text)))
        answer = (await initiator.hear_message()).punch_hole_response
        for leg in (one, two):
            leg.send(message(request_relay=wire.RequestRelay(uuid=token, licence_key=key.text)))
        if answer.failure == wire.PunchHoleResponse.LICENSE_MISMATCH:
            assert await one.ended()
            assert await two.ended()
            return False
        one.writer.write(b"12345")
        assert await two.reader.readexactly(5) == b"12345"
        return True


async def test_a_rotation_overlaps_unless_it_must_not(server: MakeServer, tmp_path: Path) -> None:
    async with server(data_dir=tmp_path) as running:
        keys = [running.key]
        for days in (30, 0):
            (row,) = await ask(tmp_path, "rotate", days=days)
            keys.append(PublicKey.parse(row["key"]))
            (status,) = await ask(tmp_path, "status")
            assert status["key"] == keys[-1].text
            assert (status["previous_key_until"] is not None) == bool(days)
            for number, key in enumerate(keys):
                is_last_but_one = number == len(keys) - 2
                counting = key == keys[-1] or (is_last_but_one and days > 0)
                assert await counts(running, key, f"{days} {number}") == counting
    async with server(data_dir=tmp_path) as running:
        assert running.key == keys[-1]
        assert not await counts(running, keys[-2], "again")


@pytest.mark.parametrize("own", ["-", "_"])
async def test_the_key_of_the_data_folder_is_rotated_however_it_is_named(
    server: MakeServer, tmp_path: Path, own: str
) -> None:
    async with server(data_dir=tmp_path, key=own) as running:
        (row,) = await ask(tmp_path, "rotate", days=1)
        assert row["key"] != running.key.text
    async with server(data_dir=tmp_path, key=own) as running:
        assert running.key.text == row["key"]


async def test_a_key_that_was_named_is_not_rotated(server: MakeServer, tmp_path: Path) -> None:
    async with server(data_dir=tmp_path, only="relay", key=PublicKey(PK).text):
        with pytest.raises(UsageError, match="named by --key"):
            await ask(tmp_path, "rotate", days=1)


async def is_joined(running: Server, key: PublicKey) -> bool:
    """Whether a relay takes ``key``."""
    request = message(request_relay=wire.RequestRelay(uuid=str(uuid.uuid4()), licence_key=key.text))
    async with Stream(running.base + 1) as one, Stream(running.base + 1) as two:
        one.send(request)
        two.send(request)
        one.writer.write(b"12345")
        with contextlib.suppress(asyncio.IncompleteReadError, OSError):
            return await two.reader.readexactly(5) == b"12345"
        return False


async def test_a_relay_elsewhere_follows_a_rotation_by_reloads(tmp_path: Path) -> None:
    old, new, foreign = (IdentityKey.from_seed(bytes([n]) * 32).public for n in range(3))
    options = ServerOptions(tmp_path, 0, (HOST,), only="relay", key=old.text)
    async with Server(options, lambda: options) as running:
        for named in ([old], [new, old], [new]):
            options = dataclasses.replace(options, key=",".join(key.text for key in named))
            await ask(tmp_path, "reload")
            (status,) = await ask(tmp_path, "status")
            assert status["key"] == named[0].text
            for key in (old, new, foreign):
                assert await is_joined(running, key) == (key in named)


async def test_whose_pair_a_server_uses_takes_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = ServerOptions(tmp_path, 0, (HOST,), only="relay", key="-")
    async with Server(options, lambda: options) as running:
        options = dataclasses.replace(options, key="_")
        await ask(tmp_path, "reload")
        assert not caplog.messages
        options = dataclasses.replace(options, key=PublicKey(PK).text)
        await ask(tmp_path, "reload")
        assert caplog.messages == ["key has changed: it counts after a restart"]
        assert await is_joined(running, running.key)


async def test_a_backup_is_a_data_folder(server: MakeServer, tmp_path: Path) -> None:
    async with server(data_dir=tmp_path / "d") as running:
        with Datagrams(running) as peer:
            await peer.register(PEER)
        await ask(tmp_path / "d", "backup", folder=str(tmp_path / "one"))
        with pytest.raises(UsageError, match="File exists"):
            await ask(tmp_path / "d", "backup", folder=str(tmp_path / "one"))
    offline.back_up(tmp_path / "one", tmp_path / "two")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "two").iterdir()} == {0o600}
    async with server(data_dir=tmp_path / "two") as restored:
        assert restored.key == running.key
        (row,) = await ask(tmp_path / "two", "peers")
        assert row["id"] == PEER


def test_a_rotation_without_a_server(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no server's data"):
        offline.rotate(tmp_path / "d", 1.0)
    first, second = (offline.rotate(tmp_path, days) for days in (1.0, 0.0))
    assert first != second
    assert (tmp_path / "id_ed25519.pub").read_text() == second.text


async def test_a_reload_takes_what_can_change_and_names_the_rest(
    server: MakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = ServerOptions(tmp_path, 0, (HOST,))
    async with Server(options, lambda: options):
        lists = {"relay_servers": ("r1", "r2"), "enrol": Mode.CLOSED, "single_bandwidth": 8.0}
        options = dataclasses.replace(options, always_use_relay=True, address="vps.example", **lists)
        (tmp_path / "blocklist.txt").write_text("192.0.2.1\n")
        await ask(tmp_path, "reload")
        (status,) = await ask(tmp_path, "status")
        assert set(status["relay_servers"]) == {"r1:21117", "r2:21117"}
        assert (status["enrol"], status["single_bandwidth"]) == ("closed", 8.0)
        assert "address has changed: it counts after a restart" in caplog.text
        (tmp_path / "blocklist.txt").write_text("what\n")
        with pytest.raises(UsageError, match=r"blocklist\.txt:1"):
            await ask(tmp_path, "reload")


async def test_a_reload_that_is_refused_changes_nothing(tmp_path: Path) -> None:
    files = tls.make(tmp_path)
    options = ServerOptions(tmp_path, 0, (HOST,), tls_cert=files.cert, tls_key=files.key)
    async with Server(options, lambda: options) as running:
        before, old_key = await shown(running, files), files.key.read_bytes()
        tls.make(tmp_path)
        options, new_key = dataclasses.replace(options, enrol=Mode.CLOSED), files.key.read_bytes()
        for file, wrong, right in ((files.key, old_key, new_key), (tmp_path / "blocklist.txt", b"what", b"")):
            file.write_bytes(wrong)
            with pytest.raises(UsageError):
                running.reload()
            assert (await shown(running, files), running.operator.enrolment.mode) == (before, Mode.OPEN)
            file.write_bytes(right)
        running.reload()
        assert await shown(running, files) != before
        assert running.operator.enrolment.mode is Mode.CLOSED


async def shown(running: Server, files: tls.Tls) -> bytes | None:
    """The certificate at a WebSocket port."""
    trust = client_tls(str(files.ca))
    _, writer = await asyncio.open_connection(HOST, running.base + 2, ssl=trust)
    certificate: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return certificate


async def test_a_reload_tells_what_waits_for_a_restart_until_there_is_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = running_with = ServerOptions(tmp_path, 0, (HOST,))
    async with Server(options, lambda: options) as running:
        with tls.trusted() as files:
            options = dataclasses.replace(
                running_with, tls_cert=files.cert, tls_key=files.key, only="relay", bind=("::1",)
            )
            for _ in range(2):
                caplog.clear()
                running.reload()
                assert [message.partition(" ")[0] for message in caplog.messages] == [
                    "bind", "only", "tls-cert", "tls-key",
                ]  # fmt: skip
        (status,) = await ask(tmp_path, "status")
        assert (status["bind"], status["services"]) == ([HOST], ["rendezvous", "relay"])
        caplog.clear()
        options = running_with
        running.reload()
        assert not caplog.messages
        options = dataclasses.replace(options, tls_cert=tmp_path / "x", tls_key=tmp_path / "y")
        with pytest.raises(UsageError, match=r"certificate .*/x cannot be used"):
            running.reload()


async def test_a_reload_limits_the_pairs_that_are_joined_as_those_to_come(tmp_path: Path) -> None:
    options = ServerOptions(tmp_path, 0, (HOST,))
    async with (
        Server(options, lambda: options) as running,
        Stream(running.base + 1) as one,
        Stream(running.base + 1) as two,
        Stream(running.base + 1) as three,
        Stream(running.base + 1) as four,
    ):
        await join(running, one, two)
        (first,) = running.pairs
        assert first.meter.piece(MIB) == MIB
        for limits, rate in (
            ({"total_bandwidth": 16.0}, 2 * MIB),
            ({"total_bandwidth": 16.0, "single_bandwidth": 8.0}, MIB),
            ({"total_bandwidth": 4.0, "single_bandwidth": 8.0}, MIB // 2),
            ({"total_bandwidth": 4.0, "limit_speed": 2.0}, MIB // 4),
        ):
            options = ServerOptions(tmp_path, 0, (HOST,), **limits)
            (tmp_path / "blacklist.txt").write_text(f"{HOST}\n" if "limit_speed" in limits else "")
            await ask(tmp_path, "reload")
            assert first.meter.piece(MIB) == Budget(rate).turn
        await join(running, three, four, "another")
        (_, second) = running.pairs
        assert second.budget.limit == first.budget.limit
        assert second.meter._budgets[0] is first.meter._budgets[0]  # what all pairs share
        options = ServerOptions(tmp_path, 0, (HOST,))
        (tmp_path / "blacklist.txt").unlink()
        await ask(tmp_path, "reload")
        assert first.meter.piece(MIB) == MIB


async def test_a_pair_that_is_slowed_down_shows_it(server: MakeServer, tmp_path: Path) -> None:
    (tmp_path / "blacklist.txt").write_text(f"{HOST}\n")
    async with (
        server(data_dir=tmp_path, single_bandwidth=100.0, limit_speed=8.0) as running,
        Stream(running.base + 1) as one,
        Stream(running.base + 1) as two,
    ):
        await join(running, one, two)
        (pair,) = await ask(tmp_path, "relays")
        (status,) = await ask(tmp_path, "status")
        assert (pair["limit"], status["limit_speed"]) == (MIB, 8.0)


async def test_a_drained_relay_lets_its_pairs_end_and_nobody_in(server: MakeServer) -> None:
    async with (
        server() as running,
        Stream(running.base + 1) as one,
        Stream(running.base + 1) as two,
        Stream(running.base + 1) as parked,
        Stream(running.base + 1) as late,
    ):
        await join(running, one, two)
        parked.send(message(request_relay=wire.RequestRelay(uuid="p", licence_key=running.key.text)))
        await until(lambda: running.parked == 1)
        draining = asyncio.create_task(running.drain(50.0))
        assert await parked.ended()
        late.send(message(request_relay=wire.RequestRelay(uuid="l", licence_key=running.key.text)))
        turned_away = asyncio.create_task(late.ended())
        await until(lambda: turned_away.done() or running.parked == 2)
        assert running.parked == 1
        assert await turned_away
        one.writer.write(b"still here")
        assert await two.reader.readexactly(10) == b"still here"
        assert not draining.done()
        one.writer.close()
        two.writer.close()
        await draining


@pytest.mark.parametrize(
    "question",
    [{}, {"do": "explode"}, {"do": "block"}, {"do": "rotate", "days": -1}, {"do": "approve", "id": 1}, []],
)
async def test_another_question_is_refused(server: MakeServer, tmp_path: Path, question: Row) -> None:
    async with server(data_dir=tmp_path):
        with pytest.raises(UsageError, match="does not know this question"):
            await control.ask(tmp_path / SOCKET, question)


async def test_an_address_that_is_not_here_is_left_out_and_told(
    server: MakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with server(data_dir=tmp_path, bind=("203.0.113.9", HOST)) as running:
        (status,) = await ask(tmp_path, "status")
        assert status["bind"] == [HOST]
        assert check.own_address(status) == ServerAddress(HOST, running.base)
    (told,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert told.startswith(f"left out 203.0.113.9:{running.base} (")


async def problems(base: int, *, tls: bool | None = None) -> dict[str, str]:
    """By port and protocol."""
    found = await check.check(ServerAddress(HOST, base), ["rendezvous", "relay"], tls=tls)
    return {name.partition(" ")[0]: problem for name, problem in found.items() if problem}


async def test_web_ports_are_checked_with_tls_and_whatever_certificate(
    server: MakeServer, tmp_path: Path
) -> None:
    files = tls.make(tmp_path, "elsewhere.example")
    async with server(tls_cert=files.cert, tls_key=files.key) as running:
        assert await problems(running.base) == await problems(running.base, tls=True) == {}
        wrongly = await problems(running.base, tls=False)
        assert set(wrongly) == {f"{running.base + 2}/tcp", f"{running.base + 3}/tcp"}


async def test_a_relay_that_takes_no_legs_does_not_pass(server: MakeServer) -> None:
    async with (
        server(limits=Limits(connections=1)) as running,
        Stream(running.base + 1),
    ):
        await until(lambda: running.connections == 1)
        found = await problems(running.base)
        assert found[f"{running.base + 1}/tcp"] == "it closed the connection"
        assert f"{running.base + 3}/tcp" in found


async def test_somebody_else_at_a_port_is_a_problem_of_that_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "_PATIENCE", 0.5)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    ports = bind_ports([HOST], 0)
    listeners = (*ports.query, *ports.rendezvous, *ports.relay, *ports.web_rendezvous, *ports.web_relay)
    servers = [await asyncio.start_server(answer, sock=listener) for listener in listeners]
    found = await problems(ports.base)
    for running in servers:
        running.close()
        await running.wait_closed()
    ports.close()
    tcp = {f"{ports.base + n}/tcp" for n in (-1, 0, 1, 2, 3)}
    assert set(found) == {*tcp, f"{ports.base}/udp"}


async def test_each_port_is_checked(server: MakeServer) -> None:
    async with server() as running, server(only="rendezvous") as half:
        assert await check.check(ServerAddress(HOST, running.base), ["rendezvous", "relay"]) == {
            f"{running.base - 1}/tcp query": None,
            f"{running.base}/tcp rendezvous": None,
            f"{running.base}/udp registration": None,
            f"{running.base + 1}/tcp relay": None,
            f"{running.base + 2}/tcp rendezvous by WebSocket": None,
            f"{running.base + 3}/tcp relay by WebSocket": None,
        }
        found = await check.check(ServerAddress(HOST, half.base), ["rendezvous", "relay"])
        assert [name for name, problem in found.items() if problem] == [
            f"{half.base + 1}/tcp relay",
            f"{half.base + 3}/tcp relay by WebSocket",
        ]
    assert check.own_address({"bind": ["::", "0.0.0.0"], "port": 5}) == ServerAddress("::1", 5)
