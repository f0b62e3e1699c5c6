"""``rdpeer connect``: stdin and stdout, and a peer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import click

from rdpeer.cli.common import Command, Invocation, run
from rdpeer.cli.person import Terminal
from rdpeer.cli.secrets import given_secrets

if TYPE_CHECKING:
    from rdpeer.peer.connect import Connector
    from rdpeer.peer.trust import Trust
    from rdpeer.settings import Settings
    from rdpeer.values import PeerAddress

T = TypeVar("T")


@click.command(cls=Command)
@click.argument("peer", metavar="ID")
@click.argument("target", metavar="[HOST:PORT]", default="")
@click.option("--relay", is_flag=True, help="Use only the relay.")
@click.option("--direct", is_flag=True, help="Use only a direct path.")
@click.option("--peer-key", metavar="KEY", help="The fingerprint or key that the peer must prove.")
@click.option("--password-file", metavar="PATH", help="The password is the first line of this file.")
@click.option("--recv-only", is_flag=True, help="Only receive; stdin is not read.")
@click.option("--send-only", is_flag=True, help="Only send; end when all of it is delivered.")
@click.pass_obj
def command(
    invocation: Invocation,
    peer: str,
    target: str,
    relay: bool,
    direct: bool,
    peer_key: str | None,
    password_file: str | None,
    recv_only: bool,
    send_only: bool,
) -> None:
    """Connect stdin and stdout to a peer.

    ID may be typed with spaces, as ID/r (relay only) or ID@HOST?key=KEY (another
    server). HOST:PORT asks the peer for a target that it allows.
    """
    from rdpeer.peer.connect import Connector, Way
    from rdpeer.peer.setup import rendezvous_server
    from rdpeer.store.identity import load_or_create
    from rdpeer.values import PeerAddress, ServerAddress

    if relay and direct:
        raise click.UsageError("--relay and --direct exclude each other")
    if recv_only and send_only:
        raise click.UsageError("--recv-only and --send-only exclude each other")
    address = _parsed(PeerAddress.parse, peer)
    if direct and address.force_relay:
        raise click.UsageError(f"--direct and {peer} contradict each other")
    if target:
        target = str(_parsed(ServerAddress.parse_target, target))
    settings = invocation.settings().at(address)
    connector = Connector(
        load_or_create(invocation.profile),
        address.peer,
        rendezvous_server(settings),
        settings.relay_server,
        _trust(invocation, settings, address, peer_key),
        Terminal(invocation),
        Way.RELAY if relay or address.force_relay else Way.DIRECT if direct else Way.ANY,
        given_secrets(password_file),
    )
    run(lambda: _pipe(connector, target, settings.timeout, recv_only, send_only))


async def _pipe(
    connector: Connector, target: str, timeout: float | None, recv_only: bool, send_only: bool
) -> None:
    from rdpeer.net.stdio import FdSink, FdSource
    from rdpeer.peer.connect import pipe

    source, sink = FdSource(0), FdSink(1)
    await pipe(connector, target, source, sink, timeout=timeout, recv_only=recv_only, send_only=send_only)


def _trust(invocation: Invocation, settings: Settings, address: PeerAddress, peer_key: str | None) -> Trust:
    from rdpeer.peer.trust import Trust, expected_key
    from rdpeer.store.known_peers import KnownPeers

    known = KnownPeers(invocation.profile.known_peers)
    expected = _parsed(expected_key, peer_key) if peer_key is not None else None
    return Trust(known, settings.pin, address.peer, settings.require_server(), expected)


def _parsed(parse: Callable[[str], T], text: str) -> T:
    try:
        return parse(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
