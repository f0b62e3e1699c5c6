"""``rdpeer server status`` and the others: what its operator asks a running server, over its admin socket."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdpeer.cli import voice
from rdpeer.cli.common import Command, Group, Invocation, run
from rdpeer.errors import UsageError

if TYPE_CHECKING:
    from rdpeer.net.control import Row

DATA_DIR = "rdpeer.server.data_dir"
"""Where ``rdpeer server`` leaves the folder, in click's meta."""

_ENVIRONMENT = {"auto_envvar_prefix": "RDPEER_SERVE"}
_MEGA = 1_000_000
_UNHEALTHY = 3
_DIFFERENT = 1


def admin(name: str, **attrs: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """A command of the group ``rdpeer server``."""
    return click.command(name, cls=Command, network=False, context_settings=_ENVIRONMENT, **attrs)


@admin("status", json=True)
@click.pass_context
def status(context: click.Context) -> None:
    """Print how the server is doing."""
    (row,) = _ask(context, "status")
    if _invocation(context).json:
        voice.answer_json(row)
        return
    limits = [f"{row[name]:g} Mb/s {whose}" for name, whose in _BANDWIDTHS.items() if row[name]]
    down = [name for name, up in row["relay_servers"].items() if not up]
    lines = {
        "services": " and ".join(row["services"]) + f", port {row['port']} at " + ", ".join(row["bind"]),
        "key": row["key"],
        "previous key": _date(row["previous_key_until"]),
        "up": f"{row['uptime'] / 3600:.1f} hours, since {_date(row['started'])}",
        "peers": f"{row['peers']} known, {row['online']} online, {row['waiting']} waiting",
        "enrolment": f"{row['enrol']}, {row['blocked']} blocked",
        "relay": f"{row['pairs']} pairs, {row['parked']} legs parked, {row['relayed_bytes'] / _MEGA:.1f} MB",
        "rate": f"{row['relayed_bytes_per_second'] / _MEGA:.2f} MB/s",
        "limits": ", ".join(limits) or "none",
        "relays down": ", ".join(down),
        "connections": f"{row['connections']}, of each service at most {row['limits']['connections']}",
        "keep-alives": f"{row['keep_alives']}, {row['keep_alives_per_second']} in the last second",
        "requests": f"{row['requests_per_second']} in the last second",
        **{what: str(count) for what, count in sorted(row["requests"].items())},
    }
    voice.answer_table(("WHAT", "VALUE"), [pair for pair in lines.items() if pair[1]])


_BANDWIDTHS = {"single_bandwidth": "single", "total_bandwidth": "total", "limit_speed": "blacklisted"}


@admin("peers", json=True)
@click.option("--online", is_flag=True, help="Only those that are online.")
@click.option("--waiting", is_flag=True, help="Only those that wait for approval.")
@click.pass_context
def peers(context: click.Context, online: bool, waiting: bool) -> None:
    """List the known peers, and those that wait for approval."""
    wanted = _states(online, waiting)
    rows = [row for row in _ask(context, "peers") if row["state"] in wanted]
    _print(context, ("ID", "STATE", "ADDRESS", "KEY"), rows)


def _states(online: bool, waiting: bool) -> set[str]:
    chosen = {state for state, given in (("online", online), ("waiting", waiting)) if given}
    return chosen or {"online", "offline", "waiting"}


@admin("relays", json=True)
@click.pass_context
def relays(context: click.Context) -> None:
    """List the pairs that are relayed now."""
    rows = _ask(context, "relays")
    _print(context, ("FIRST", "SECOND", "BYTES", "BYTES_PER_SECOND", "LIMIT", "SECONDS", "IDLE"), rows)


@admin("block")
@click.argument("entry", metavar="ADDRESS|NETWORK|ID")
@click.pass_context
def block(context: click.Context, entry: str) -> None:
    """Serve an address, a network or an ID no more.

    Its connections end.
    """
    _ask(context, "block", entry=entry)


@admin("unblock")
@click.argument("entry", metavar="ADDRESS|NETWORK|ID")
@click.pass_context
def unblock(context: click.Context, entry: str) -> None:
    """Serve what was blocked again."""
    _ask(context, "unblock", entry=entry)


@admin("blocked", json=True)
@click.pass_context
def blocked(context: click.Context) -> None:
    """List who is blocked, by the operator or by the file."""
    _print(context, ("ENTRY", "BY"), _ask(context, "blocked"))


@admin("approve")
@click.argument("peer", metavar="ID")
@click.pass_context
def approve(context: click.Context, peer: str) -> None:
    """Let a peer in that waits, with the key that it showed."""
    _ask(context, "approve", id=peer)


@admin("remove")
@click.argument("peer", metavar="ID")
@click.pass_context
def remove(context: click.Context, peer: str) -> None:
    """Forget a peer: its ID is free again."""
    _ask(context, "remove", id=peer)


@admin("reload")
@click.pass_context
def reload(context: click.Context) -> None:
    """Read configuration and lists again, as SIGHUP does."""
    _ask(context, "reload")


@admin("backup")
@click.argument("folder", type=click.Path(path_type=Path))
@click.pass_context
def backup(context: click.Context, folder: Path) -> None:
    """Copy keys and peers to a new FOLDER.

    It can serve as a data folder. The server may run, or not.
    """
    from rdpeer.net.control import NobodyListens
    from rdpeer.server import offline

    try:
        _ask(context, "backup", folder=str(folder.absolute()))
    except NobodyListens:
        offline.back_up(_data_dir(context), folder)


@click.group("key", cls=Group, network=False)
def key() -> None:
    """Show or change the key that peers have in their settings."""


@key.command("show", cls=Command, network=False, context_settings=_ENVIRONMENT)
@click.pass_context
def show(context: click.Context) -> None:
    """Print the public key."""
    from rdpeer.server.keypair import PUBLIC_FILE
    from rdpeer.store.files import read_text

    path = _data_dir(context) / PUBLIC_FILE
    text = read_text(path)
    if text is None:
        raise UsageError(f"there is no key in {path.parent}", hint="the server makes it when it starts")
    voice.answer(text.strip())


@key.command("rotate", cls=Command, network=False, context_settings=_ENVIRONMENT)
@click.option(
    "--days", metavar="DAYS", type=click.FloatRange(0, 3650), help="How long the old key counts; 30."
)
@click.option("--now", is_flag=True, help="The old key counts no more: it has leaked.")
@click.pass_context
def rotate(context: click.Context, days: float | None, now: bool) -> None:
    """Make a new key pair, and print its public key.

    For a while the old key counts as well, and whoever names it gets answers that are
    signed with it; give the peers the new one meanwhile. Only then can it be rotated again.
    """
    from rdpeer.net.control import NobodyListens
    from rdpeer.server import offline

    if now and days:
        raise UsageError("--now and --days contradict each other")
    overlap = 0.0 if now else 30.0 if days is None else days
    try:
        (row,) = _ask(context, "rotate", days=overlap)
        voice.answer(row["key"])
    except NobodyListens:
        voice.answer(offline.rotate(_data_dir(context), overlap).text)


@admin("check", json=True)
@click.argument("server", metavar="[HOST[:PORT]]", required=False)
@click.pass_context
def check(context: click.Context, server: str | None) -> int:
    """Ask each port of a server whether it answers.

    Of this one, or of another. Ends with 0 if all do, with 3 if one does not: a health
    check for Docker, systemd and monitors.
    """
    from rdpeer.server.check import check, own_address
    from rdpeer.values import ServerAddress

    try:
        address = ServerAddress.parse(server) if server else None
        if address and not 1 < address.port < 65533:
            raise ValueError(f"not a base port: {address.port}")
    except ValueError as error:
        raise UsageError(str(error)) from error
    services, tls = ["rendezvous", "relay"], None
    if address is None:
        (row,) = _ask(context, "status")
        address, services, tls = own_address(row), row["services"], row["tls"]
    findings = run(lambda: check(address, services, tls=tls))
    for name, problem in findings.items():
        if _invocation(context).json:
            voice.answer_json({"port": name, "ok": problem is None, "problem": problem})
        else:
            voice.answer(f"{name}: {problem or 'ok'}")
    return _UNHEALTHY if any(findings.values()) else 0


@admin("compare", json=True)
@click.argument("first", metavar="LINK")
@click.argument("second", metavar="LINK")
@click.option(
    "--from", "addresses", metavar="ADDRESS", multiple=True, help="Ask from here; twice for two places."
)
@click.option("--slow", is_flag=True, help="Also ask what takes three minutes.")
@click.pass_context
def compare(context: click.Context, first: str, second: str, addresses: tuple[str, ...], slow: bool) -> int:
    """Ask two servers the same and tell where they answer differently.

    A LINK is rdpeer://HOST[:PORT]?key=KEY. Some peers are registered, under IDs that nobody
    has. Ends with 1 if there is a difference.
    """
    return run(lambda: _compare(context, first, second, addresses, slow))


async def _compare(
    context: click.Context, first: str, second: str, addresses: tuple[str, ...], slow: bool
) -> int:
    from rdpeer.net.interfaces import address_towards
    from rdpeer.net.resolve import resolve
    from rdpeer.server.compare import compare
    from rdpeer.server.compare_cases import CASES, SLOW_CASES
    from rdpeer.values import ServerLink

    try:
        links = ServerLink.parse(first), ServerLink.parse(second)
    except ValueError as error:
        raise UsageError(str(error)) from error
    if not addresses:
        found = (await resolve(links[0].server))[0]
        addresses = (address_towards(found.ip, found.port) or "",)
    cases = CASES + SLOW_CASES if slow else CASES
    count = different = 0
    async for outcome in compare(links, (addresses[0], addresses[-1]), cases):
        count, different = count + 1, different + (not outcome.same)
        if _invocation(context).json:
            voice.answer_json(
                {
                    "case": outcome.name,
                    "what": outcome.what,
                    "same": outcome.same,
                    "first": outcome.first,
                    "second": outcome.second,
                }
            )
            continue
        voice.answer(f"{'same     ' if outcome.same else 'DIFFERENT'}  {outcome.name}: {outcome.what}")
        for side, lines in (("first", outcome.first), ("second", outcome.second)):
            for line in lines if not outcome.same else ():
                voice.answer(f"    {side}: {line}")
    if not _invocation(context).json:
        voice.answer(f"{count} compared, {different} different")
    return _DIFFERENT if different else 0


COMMANDS = (
    status,
    peers,
    relays,
    block,
    unblock,
    blocked,
    approve,
    remove,
    reload,
    key,
    check,
    compare,
    backup,
)


def _invocation(context: click.Context) -> Invocation:
    return context.ensure_object(Invocation)


def _data_dir(context: click.Context) -> Path:
    """As ``rdpeer server`` itself was told."""
    folder: Path = context.meta[DATA_DIR]
    return folder


def _ask(context: click.Context, do: str, **arguments: Any) -> list[Row]:
    from rdpeer.net import control
    from rdpeer.server.admin import SOCKET, request

    return run(lambda: control.ask(_data_dir(context) / SOCKET, request(do, **arguments)))


def _print(context: click.Context, header: tuple[str, ...], rows: list[Row]) -> None:
    if _invocation(context).json:
        for row in rows:
            voice.answer_json(row)
        return
    voice.answer_table(header, [tuple(_cell(row[name.lower()]) for name in header) for row in rows])


def _cell(value: object) -> str:
    from rdpeer.values import printable

    return "-" if value is None else printable(str(value))


def _date(seconds: float | None) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC") if seconds else ""
