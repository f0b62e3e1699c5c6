"""Several relays: the initiator takes the nearest that the peer takes, too."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from parties import Peers, Somebody

from rdpeer.crypto.keys import IdentityKey
from rdpeer.peer import ways
from rdpeer.peer.connect import Way
from rdpeer.server import Server
from rdpeer.values import ServerAddress

Servers = Callable[..., Server]


@pytest.fixture
def dead() -> ServerAddress:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return ServerAddress("127.0.0.1", sock.getsockname()[1])


async def test_one_that_is_down_is_never_the_nearest(
    server: Servers, peers: Peers, dead: ServerAddress, tmp_path: Path
) -> None:
    """The listener offers the other one, where it is to choose; a relay by itself, with the same key."""
    for name in ("one", "two"):
        keep_key(tmp_path / name)
    async with server(data_dir=tmp_path / "one") as running, server(data_dir=tmp_path / "two") as other:
        relays = (dead, other.link.server.offset(1))
        alice, bob = (peers(name, running, relay_servers=relays) for name in ("alice", "bob"))
        async with bob.listening() as listening:
            await listening.details.said("the nearest relay")
            connection = await alice.connector(bob.id, way=Way.RELAY).connect()
            assert connection.path == f"relay {relays[1]}"
            connection.stream.abort()


async def test_the_initiator_takes_the_nearest(
    server: Servers, peers: Peers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer has offered a direct path, which does not come about, and knows one of two relays."""
    monkeypatch.setattr(ways.Ways, "direct", lambda self: [])
    async with server() as running, server() as other:
        own, foreign = running.link.server.offset(1), other.link.server.offset(1)
        alice, bob = peers("alice", running, relay_servers=(foreign,)), peers("bob", running)
        person = Somebody()

        async def nearest(addresses: list[ServerAddress], within: float) -> ServerAddress:
            assert addresses == [own, foreign]
            return foreign

        monkeypatch.setattr(ways, "first_to_answer", nearest)
        async with bob.listening():
            assert await alice.send(b"hello", bob.id, person=person) == b"hello"
        refusal = f"relay {foreign}: .* is not allowed here"
        assert await person.details.said(refusal)
        assert await person.details.said(f"path: relay {own}")


def keep_key(folder: Path) -> None:
    """That of a server, the same in each folder."""
    key = IdentityKey.from_seed(b"k" * 32)
    folder.mkdir()
    secret = folder / "id_ed25519"
    secret.write_text(base64.b64encode(key.seed + key.public.raw).decode())
    secret.chmod(0o600)
    (folder / "id_ed25519.pub").write_text(key.public.text)
