"""Stock desktops at a listener with ``--allow-stock``: the stand-in through the bundled server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from bare_clients import until
from parties import Collector, Listening, Peer, Peers, Somebody, Text, fails
from stock_client import Client, LoginError
from stock_session import Wire
from test_desktop import DATA, Target, serving

from rdpeer.errors import AuthenticationFailed, UsageError
from rdpeer.peer import visits
from rdpeer.peer.connect import pipe
from rdpeer.peer.listen import Entry, StockEntry
from rdpeer.peer.services import Target as TargetService
from rdpeer.protocol import visit as visit_module
from rdpeer.protocol.gate import Method
from rdpeer.server import Server
from rdpeer.values import ServerAddress

Servers = Callable[..., Server]

PASSWORD = "Lab-pass-1"


def client(server: Server, **options: Any) -> Client:
    link = server.link
    assert link.key is not None
    return Client((link.server.host, link.server.port), link.key.text, **options)


def listening(bob: Peer, target: ServerAddress, **entry: Any) -> Any:
    return bob.listening(TargetService(target), Entry(stock=StockEntry(PASSWORD, target), **entry))


async def echoed(leg: Wire, data: bytes = DATA) -> bytes:
    """What came back of ``data``, and then our end."""
    leg.writer.write(data)
    back = await leg.reader.readexactly(len(data))
    leg.writer.close()
    return back


async def reached(listener: Listening, desk: Client, bob: Peer, target: ServerAddress) -> str:
    leg, path = await desk.forward(bob.id.text, target.host, target.port)
    assert await echoed(leg) == DATA
    await listener.reports.said("accepted by stock password")
    return path


@pytest.mark.parametrize(("relay", "path"), [(False, "direct"), (True, "relay")])
async def test_bytes_there_and_back(server: Servers, peers: Peers, relay: bool, path: str) -> None:
    async with server() as running, serving(Target()) as target:
        bob, desk = peers("bob", running), client(running, relay=relay)
        async with listening(bob, target) as listener:
            assert await reached(listener, desk, bob, target) == path
            line = await listener.reports.said("accepted")
            assert line.startswith(f"{desk.id} (stock), {path} ")
            assert desk.info is not None
            assert (desk.info.version, desk.info.username) == ("1.4.9", "rdpeer")
            assert desk.errors == []


async def test_one_connection_after_the_other_and_many_at_once(server: Servers, peers: Peers) -> None:
    async with server() as running, serving(Target()) as target:
        bob, desk = peers("bob", running), client(running)
        async with listening(bob, target):
            for _ in range(2):
                leg, _ = await desk.forward(bob.id.text, "localhost", target.port)
                assert await echoed(leg) == DATA
            legs = await asyncio.gather(
                *(desk.forward(bob.id.text, "localhost", target.port) for _ in range(10))
            )
            assert await asyncio.gather(*(echoed(leg) for leg, _ in legs)) == [DATA] * 10


async def test_a_user_who_types_the_password(server: Servers, peers: Peers) -> None:
    """An empty one first, then a slip, then the right one: all on one connection."""
    async with server() as running, serving(Target()) as target:
        bob, desk = peers("bob", running), client(running, passwords=["nope", PASSWORD], saved=False)
        async with listening(bob, target) as listener:
            await reached(listener, desk, bob, target)
            assert desk.errors == ["Wrong Password"]
            assert [line for line in listener.reports if "denied, the password is wrong" in line]


async def test_the_lockout(server: Servers, peers: Peers) -> None:
    async with server() as running, serving(Target()) as target:
        bob, desk = peers("bob", running), client(running, passwords=["nope"] * 20)
        async with listening(bob, target) as listener:
            with pytest.raises(LoginError):
                await desk.forward(bob.id.text, "localhost", target.port)
            assert desk.errors.count("Wrong Password") in range(7, 15), "a minute may end on the way"
            assert "Please try 1 minute later" in desk.errors
            assert [line for line in listener.reports if "too many wrong passwords came from there" in line]


async def test_a_target_that_is_closed(server: Servers, peers: Peers) -> None:
    target = ServerAddress("127.0.0.1", 1)
    async with server() as running:
        bob, desk = peers("bob", running), client(running)
        async with listening(bob, target) as listener:
            with pytest.raises(
                LoginError, match=r"Failed to access remote 127\.0\.0\.1:1\. Please make sure"
            ):
                await desk.forward(bob.id.text, "127.0.0.1", 1)
            await listener.reports.said(r"\(stock\).*: refused, the target cannot be reached")


async def test_the_password_comes_before_the_target(server: Servers, peers: Peers) -> None:
    aim = Target()
    async with server() as running, serving(aim) as target:
        bob, desk = peers("bob", running), client(running, passwords=["nope"])
        async with listening(bob, target):
            with pytest.raises(LoginError, match="Wrong Password"):
                await desk.forward(bob.id.text, "localhost", target.port)
            assert aim.connections == 0


async def test_it_reaches_the_one_target_and_nothing_else(server: Servers, peers: Peers) -> None:
    other = Target()
    async with server() as running, serving(Target()) as target, serving(other) as elsewhere:
        bob, desk = peers("bob", running), client(running)
        async with listening(bob, target) as listener:
            with pytest.raises(LoginError, match="No permission of IP tunneling"):
                await desk.forward(bob.id.text, "127.0.0.1", elsewhere.port)
            await listener.reports.said(f"denied, 127.0.0.1:{elsewhere.port} is not the target")
            assert other.connections == 0


async def test_an_rdpeer_is_refused_where_no_way_in_is_for_it(server: Servers, peers: Peers) -> None:
    async with server() as running, serving(Target()) as target:
        alice, bob = peers("alice", running), peers("bob", running)
        async with listening(bob, target):
            with fails(AuthenticationFailed, 6, "the peer does not authorize our key"):
                await alice.send(b"", bob.id)


async def test_an_rdpeer_passes_where_one_is(server: Servers, peers: Peers) -> None:
    async with server() as running, serving(Target()) as target:
        alice, bob, desk = peers("alice", running), peers("bob", running), client(running)
        async with listening(bob, target, password=b"horse") as listener:
            secrets = {Method.PASSWORD: b"horse"}
            assert await alice.send(DATA, bob.id, secrets=secrets) == DATA
            await reached(listener, desk, bob, target)


async def test_our_own_stock_session(server: Servers, peers: Peers) -> None:
    """Told so, an rdpeer speaks it to a marked peer."""
    async with server() as running, serving(Target(DATA, closes=True)) as target:
        alice, bob, sink = peers("alice", running), peers("bob", running), Collector()
        async with listening(bob, target):
            connector = alice.connector(bob.id, target=target, password=PASSWORD, person=Somebody())
            await pipe(connector, "", Text(b"", endless=True), sink)
        assert sink.data == DATA


async def test_without_it_no_desktop_is_spoken_to(server: Servers, peers: Peers) -> None:
    async with server() as running, serving(Target()) as target:
        bob = peers("bob", running)
        async with bob.listening(TargetService(target)) as listener:
            with pytest.raises(asyncio.IncompleteReadError):
                await client(running).forward(bob.id.text, "localhost", target.port)
            await listener.details.said("does not speak the rdpeer channel")


async def test_a_session_in_clear_is_closed(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def plain(self: Client, leg: Wire, peer: str, signed: bytes) -> None:
        await leg.hear()
        leg.say()

    monkeypatch.setattr(Client, "_shake_hands", plain)
    async with server() as running, serving(Target()) as target:
        bob = peers("bob", running)
        async with listening(bob, target) as listener:
            with pytest.raises(asyncio.IncompleteReadError):
                await client(running).forward(bob.id.text, "localhost", target.port)
            assert not [line for line in listener.reports if "accepted" in line]


async def test_test_delays_while_nobody_logs_in(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also the last one comes back before the first raw byte."""
    monkeypatch.setattr(visit_module, "_TICK", 0.001)
    told, tasks = Client._try, []

    def later(self: Client, *login: Any) -> None:
        tasks.append(asyncio.create_task(after_some(self, *login)))

    async def after_some(self: Client, *login: Any) -> None:
        await until(lambda: self.echoes >= 5)
        told(self, *login)

    monkeypatch.setattr(Client, "_try", later)
    async with server() as running, serving(Target()) as target:
        bob, desk = peers("bob", running), client(running)
        async with listening(bob, target) as listener:
            await reached(listener, desk, bob, target)
            await asyncio.gather(*tasks)
            assert desk.echoes >= 5


