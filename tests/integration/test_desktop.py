"""Reaching a port of a stock desktop: the stand-in at the bundled server, direct and relayed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import date
from typing import Any

import pytest
import stock_desktop
from bare_clients import until
from parties import Collector, Loop, Peers, Somebody, Text, fails
from stock_desktop import Desktop

from rdpeer.errors import (
    AuthenticationFailed,
    ConnectionLost,
    DeadlineExceeded,
    IdentityMismatch,
    PeerRefused,
    RdpeerError,
    RemoteProtocolError,
)
from rdpeer.peer import desktop as module
from rdpeer.peer.connect import Way, pipe
from rdpeer.peer.desktop import NOT_ENCRYPTED
from rdpeer.peer.trust import expected_key
from rdpeer.protocol.gate import Method
from rdpeer.protocol.login_errors import WrongPassword
from rdpeer.server import Server
from rdpeer.store.known_peers import Kind, Pin, Proof
from rdpeer.values import PeerId, PinPolicy, PublicKey, ServerAddress

Servers = Callable[..., Server]

PEER = PeerId("178000002")
PASSWORD = "Lab-pass-1"
DATA = bytes(range(256)) * 2000
WAITING = "waiting for somebody at the desktop to accept"


class Target:
    """What the desktop connects to: answers ``answer`` behind the first byte, or echoes; then stays open
    until the other end closes, unless ``closes``."""

    def __init__(self, answer: bytes | None = None, *, closes: bool = False) -> None:
        self._answer = answer
        self._closes = closes
        self.received = b""
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._answer is not None:
            writer.write(self._answer)
        with suppress(ConnectionError):
            while not self._closes and (data := await reader.read(65536)):
                self.received += data
                if self._answer is None:
                    writer.write(data)
                    await writer.drain()
        writer.close()


@asynccontextmanager
async def serving(target: Target) -> AsyncIterator[ServerAddress]:
    server = await asyncio.start_server(target.serve, "127.0.0.1")
    try:
        yield ServerAddress("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()


@asynccontextmanager
async def registered(server: Server, **options: Any) -> AsyncIterator[Desktop]:
    async with Desktop(**{"id": PEER.text, **options}) as desktop:
        assert server.link.key is not None
        await desktop.register(server.link.server.host, server.link.server.port, server.link.key.text)
        yield desktop


async def talk(alice: Any, data: bytes = DATA, **how: Any) -> bytes:
    """Sends ``data`` and reads until as much came back; then the end of our input."""
    sink = Loop()

    class Conversation(Text):
        async def read(self, limit: int) -> bytes:
            if chunk := await super().read(limit):
                return chunk
            await until(lambda: len(sink.data) >= len(data))
            return b""

    await pipe(
        alice.connector(PEER, **{"linger": 0.0, "password": PASSWORD, **how}), "", Conversation(data), sink
    )
    assert sink.finished
    return sink.data


@pytest.mark.parametrize(
    ("way", "path"), [(Way.ANY, "direct"), (Way.DIRECT, "direct"), (Way.RELAY, "relay")], ids=lambda v: str(v)
)
async def test_bytes_there_and_back(server: Servers, peers: Peers, way: Way, path: str) -> None:
    async with server() as running, serving(Target()) as target, registered(running) as desktop:
        alice, person = peers("alice", running), Somebody()
        assert await talk(alice, way=way, target=target, person=person) == DATA
        assert any(told.startswith(f"path: {path} ") for told in person.details)
        key = PublicKey(desktop.key.verify_key.encode()).fingerprint
        assert person.notes == [f"the key of {PEER} is {key}; only the server vouches for it", NOT_ENCRYPTED]
        (login,) = desktop.logins
        assert (login.username, login.my_id, login.version) == (PEER.text, alice.id.text, "1.4.9")
        assert login.my_name
        assert login.my_platform


async def test_a_desktop_that_can_only_be_relayed(server: Servers, peers: Peers) -> None:
    async with server() as running, serving(Target()) as target, registered(running, relay_only=True):
        assert await talk(peers("alice", running), target=target) == DATA


async def test_the_pin_says_that_it_is_stock(server: Servers, peers: Peers) -> None:
    async with server() as running, serving(Target()) as target, registered(running):
        alice = peers("alice", running)
        await talk(alice, target=target)
        (pin,) = alice.known.pins()
        assert (pin.kind, pin.proof) == (Kind.STOCK, Proof.SERVER)
        person = Somebody()
        assert await talk(alice, target=target, person=person) == DATA
        assert person.notes == [NOT_ENCRYPTED]


async def test_without_being_told_a_desktop_is_not_spoken_to(server: Servers, peers: Peers) -> None:
    async with server() as running, registered(running) as desktop:
        with fails(IdentityMismatch, 7, "does not speak the rdpeer channel") as caught:
            await peers("alice", running).send(b"", PEER)
        assert "--stock" in (caught.value.hint or "")
        assert desktop.logins == []


async def test_a_peer_that_is_pinned_as_an_rdpeer_is_no_desktop(server: Servers, peers: Peers) -> None:
    """At another server, too: its key is the same."""
    async with server() as running, serving(Target()) as target, registered(running) as desktop:
        for number, at in enumerate((str(running.link.server), "elsewhere.example:21116")):
            alice = peers(f"alice{number}", running)
            key = PublicKey(desktop.key.verify_key.encode())
            alice.known.add(Pin(at, PEER, key, Kind.RDPEER, Proof.CODE, date(2026, 1, 31)))
            connector = alice.connector(PEER, target=target, password=PASSWORD)
            assert connector.trust.kind is (Kind.STOCK if number else Kind.RDPEER)
            if connector.trust.kind is Kind.RDPEER:
                connector.desktop = None  # as the command line does
            with fails(IdentityMismatch, 7):
                await connector.connect()
        assert desktop.logins == []


async def test_a_changed_key(server: Servers, peers: Peers) -> None:
    async with server() as running, serving(Target()) as target, registered(running) as desktop:
        alice = peers("alice", running)
        other = PublicKey(bytes(32))
        alice.known.add(
            Pin(str(running.link.server), PEER, other, Kind.STOCK, Proof.SERVER, date(2026, 1, 31))
        )
        with fails(IdentityMismatch, 7):
            await talk(alice, target=target)
        assert desktop.logins == []


@pytest.mark.parametrize("form", ["fingerprint", "text"])
async def test_a_peer_key(server: Servers, peers: Peers, form: str) -> None:
    async with server() as running, serving(Target()) as target, registered(running) as desktop:
        alice, key = peers("alice", running), PublicKey(desktop.key.verify_key.encode())
        person = Somebody()
        known = expected_key(str(getattr(key, form)))
        assert await talk(alice, target=target, peer_key=known, person=person) == DATA
        assert person.notes == [NOT_ENCRYPTED]
        wrong = expected_key(str(PublicKey(bytes(range(32))).fingerprint))
        with fails(IdentityMismatch, 7):
            await talk(alice, target=target, peer_key=wrong)


@pytest.mark.parametrize("how", [{"plain": True}, {"unsigned": True}], ids=["in clear", "unsigned"])
async def test_who_proves_nothing_is_told_nothing(
    server: Servers, peers: Peers, how: dict[str, bool]
) -> None:
    async with server() as running, serving(Target()) as target, registered(running, **how) as desktop:
        with fails(IdentityMismatch, 7):
            await talk(peers("alice", running), target=target)
        assert desktop.logins == []


async def test_strict_takes_no_desktop_that_only_the_server_vouches_for(
    server: Servers, peers: Peers
) -> None:
    async with server() as running, serving(Target()) as target, registered(running) as desktop:
        with fails(IdentityMismatch, 7, "not pinned"):
            await talk(peers("alice", running, pin=PinPolicy.STRICT), target=target)
        assert desktop.logins == []


async def test_a_person_is_asked_about_the_key_before_anything_is_shown(
    server: Servers, peers: Peers
) -> None:
    async with server() as running, serving(Target()) as target, registered(running) as desktop:
        alice, person = peers("alice", running, pin=PinPolicy.ASK), Somebody()
        assert await talk(alice, target=target, person=person) == DATA
        assert person.asked == [PublicKey(desktop.key.verify_key.encode())]
        (pin,) = alice.known.pins()
        assert (pin.kind, pin.proof) == (Kind.STOCK, Proof.PEER_KEY)


# Being let in


async def test_the_password_is_asked_for_with_no_connection_open(server: Servers, peers: Peers) -> None:
    async with server() as running, serving(Target()) as target, registered(running, relay_only=True):

        class Asked(Somebody):
            async def desktop_password(self) -> str | None:
                await until(lambda: running.connections == 0)
                return await super().desktop_password()

        person = Asked(desktop_passwords=[PASSWORD])
        assert await talk(peers("alice", running), target=target, password=None, person=person) == DATA


async def test_a_slip_at_the_terminal_is_forgiven_twice(server: Servers, peers: Peers) -> None:
    async with server() as running, serving(Target()) as target, registered(running) as desktop:
        alice, person = peers("alice", running), Somebody(desktop_passwords=["a", "b", PASSWORD])
        assert await talk(alice, target=target, password=None, person=person) == DATA
        assert person.notes[:2] == ["the desktop says that the password is wrong"] * 2
        person = Somebody(desktop_passwords=["a", "b", "c", PASSWORD])
        with fails(WrongPassword, 6):
            await talk(alice, target=target, password=None, person=person)
        assert len(desktop.failures) == 5


async def test_a_wrong_password_that_was_given_is_not_tried_again(server: Servers, peers: Peers) -> None:
    async with server() as running, serving(Target()) as target, registered(running) as desktop:
        alice, person = peers("alice", running), Somebody(desktop_passwords=[PASSWORD])
        with fails(WrongPassword, 6, "the password is wrong"):
            await talk(alice, target=target, password="nope", person=person)
        assert person.asked == []
        assert len(desktop.failures) == 1
        assert alice.known.pins() == [], "nothing is pinned before we are let in"


async def test_a_one_time_password_of_the_desktop(server: Servers, peers: Peers) -> None:
    async with server() as running, serving(Target()) as target, registered(running, one_time="q7x2mn"):
        assert await talk(peers("alice", running), target=target, password="q7x2mn") == DATA


async def test_a_code_of_an_rdpeer_is_not_shown_to_a_desktop(server: Servers, peers: Peers) -> None:
    async with (
        server() as running,
        serving(Target()) as target,
        registered(running, person="accept") as desktop,
    ):
        person = Somebody(desktop_passwords=[None])
        secrets = {Method.CODE: b"00000000"}
        alice = peers("alice", running)
        assert await talk(alice, target=target, password=None, person=person, secrets=secrets) == DATA
        assert [login.password for login in desktop.logins] == [b""]


@pytest.mark.parametrize("how", [{"click_only": True}, {}], ids=["no password access", "no password"])
async def test_a_person_there_accepts(server: Servers, peers: Peers, how: dict[str, bool]) -> None:
    async with (
        server() as running,
        serving(Target()) as target,
        registered(running, delay=0.01, **how) as desktop,
    ):
        person, alice = Somebody(desktop_passwords=[None]), peers("alice", running)
        password = PASSWORD if how else None
        talking = asyncio.create_task(talk(alice, target=target, password=password, person=person))
        assert await person.notes.said(WAITING)
        await until(lambda: bool(desktop.logins))
        desktop.clicks.put_nowait("accept")
        assert await talking == DATA
        assert person.notes.count(WAITING) == 1


async def test_a_person_there_may_take_their_time(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The desktop hears from us, though seldom."""
    monkeypatch.setattr(module, "SILENCE", 2.0)
    async with server() as running, serving(Target()) as target, registered(running, delay=0.01) as desktop:
        person, alice = Somebody(desktop_passwords=[None]), peers("alice", running)
        talking = asyncio.create_task(talk(alice, target=target, password=None, person=person))
        await person.notes.said(WAITING)
        echoes = desktop.echoes
        await until(lambda: desktop.echoes > echoes)
        desktop.clicks.put_nowait("accept")
        assert await talking == DATA


