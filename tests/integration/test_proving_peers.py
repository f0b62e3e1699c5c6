"""Identities that prove their keys at the bundled server, over UDP and TCP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from bare_clients import Datagrams, Stream, message

from rdpeer.crypto.keys import IdentityKey
from rdpeer.crypto.possession import Possession
from rdpeer.errors import ServerRefused
from rdpeer.net.driver import converse
from rdpeer.protocol.line_registration import LineRegistration
from rdpeer.protocol.question import RendezvousServer
from rdpeer.protocol.registrant import Registrant
from rdpeer.protocol.registration import Registration
from rdpeer.server import Server
from rdpeer.values import PeerId
from rdpeer.wire import rendezvous_pb2 as wire

MakeServer = Callable[..., Server]
KEY = IdentityKey.from_seed(b"\x05" * 32)
PEER = PeerId("612345678")
UNSIGNED = message(register_pk=wire.RegisterPk(id=str(PEER), uuid=b"uuid", pk=KEY.public.raw))


def registrant(server: Server) -> Registrant:
    return Registrant(PEER, b"uuid", KEY.public, Possession(KEY, server.key))


async def come_online(server: Server, kind: str, who: Registrant) -> None:
    if kind == "tcp":
        where = RendezvousServer(server.link.server, server.link.key)
        await converse(LineRegistration(who, where, confirmed=True, once=True))
    else:
        await converse(Registration(who, server.link.server, confirmed=False, once=True, patience=5.0))


def is_proven(server: Server) -> bool:
    return server.operator.registry.get(str(PEER)).registration.proven


@pytest.mark.parametrize("kind", ["udp", "tcp"])
async def test_it_proves_its_key_and_comes_back_from_other_ports(
    server: MakeServer, tmp_path: Path, kind: str
) -> None:
    async with server(data_dir=tmp_path / "kept") as running:
        for _ in range(5):  # more often than one ID may register without a proof
            await come_online(running, kind, registrant(running))
            assert is_proven(running)
    async with server(data_dir=tmp_path / "kept") as again:
        assert is_proven(again)
        await come_online(again, kind, registrant(again))


@pytest.mark.parametrize("kind", ["udp", "tcp"])
async def test_without_a_proof_it_is_told_why(server: MakeServer, kind: str) -> None:
    async with server() as running:
        await come_online(running, kind, registrant(running))
        with pytest.raises(ServerRefused, match="wants a proof of the ID's key") as refused:
            await come_online(running, kind, replace(registrant(running), possession=None))
        assert "rdpeer server key show" in str(refused.value.hint)
        for stranger in (KEY, IdentityKey.from_seed(b"\x06" * 32)):
            wrong = Possession(KEY, stranger.public)
            with pytest.raises(ServerRefused, match="none that counts"):
                await come_online(running, kind, replace(registrant(running), possession=wrong))


async def test_an_older_rdpeer_and_a_stock_client_are_told_that_the_id_is_taken(server: MakeServer) -> None:
    async with server() as running:
        await come_online(running, "udp", registrant(running))
        with Datagrams(running) as older:
            known = await older.ask(message(register_peer=wire.RegisterPeer(id=str(PEER))))
            assert known.register_peer_response == wire.RegisterPeerResponse(request_pk=True)
            answer = (await older.ask(UNSIGNED)).register_pk_response
            assert answer.result == wire.RegisterPkResponse.UUID_MISMATCH
        async with Stream(running.base) as line:
            line.send(UNSIGNED)
            answer = (await line.hear_message()).register_pk_response
            assert answer.result == wire.RegisterPkResponse.UUID_MISMATCH


async def test_the_operator_frees_the_id(server: MakeServer) -> None:
    async with server() as running:
        await come_online(running, "udp", registrant(running))
        await running.operator.remove(str(PEER))
        other = IdentityKey.from_seed(b"\x06" * 32)
        await come_online(running, "udp", Registrant(PEER, b"new", other.public))
        assert not is_proven(running)


async def test_both_keys_count_while_the_server_s_key_rotates(server: MakeServer) -> None:
    async with server() as running:
        before = registrant(running)
        await come_online(running, "udp", before)
        running.operator.rotate(days=1.0)
        await come_online(running, "udp", before)
        await come_online(
            running, "udp", replace(before, possession=Possession(KEY, running.operator.keys.public))
        )


async def test_several_at_one_address_prove_at_the_same_time(server: MakeServer) -> None:
    async with server() as running:
        await asyncio.gather(
            *(
                come_online(running, kind, replace(registrant(running), peer=PeerId(f"61234567{n}")))
                for n, kind in enumerate(["udp", "tcp"] * 3)
            )
        )
        assert all(peer.registration.proven for peer in running.operator.registry.all())
