"""``rdpeer connect``: stdin and stdout, and a peer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdpeer.cli.common import Command, Invocation, run
from rdpeer.cli.reach import connector, parsed, reach_options
from rdpeer.cli.secrets import given_secrets

if TYPE_CHECKING:
    from rdpeer.peer.connect import Connector


@click.command(cls=Command)
@click.argument("peer", metavar="ID")
@click.argument("target", metavar="[HOST:PORT]", default="")
@reach_options
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
    from rdpeer.values import ServerAddress

    if recv_only and send_only:
        raise click.UsageError("--recv-only and --send-only exclude each other")
    if target:
        target = str(parsed(ServerAddress.parse_target, target))
    secrets = given_secrets(password_file)
    wish, settings = connector(
        invocation, peer, relay=relay, direct=direct, peer_key=peer_key, secrets=secrets
    )
    run(lambda: _pipe(wish, target, settings.timeout, recv_only, send_only))


async def _pipe(
    connector: Connector, target: str, timeout: float | None, recv_only: bool, send_only: bool
) -> None:
    from rdpeer.net.stdio import FdSink, FdSource
    from rdpeer.peer.connect import pipe

    source, sink = FdSource(0), FdSink(1)
    await pipe(connector, target, source, sink, timeout=timeout, recv_only=recv_only, send_only=send_only)