async def test_a_person_there_turns_us_away(server: Servers, peers: Peers) -> None:
    async with server() as running, serving(Target()) as target, registered(running, person="reject"):
        person = Somebody(desktop_passwords=[None])
        with fails(PeerRefused, 11, "Closed manually by the peer"):
            await talk(peers("alice", running), target=target, password=None, person=person)


async def test_a_second_factor_while_the_desktop_hears_from_us(server: Servers, peers: Peers) -> None:
    async with (
        server() as running,
        serving(Target()) as target,
        registered(running, second_factor=["123456"], delay=0.01) as desktop,
    ):

        class Slow(Somebody):
            async def second_factor(self, again: bool) -> str:
                echoes = desktop.echoes
                await until(lambda: desktop.echoes > echoes + 2)
                return await super().second_factor(again)

        person = Slow(codes=["000000", "123456"])
        assert await talk(peers("alice", running), target=target, person=person) == DATA
        assert person.asked == ["code", "again"]
        assert desktop.codes == ["000000", "123456"]


async def test_three_wrong_codes(server: Servers, peers: Peers) -> None:
    async with server() as running, serving(Target()) as target, registered(running, second_factor=["1"]):
        person = Somebody(codes=["a", "b", "c", "1"])
        with fails(AuthenticationFailed, 6, "second factor is wrong"):
            await talk(peers("alice", running), target=target, person=person)
        assert person.codes == ["1"]


