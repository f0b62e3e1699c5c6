"""``rdpeer listen``: let peers in."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rdpeer.cli import voice
from rdpeer.cli.common import Command, Invocation, run, words
from rdpeer.cli.secrets import given_password, password_in

if TYPE_CHECKING:
    from rdpeer.peer.listen import StockEntry
    from rdpeer.peer.register import Member
    from rdpeer.peer.services import Service
    from rdpeer.settings import Settings
    from rdpeer.values import ServerAddress


@click.command(cls=Command)
@click.option("--to", metavar="HOST:PORT", help="Connect each peer to this TCP target.")
@click.option("--exec", "program", metavar="COMMAND", help="Run this program for each peer.")
@click.option("--allow", metavar="HOST:PORT", multiple=True, help="A target that peers may name; repeatable.")
@click.option("--password-file", metavar="PATH", help="Let in who knows the first line of this file.")
@click.option("--open", "open_to_all", is_flag=True, help="Let in everybody who knows the ID.")
@click.option("--allow-stock", is_flag=True, help="Let in RustDesk desktops too, to --to, unencrypted.")
@click.option("--stock-password-file", metavar="PATH", help="Their password: the first line of this file.")
@click.option("--recv-only", is_flag=True, help="Only receive; stdin is not read.")
@click.option("--send-only", is_flag=True, help="Only send; end when all of it is delivered.")
@click.option("--no-discovery", is_flag=True, help="Do not answer who asks for peers on the local network.")
@click.option(
    "--discovery-port", metavar="PORT", type=click.IntRange(1, 65535), help="Answer them at this UDP port."
)
@click.option(
    "--ready-file",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Write the ID to this file when online; removed at the end.",
)
@click.pass_obj
def command(
    invocation: Invocation,
    to: str | None,
    program: str | None,
    allow: tuple[str, ...],
    password_file: str | None,
    open_to_all: bool,
    allow_stock: bool,
    stock_password_file: str | None,
    recv_only: bool,
    send_only: bool,
    no_discovery: bool,
    discovery_port: int | None,
    ready_file: Path | None,
) -> None:
    """Stay online and let peers in: to stdin and stdout, a port or a program.

    Without --to, --allow and --exec, stdin and stdout belong to the first peer that
    passes, and it ends with that peer. With them it stays, for any number of peers.
    """
    from rdpeer.peer.listen import Entry, Voice, listen
    from rdpeer.protocol import discovery

    stays = bool(to or allow or program is not None)
    _check(to, program, allow, password_file, open_to_all, recv_only, send_only)
    if no_discovery and discovery_port:
        raise click.UsageError("--no-discovery and --discovery-port exclude each other")
    answer_at = None if no_discovery else discovery_port or discovery.PORT
    settings = invocation.settings()
    stock = _stock_entry(to, open_to_all, stock_password_file) if allow_stock else None
    if stock_password_file is not None and not allow_stock:
        raise click.UsageError("--stock-password-file needs --allow-stock")
    entry = Entry(None if open_to_all else given_password(password_file), open_to_all, stock)
    if stock and stock.password.encode() == entry.password:
        raise click.UsageError("desktops need a password of their own: theirs can be guessed at offline")
    tellers = Voice(lambda member, code: _invite(settings, member, code), voice.note, invocation.verbose)

    async def serve() -> None:
        service = _service(to, program, allow, recv_only, send_only)
        profile = invocation.profile
        await listen(
            profile,
            settings,
            service,
            entry,
            tellers,
            one_peer=not stays,
            ready=ready_file,
            discovery_port=answer_at,
        )

    run(serve, service=stays)


def _check(
    to: str | None,
    program: str | None,
    allow: tuple[str, ...],
    password_file: str | None,
    open_to_all: bool,
    recv_only: bool,
    send_only: bool,
) -> None:
    stays = to or allow or program is not None
    for both, names in (
        ((to or allow) and program is not None, "--exec and --to or --allow"),
        (open_to_all and password_file, "--open and --password-file"),
        (recv_only and send_only, "--recv-only and --send-only"),
        (stays and recv_only, "--recv-only and a listener that stays"),
        (stays and send_only, "--send-only and a listener that stays"),
    ):
        if both:
            raise click.UsageError(f"{names} exclude each other")


def _stock_entry(to: str | None, open_to_all: bool, password_file: str | None) -> StockEntry:
    from rdpeer.peer.listen import StockEntry

    if open_to_all:
        raise click.UsageError("--allow-stock and --open exclude each other")
    if to is None:
        raise click.UsageError("--allow-stock needs --to: desktops reach that and nothing else")
    if password_file is None:
        raise click.UsageError("--allow-stock needs --stock-password-file")
    return StockEntry(password_in(password_file, "--stock-password-file").decode(), _target(to))


def _service(
    to: str | None, program: str | None, allow: tuple[str, ...], recv_only: bool, send_only: bool
) -> Service:
    from rdpeer.net.stdio import FdSink, FdSource
    from rdpeer.peer.services import Program, Standard, Target

    if program is not None:
        return Program(words("--exec", program), dict(os.environ))
    if to or allow:
        return Target(_target(to) if to else None, frozenset(map(_target, allow)))
    return Standard(FdSource(0), FdSink(1), recv_only, send_only)


def _target(text: str) -> ServerAddress:
    from rdpeer.values import ServerAddress

    try:
        return ServerAddress.parse_target(text)
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _invite(settings: Settings, member: Member, code: str | None) -> None:
    """How the other end gets here, the command last and bare, to be pasted whole where nothing is set up."""
    from rdpeer.values import ServerLink

    server = settings.require_server()
    link = ServerLink(server, settings.key, settings.relay_server)
    address = f"{member.identity.peer_id}@{server.short()}{link.query}"
    fingerprint = member.identity.key.public.fingerprint
    if code:
        voice.paste(f"code: {code}")
    voice.paste(f"rdpeer connect {shlex.quote(address)} --peer-key {fingerprint}")