async def test_who_never_logs_in_is_given_up(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit_module, "LOGIN_TIMEOUT", 0.05)
    async with server() as running, serving(Target()) as target:
        bob, desk = peers("bob", running), client(running)
        monkeypatch.setattr(Client, "_try", lambda *login: None)
        async with listening(bob, target) as listener:
            with pytest.raises(asyncio.IncompleteReadError):
                await desk.forward(bob.id.text, "localhost", target.port)
            await listener.reports.said("has not logged in for 0.05 s")


# The end


async def test_the_targets_end_ends_it_and_all_of_it_has_arrived(server: Servers, peers: Peers) -> None:
    bulk = DATA * 20
    async with server() as running, serving(Target(bulk, closes=True)) as target:
        bob, desk = peers("bob", running), client(running)
        async with listening(bob, target):
            leg, _ = await desk.forward(bob.id.text, "localhost", target.port)
            assert await leg.reader.read(-1) == bulk
            leg.writer.close()


async def test_the_desktops_end_ends_it(server: Servers, peers: Peers) -> None:
    aim = Target()
    async with server() as running, serving(aim) as target:
        bob, desk = peers("bob", running), client(running)
        async with listening(bob, target):
            leg, _ = await desk.forward(bob.id.text, "localhost", target.port)
            leg.writer.write(b"bye")
            leg.writer.write_eof()
            assert await leg.reader.read(-1) in (b"", b"bye"), "no half-close: what is not there yet is lost"
            leg.writer.close()
        assert aim.received == b"bye"


async def test_an_idle_tunnel_ends(server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visits, "IDLE", 0.05)
    async with server() as running, serving(Target()) as target:
        bob, desk = peers("bob", running), client(running)
        async with listening(bob, target):
            leg, _ = await desk.forward(bob.id.text, "localhost", target.port)
            assert await leg.reader.read(-1) == b""
            leg.writer.close()


async def test_nobody_could_connect_without_any_way_in(server: Servers, peers: Peers) -> None:
    async with server() as running:
        bob = peers("bob", running)
        with fails(UsageError, 2, "no way in was chosen") as caught:
            async with bob.listening(entry=Entry()):
                pass
        assert "--allow-stock" in (caught.value.hint or "")