async def test_nobody_to_give_the_code(server: Servers, peers: Peers) -> None:
    class Nobody(Somebody):
        async def second_factor(self, again: bool) -> str:
            raise AuthenticationFailed("the desktop wants a code of its second factor")

    async with server() as running, serving(Target()) as target, registered(running, second_factor=["1"]):
        with fails(AuthenticationFailed, 6, "wants a code"):
            await talk(peers("alice", running), target=target, person=Nobody())


async def test_a_desktop_that_goes_while_we_are_asked_for_the_code(server: Servers, peers: Peers) -> None:
    class Slow(Somebody):
        async def second_factor(self, again: bool) -> str:
            desktop.clicks.put_nowait("reject")
            await asyncio.Event().wait()
            raise AssertionError

    async with (
        server() as running,
        serving(Target()) as target,
        registered(running, second_factor=["1"]) as desktop,
    ):
        with fails(PeerRefused, 11):
            await talk(peers("alice", running), target=target, person=Slow())


async def test_its_lockout(server: Servers, peers: Peers) -> None:
    async with server() as running, serving(Target()) as target, registered(running) as desktop:
        alice = peers("alice", running)
        errors: list[RdpeerError] = []
        while not errors or isinstance(errors[-1], WrongPassword):
            with pytest.raises(AuthenticationFailed) as caught:
                await talk(alice, target=target, password="nope")
            errors.append(caught.value)
        assert "in this minute" in str(errors[-1])
        desktop.failures = [0.0] * 31
        with fails(AuthenticationFailed, 6, "no more passwords from our address"):
            await talk(alice, target=target)


