"""The doctor: what it finds where everything is well, and what where one thing is not."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from pathlib import Path

import proxies
import pytest
from parties import Peer, Peers, fails
from proxies import Proxy

from rdpeer.errors import IdentityMismatch, ServerUnreachable, UsageError
from rdpeer.peer.doctor import CHECKS, Finding, Level, examine, machine, membership, network, patient
from rdpeer.peer.doctor.patient import Membership
from rdpeer.peer.register import Member
from rdpeer.protocol.registration import Contested, Online
from rdpeer.server import Server
from rdpeer.settings import Settings
from rdpeer.store.lock import keep_online
from rdpeer.values import Endpoint, ServerAddress, ServerKey, WebAddress

Servers = Callable[..., Server]


async def examined(peer: Peer, *, quick: bool = True) -> list[Finding]:
    return [finding async for finding in examine(peer.profile, lambda: peer.settings, quick=quick)]


def problems(findings: list[Finding]) -> dict[str, Level]:
    for finding in findings:
        assert finding.text.isprintable()
        assert finding.remedy.isprintable()
        assert bool(finding.remedy) == (finding.level is not Level.OK), finding
        assert bool(finding.error) == (finding.level is Level.FAIL)
    return {finding.check: finding.level for finding in findings if finding.level is not Level.OK}


def of(check: str, findings: list[Finding]) -> Finding:
    return next(finding for finding in reversed(findings) if finding.check == check)


async def test_all_is_well(server: Servers, peers: Peers) -> None:
    async with server() as running:
        findings = await examined(peers("bob", running))
        assert problems(findings) == {}
        base = running.link.server.port
        assert [finding.check for finding in findings] == [
            *["settings"] * 2,
            *["secret store"] * 2,
            "clock",
            "dns",
            f"port {base - 1}/tcp",
            f"port {base}/tcp",
            f"port {base}/udp",
            f"port {base + 2}/tcp",
            "nat",
            "key",
            "registration",
            "signature",
            f"port {base + 1}/tcp",
            f"port {base + 3}/tcp",
            "relay",
            "server",
        ]


async def test_it_leaves_nothing_behind(server: Servers, peers: Peers) -> None:
    """The lock is free again, and the next examination finds the same."""
    async with server() as running:
        bob = peers("bob", running)
        assert problems(await examined(bob)) == problems(await examined(bob)) == {}
        with keep_online(bob.profile.state, running.link.server, "a test"):
            pass


async def test_a_listener_is_not_disturbed(server: Servers, peers: Peers) -> None:
    async with server() as running:
        bob, alice = peers("bob", running), peers("alice", running)
        async with bob.listening() as listening:
            findings = await examined(bob)
            assert problems(findings) == {}
            registration = of("registration", findings)
            assert registration.text.startswith(f"{bob.id} is kept online by 'rdpeer listen'")
            assert of("signature", findings).text == "the server vouches for our key"
            assert await alice.send(b"hello", bob.id) == b"hello"
            assert not [line for line in listening.reports if "offline" in line or "denied" in line]


async def test_a_listener_that_the_server_does_not_hear(server: Servers, peers: Peers) -> None:
    async with server() as running:
        bob = peers("bob", running)
        with keep_online(bob.profile.state, running.link.server, "rdpeer listen"):
            assert problems(await examined(bob)) == {"registration": Level.WARN}


async def test_no_server_is_set(peers: Peers) -> None:
    findings = await examined(peers("bob"))
    assert problems(findings) == {"settings": Level.FAIL}
    assert isinstance(findings[0].error, UsageError)
    assert {finding.check for finding in findings} == {"settings", "secret store", "clock"}


async def test_settings_that_cannot_be_read(peers: Peers) -> None:
    def broken() -> Settings:
        raise UsageError("config.toml is no TOML", hint="mend it")

    findings = [finding async for finding in examine(peers("bob").profile, broken, quick=True)]
    assert problems(findings) == {"settings": Level.FAIL}


async def test_another_key(server: Servers, peers: Peers) -> None:
    async with server() as running:
        findings = await examined(peers("bob", running, key=ServerKey("A" * 43 + "=")))
    assert problems(findings) == {"key": Level.FAIL, "registration": Level.FAIL}
    assert isinstance(of("key", findings).error, IdentityMismatch)
    assert "none that counts" in str(of("registration", findings).error)  # it is for another server


async def test_no_key(server: Servers, peers: Peers) -> None:
    async with server() as running:
        findings = await examined(peers("bob", running, key=None))
    assert problems(findings) == {"settings": Level.WARN, "key": Level.FAIL}


async def test_a_server_that_is_not_there(peers: Peers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    findings = await examined(peers("bob", server=ServerAddress("127.0.0.1", port), key=ServerKey("text")))
    found = problems(findings)
    assert found[f"port {port - 1}/tcp"] is Level.WARN
    assert found[f"port {port}/tcp"] is found[f"port {port}/udp"] is Level.FAIL
    assert isinstance(of(f"port {port}/tcp", findings).error, ServerUnreachable)
    assert findings[-1].check == f"port {port}/udp"


async def test_a_name_that_does_not_resolve(peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(address: ServerAddress) -> list[object]:
        raise OSError(f"{address}: Name or service not known")

    monkeypatch.setattr(network, "resolve", unknown)
    findings = await examined(peers("bob", server=ServerAddress("vps.example"), key=ServerKey("text")))
    assert problems(findings) == {"settings": Level.WARN, "dns": Level.FAIL}
    assert findings[-1].check == "dns"


async def test_an_address_family_that_this_machine_has_not(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(network, "address_towards", lambda ip: None)
    async with server() as running:
        findings = await examined(peers("bob", running))
    assert problems(findings) == {"dns": Level.FAIL}


async def test_a_server_reached_by_websocket(server: Servers, peers: Peers) -> None:
    async with server() as running:
        base = running.link.server.port
        url = WebAddress.parse_url(f"ws://127.0.0.1:{base + 2}")
        findings = await examined(peers("bob", running, server=url))
        checks = [finding.check for finding in findings]
        assert checks[5:11] == ["dns", "rendezvous", "nat", "key", "registration", "signature"]
        assert problems(findings) == {}
        assert [finding.text for finding in findings if finding.check == "relay"] == [
            f"ws://127.0.0.1:{base + 3} answers",
            of("relay", findings).text,
        ]


async def test_a_server_reached_through_a_proxy(server: Servers, peers: Peers) -> None:
    async with server() as running, proxies.running(Proxy("socks5")) as proxy:
        with proxies.through(proxy.url):
            findings = await examined(peers("bob", running))
        assert problems(findings) == {}
        assert of("dns", findings).text == f"left to the proxy {proxy.url}"
        assert of("nat", findings).text.startswith("of no matter: connections go through a proxy")
        base = running.link.server.port
        assert set(proxy.asked) == {f"127.0.0.1:{base}", f"127.0.0.1:{base + 1}"}


async def test_a_relay_with_another_key(server: Servers, peers: Peers) -> None:
    async with server() as running, server() as other:
        findings = await examined(peers("bob", running, relay_servers=(other.link.server.offset(1),)))
    assert problems(findings) == {"relay": Level.FAIL}


async def test_each_of_several_relays(server: Servers, peers: Peers) -> None:
    async with server() as running, server() as other:
        relays = (running.link.server.offset(1), other.link.server.offset(1))
        findings = await examined(peers("bob", running, relay_servers=relays))
    told = [finding for finding in findings if finding.check == "relay"]
    assert [finding.level for finding in told] == [Level.OK, Level.FAIL]


async def test_the_server_has_another_key_for_our_id(server: Servers, peers: Peers) -> None:
    """Somebody else has registered it before."""
    async with server() as running:
        bob, other = peers("bob", running), peers("other", running)
        text = bob.profile.identity.read_text().replace(str(bob.id), str(other.id))
        bob.profile.identity.write_text(text)
        async with other.listening():
            findings = await examined(bob)
            with keep_online(bob.profile.state, running.link.server, "rdpeer listen"):
                seen = await examined(bob)
    assert problems(findings) == {"registration": Level.FAIL}
    assert "belongs to another installation" in of("registration", findings).text
    assert problems(seen) == {"signature": Level.FAIL}


async def test_a_clone(server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(membership, "_WATCHED_FOR", 0.0)
    async with server() as running:
        bob = peers("bob", running)
        findings = await examined(bob, quick=False)
        assert problems(findings) == {}
        assert findings[-1].check == "identity"

        entered = Membership.__aenter__

        async def beside_another(self: Membership) -> Membership:
            await entered(self)
            self._report(Contested(bob.id, running.link.server, 1))
            return self

        monkeypatch.setattr(Membership, "__aenter__", beside_another)
        assert problems(await examined(bob, quick=False)) == {"identity": Level.WARN}


async def test_files_that_others_may_write(server: Servers, peers: Peers) -> None:
    async with server() as running:
        bob = peers("bob", running)
        bob.authorize(bob.key)
        bob.profile.authorized_peers.chmod(0o666)
        assert problems(await examined(bob)) == {"secret store": Level.FAIL}
        bob.profile.authorized_peers.chmod(0o600)
        bob.profile.identity.chmod(0o644)
        found = problems(await examined(bob))
        assert found["secret store"] is Level.FAIL


@pytest.mark.parametrize(("now", "level"), [(0.0, Level.FAIL), (1_800_000_000.0, Level.WARN)])
async def test_a_clock_that_is_wrong(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch, now: float, level: Level, tmp_path: Path
) -> None:
    async with server() as running:
        bob = peers("bob", running)
        os.utime(bob.profile.identity, (1_900_000_000, 1_900_000_000))
        monkeypatch.setattr(machine, "wall", lambda: now)
        assert problems(await examined(bob))["clock"] is level


def test_each_check_says_what_it_is_for() -> None:
    assert all(check.__doc__ for _, check in CHECKS)


async def test_a_registration_that_ends_while_it_is_watched(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with server() as running:
        bob = peers("bob", running)
        member = Member(bob.profile, bob.identity, bob.settings)

    async def ends(member: Member, answer: object, report: Callable[[object], None], **_: object) -> None:
        report(Online(bob.id, member.server.address, Endpoint("127.0.0.1", 1)))
        await asyncio.sleep(0)
        raise ServerUnreachable("no answer")

    monkeypatch.setattr(patient, "stay_online", ends)
    with fails(ServerUnreachable, 3):
        async with Membership(member) as entered:
            await entered.watch(60.0)


async def test_the_highest_port_that_there_can_be(peers: Peers) -> None:
    findings = await examined(peers("bob", server=ServerAddress("127.0.0.1", 65534), key=ServerKey("text")))
    assert of("port 65534/tcp", findings).level is Level.FAIL
