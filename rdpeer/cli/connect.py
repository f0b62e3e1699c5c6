"""``rdpeer connect``: stdin and stdout, and a peer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import click

from rdpeer.cli import voice
from rdpeer.cli.common import Command, Invocation, run, words
from rdpeer.cli.reach import connector, parsed, reach_options, stock_option
from rdpeer.cli.secrets import given_secrets

if TYPE_CHECKING:
    from rdpeer.peer.connect import Connector
    from rdpeer.peer.desktop import Desktop
    from rdpeer.values import ServerAddress


def _linger(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise click.BadParameter(f"{text!r} is not a number of seconds.")
    return number


@click.command(cls=Command)
@click.argument("peer", metavar="ID")
@click.argument("target", metavar="[HOST:PORT]", default="")
@reach_options
@click.option("--password-file", metavar="PATH", help="The password is the first line of this file.")
@stock_option("The peer is a RustDesk desktop; its payload is not encrypted.")
@click.option("--require-encryption", is_flag=True, help="Refuse a peer whose payload is not encrypted.")
@click.option("--totp-command", metavar="COMMAND", help="What prints a desktop's 2FA code.")
@click.option(
    "--linger",
    metavar="SECONDS",
    type=_linger,
    default=10.0,
    help="How long to wait for a desktop's last bytes; 10 unless given.",
)
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
    stock: bool,
    require_encryption: bool,
    totp_command: str | None,
    linger: float,
    recv_only: bool,
    send_only: bool,
) -> None:
    """Connect stdin and stdout to a peer.

    ID may be typed with spaces, as ID/r (relay only) or ID@HOST?key=KEY (another
    server). HOST:PORT asks the peer for a target that it allows. With --stock, once,
    the peer is a RustDesk desktop, and HOST:PORT what it is to connect to.
    """
    from rdpeer.values import ServerAddress

    if recv_only and send_only:
        raise click.UsageError("--recv-only and --send-only exclude each other")
    if stock and require_encryption:
        raise click.UsageError("--stock and --require-encryption exclude each other")
    address = parsed(ServerAddress.parse_target, target) if target else None
    secrets = given_secrets(password_file)
    wish, settings = connector(
        invocation,
        peer,
        relay=relay,
        direct=direct,
        peer_key=peer_key,
        secrets=secrets,
        stock=stock,
        totp_command=words("--totp-command", totp_command) if totp_command is not None else (),
    )
    if wish.trust.kind == "stock":
        wish.desktop = _desktop(wish, address, linger, require_encryption)
    elif stock:
        voice.note(f"--stock is not heeded: {wish.peer} is pinned as an rdpeer")
    target = str(address or "")
    run(lambda: _pipe(wish, target, settings.timeout, recv_only, send_only))


def _desktop(
    wish: Connector, target: ServerAddress | None, linger: float, require_encryption: bool
) -> Desktop:
    from rdpeer.errors import IdentityMismatch, UsageError
    from rdpeer.peer.desktop import Desktop, this_machine
    from rdpeer.protocol.gate import Method
    from rdpeer.protocol.login import Visitor

    if require_encryption:
        raise IdentityMismatch(
            f"{wish.peer} is pinned as a stock desktop, and what is carried to one is not encrypted"
        )
    if target is None:
        raise UsageError(
            f"{wish.peer} is a stock desktop, which has to be told what to connect to: HOST:PORT",
            hint=f"rdpeer connect {wish.peer} localhost:22, or for ssh: rdpeer ssh --stock {wish.peer}",
        )
    password = wish.secrets.get(Method.PASSWORD)
    return Desktop(
        target,
        Visitor(wish.identity.peer_id, this_machine()),
        password.decode() if password else None,
        linger,
    )


async def _pipe(
    connector: Connector, target: str, timeout: float | None, recv_only: bool, send_only: bool
) -> None:
    from rdpeer.net.stdio import FdSink, FdSource
    from rdpeer.peer.connect import pipe

    source, sink = FdSource(0), FdSink(1)
    await pipe(connector, target, source, sink, timeout=timeout, recv_only=recv_only, send_only=send_only)