async def test_a_target_that_is_closed(server: Servers, peers: Peers) -> None:
    async with server() as running, registered(running):
        with fails(PeerRefused, 11, "cannot reach the target: Failed to access remote 127.0.0.1:1"):
            await talk(peers("alice", running), target=ServerAddress("127.0.0.1", 1))


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [("No permission of IP tunneling", PeerRefused, 11), ("Your ID is blocked by the peer", PeerRefused, 11)],
)
async def test_what_it_refuses(
    server: Servers, peers: Peers, text: str, kind: type[RdpeerError], code: int
) -> None:
    async with server() as running, serving(Target()) as target, registered(running, answers=[text]):
        with fails(kind, code):
            await talk(peers("alice", running), target=target)


async def test_a_desktop_that_falls_silent(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SILENCE", 0.05)
    async with server() as running, serving(Target()) as target, registered(running, delay=60.0):
        person = Somebody(desktop_passwords=[None])
        with fails(DeadlineExceeded, 8, "has been silent"):
            await talk(peers("alice", running), target=target, password=None, person=person)


# The end


async def test_the_target_ends_it(server: Servers, peers: Peers) -> None:
    """Input that never ends does not hold it."""
    async with server() as running, serving(Target(DATA, closes=True)) as target, registered(running):
        sink = Collector()
        connector = peers("alice", running).connector(PEER, target=target, password=PASSWORD)
        await pipe(connector, "", Text(b"", endless=True), sink)
        assert sink.data == DATA
        assert sink.finished


async def test_after_our_end_it_reads_on_while_something_comes(server: Servers, peers: Peers) -> None:
    """All of it is there, though our input ended at once."""
    bulk = DATA * 20
    async with server() as running, serving(Target(bulk)) as target, registered(running):
        sink = Collector()
        connector = peers("alice", running).connector(PEER, target=target, password=PASSWORD, linger=0.5)
        await pipe(connector, "", Text(b"go"), sink)
        assert sink.data == bulk


async def test_only_receiving_waits_for_the_target(server: Servers, peers: Peers) -> None:
    target_ = Target(DATA, closes=True)
    async with server() as running, serving(target_) as target, registered(running):
        sink = Collector()
        connector = peers("alice", running).connector(PEER, target=target, password=PASSWORD, linger=0.0)
        await pipe(connector, "", Text(b"unread"), sink, recv_only=True)
        assert sink.data == DATA
        assert target_.received == b""


async def test_only_sending_drops_what_comes(server: Servers, peers: Peers) -> None:
    target_ = Target(DATA)
    async with server() as running, serving(target_) as target, registered(running):
        sink = Collector()
        connector = peers("alice", running).connector(PEER, target=target, password=PASSWORD, linger=0.1)
        await pipe(connector, "", Text(DATA), sink, send_only=True)
        assert sink.data == b""
        await until(lambda: target_.received == DATA)


HOSTILE: dict[str, tuple[bytes, type[RdpeerError], int]] = {
    "closes": (b"", ConnectionLost, 9),
    "ends inside a frame": (b"\x28half", ConnectionLost, 9),
    "is over the limit": (b"\xff\xff\xff\xff", RemoteProtocolError, 10),
    "is not sealed": (b"\x50" + bytes(20), RemoteProtocolError, 10),
    "is one byte": (b"\x04x", RemoteProtocolError, 10),
}


@pytest.mark.parametrize("way", [Way.DIRECT, Way.RELAY], ids=["direct", "relay"])
@pytest.mark.parametrize("name", HOSTILE)
async def test_what_comes_in_the_place_of_an_answer(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch, name: str, way: Way
) -> None:
    data, kind, code = HOSTILE[name]

    async def asked(self: stock_desktop.Session, login: object) -> None:
        self._leg.writer.write(data)
        await self._leg.writer.drain()
        raise asyncio.IncompleteReadError(b"", None)  # it closes

    monkeypatch.setattr(stock_desktop.Session, "_asked", asked)
    async with server() as running, serving(Target()) as target, registered(running):
        alice = peers("alice", running)
        with fails(kind, code):
            await talk(alice, target=target, way=way)
        assert alice.known.pins() == []


async def test_a_flood_of_test_delays_takes_no_memory(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each goes back; then the login goes on."""
    asked = stock_desktop.Session._asked

    async def flood(self: stock_desktop.Session, login: Any) -> None:
        out = 5000 + self._outstanding
        for _ in range(5000):
            self._leg.say(test_delay=stock_desktop.pb.TestDelay())
        self._outstanding = True
        for _ in range(out - 1):  # the last one as ever
            assert (await self._leg.hear()).HasField("test_delay")
        await asked(self, login)

    monkeypatch.setattr(stock_desktop.Session, "_asked", flood)
    async with server() as running, serving(Target()) as target, registered(running, delay=60.0):
        assert await talk(peers("alice", running), target=target) == DATA
