"""What every command that reaches a peer is told: whom, by which way, and which key it must prove."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click

from rdpeer.cli.common import Invocation
from rdpeer.cli.person import Terminal

if TYPE_CHECKING:
    from rdpeer.peer.connect import Connector
    from rdpeer.peer.trust import Trust
    from rdpeer.protocol.gate import Method
    from rdpeer.settings import Settings
    from rdpeer.values import PeerAddress

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])


def reach_options(command: F) -> F:
    """Adds the options that :func:`connector` takes."""
    for option in reversed(
        (
            click.option("--relay", is_flag=True, help="Use only the relay."),
            click.option("--direct", is_flag=True, help="Use only a direct path."),
            click.option(
                "--peer-key", metavar="KEY", help="The fingerprint or key that the peer must prove."
            ),
        )
    ):
        command = option(command)
    return command


def stock_option(help: str) -> Callable[[F], F]:
    """Adds ``--stock``. It is said once, of one peer, and gives up encryption: no variable says it of all."""
    return click.option("--stock", is_flag=True, allow_from_autoenv=False, help=help)


def connector(
    invocation: Invocation,
    typed: str,
    *,
    relay: bool,
    direct: bool,
    peer_key: str | None,
    secrets: dict[Method, bytes] | None = None,
    stock: bool = False,
    totp_command: Sequence[str] = (),
) -> tuple[Connector, Settings]:
    """The wish to reach the peer that was ``typed``, and the settings for it. UsageError for a bad one.

    ``stock``: it is a stock desktop, where no pin knows better.
    """
    from rdpeer.peer.connect import Connector, Way
    from rdpeer.peer.setup import rendezvous_server
    from rdpeer.store.identity import load_or_create
    from rdpeer.values import PeerAddress

    if relay and direct:
        raise click.UsageError("--relay and --direct exclude each other")
    address = parsed(PeerAddress.parse, typed)
    if direct and address.force_relay:
        raise click.UsageError(f"--direct and {typed} contradict each other")
    settings = invocation.settings().at(address)
    wish = Connector(
        load_or_create(invocation.profile),
        address.peer,
        rendezvous_server(settings),
        settings.relay_servers,
        _trust(invocation, settings, address, peer_key, stock),
        Terminal(invocation, totp_command),
        Way.RELAY if relay or address.force_relay else Way.DIRECT if direct else Way.ANY,
        secrets or {},
        settings.stun,
    )
    return wish, settings


def parsed(parse: Callable[[str], T], text: str) -> T:
    """What ``parse`` makes of an argument; its ValueError is the user's."""
    try:
        return parse(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _trust(
    invocation: Invocation, settings: Settings, address: PeerAddress, peer_key: str | None, stock: bool
) -> Trust:
    from rdpeer.peer.trust import Trust, expected_key
    from rdpeer.store.known_peers import KnownPeers

    known = KnownPeers(invocation.profile.known_peers)
    expected = parsed(expected_key, peer_key) if peer_key is not None else None
    return Trust(known, settings.pin, address.peer, settings.require_server(), expected, stock=stock)
