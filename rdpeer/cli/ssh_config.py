"""``rdpeer ssh-config``: what to write into ~/.ssh/config."""

from __future__ import annotations

import click

from rdpeer.cli import voice
from rdpeer.cli.common import Command, Invocation
from rdpeer.cli.reach import stock_option


@click.command(cls=Command)
@stock_option("For the ssh server of a RustDesk desktop.")
@click.argument("peer", metavar="ID")
@click.pass_obj
def command(invocation: Invocation, stock: bool, peer: str) -> None:
    """Print the lines for ~/.ssh/config that reach a peer."""
    from rdpeer.cli.openssh import options
    from rdpeer.values import PeerAddress

    try:
        address = PeerAddress.parse(peer)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    voice.answer(f"Host {address.peer}")
    for name, value in options(invocation, address, peer, stock=stock).items():
        voice.answer(f"    {name} {value}")
