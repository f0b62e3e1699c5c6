"""``rdpeer server``: rendezvous server and relay in one process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rdpeer.cli import server_admin, voice
from rdpeer.cli.common import Group, Invocation, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from rdpeer.server import Server, ServerOptions


@click.group(
    cls=Group,
    network=False,
    invoke_without_command=True,
    context_settings={"auto_envvar_prefix": "RDPEER_SERVE"},
)
@click.option("--data-dir", metavar="FOLDER", help="Where its key and its peers are kept.")
@click.option("--config", metavar="FILE", help="Its settings; server.toml in the data folder unless given.")
@click.option(
    "-p",
    "--port",
    metavar="BASE",
    type=int,
    help="The rendezvous port, 21116 unless given; 0 finds a free set.",
)
@click.option(
    "-b", "--bind", metavar="ADDRESS", multiple=True, help="Listen at this address only; repeatable."
)
@click.option(
    "-r",
    "--relay-servers",
    "--relay-address",
    metavar="HOST[:PORT],...",
    multiple=True,
    envvar=["RDPEER_SERVE_RELAY_SERVERS", "RDPEER_SERVE_RELAY_ADDRESS", "RELAY_SERVERS"],
    help="The relays that peers are told to use, in turn.",
)
@click.option("-k", "--key", metavar="KEY", help="The key to demand; '-' is the one in the data folder.")
@click.option("--address", metavar="HOST", help="This server's name in the line to paste.")
@click.option("--only", metavar="rendezvous|relay", help="Serve one of the two alone.")
@click.option(
    "--always-use-relay",
    is_flag=True,
    default=None,
    envvar=["RDPEER_SERVE_ALWAYS_USE_RELAY", "ALWAYS_USE_RELAY"],
    help="Keep peers from direct paths.",
)
@click.option("--tls-cert", metavar="FILE", help="The certificate that its WebSocket ports show.")
@click.option("--tls-key", metavar="FILE", help="The certificate's key.")
@click.option(
    "--trust-proxy",
    metavar="ADDRESS|NETWORK",
    multiple=True,
    help="A reverse proxy, whose X-Forwarded-For counts; repeatable.",
)
@click.option("--enrol", metavar="open|approve|closed", help="Who may register a new ID; open unless given.")
@click.option("--allow-keys", metavar="FILE", help="Keys of peers that may register in any case.")
@click.option("--blocklist", metavar="FILE", help="Addresses, networks and IDs that are not served.")
@click.option(
    "--single-bandwidth",
    metavar="MBIT/S",
    type=float,
    envvar=["RDPEER_SERVE_SINGLE_BANDWIDTH", "SINGLE_BANDWIDTH"],
    help="Megabits a second of one relayed pair, both ways; no limit unless given.",
)
@click.option(
    "--total-bandwidth",
    metavar="MBIT/S",
    type=float,
    envvar=["RDPEER_SERVE_TOTAL_BANDWIDTH", "TOTAL_BANDWIDTH"],
    help="Megabits a second of all relayed pairs together.",
)
@click.option("--blacklist", metavar="FILE", help="Addresses and networks whose pairs are slowed down.")
@click.option(
    "--limit-speed",
    metavar="MBIT/S",
    type=float,
    envvar=["RDPEER_SERVE_LIMIT_SPEED", "LIMIT_SPEED"],
    help="To how much; 32 unless given.",
)
@click.option("--relay-idle", metavar="SECONDS", type=float, help="End pairs that carry nothing for so long.")
@click.option(
    "--drain",
    metavar="SECONDS",
    type=float,
    help="How long relayed pairs may go on when it is asked to stop; 30 unless given.",
)
@click.option("--access-log", metavar="FILE", help="Write an entry for each request there; '-' is stderr.")
@click.option("--log-format", metavar="text|json", help="How; text unless given.")
@click.option("--log-level", metavar="error|warning|info|debug", help="What else goes to stderr.")
@click.option("--metrics", metavar="ADDRESS:PORT", help="A loopback address where Prometheus may ask.")
@click.option("--ready-file", metavar="PATH", help="Write the server's link there when it is ready.")
@click.pass_context
def command(
    context: click.Context,
    /,
    data_dir: str | None,
    config: str | None,
    ready_file: str | None,
    **given: Any,
) -> None:
    """Run a rendezvous server and relay.

    It prints its address, its key, the ports to open, and one line to paste at the
    peers; then it is silent, unless -v, until it is stopped. Its options may be
    variables, RDPEER_SERVE_PORT for --port, or stand in its configuration file.
    """
    invocation = context.ensure_object(Invocation)
    folder = Path(data_dir) if data_dir else invocation.profile.data / "server"
    context.meta[server_admin.DATA_DIR] = folder
    if context.invoked_subcommand is not None:
        return
    from rdpeer.cli import server_log
    from rdpeer.net.prompt import loop_factory
    from rdpeer.server import configuration
    from rdpeer.store.files import make_folder

    make_folder(folder)
    named = {name.replace("_", "-"): value for name, value in given.items() if value not in (None, ())}

    def load() -> ServerOptions:
        return configuration.load(folder, named, Path(config) if config else None)

    options = load()
    server_log.set_up(options, invocation.verbosity)
    ready = Path(ready_file) if ready_file else None
    run(lambda: _serve(options, load, ready), service=True, make_loop=loop_factory())


for admin_command in server_admin.COMMANDS:
    command.add_command(admin_command)


async def _serve(options: ServerOptions, load: Callable[[], ServerOptions], ready: Path | None) -> None:
    from rdpeer.net import service_manager, signals
    from rdpeer.server import Server
    from rdpeer.store.files import ready_file

    with ready_file(ready) as is_ready:
        async with Server(options, load) as server:
            _invite(server, options)
            with signals.hang_up_means(lambda: _reload(server)):
                is_ready(str(server.link))
                service_manager.notify(service_manager.READY)
                try:
                    await server.serve()
                finally:
                    service_manager.notify(service_manager.STOPPING)
                    await _drain(server)


async def _drain(server: Server) -> None:
    seconds = server.operator.options.drain
    if server.pairs:
        voice.note(f"waiting for {len(server.pairs)} relayed pairs to end, {seconds:g} s at most")
        await server.drain(seconds)


def _reload(server: Server) -> None:
    from rdpeer.errors import RdpeerError
    from rdpeer.net import service_manager

    service_manager.notify(service_manager.reloading())
    try:
        server.reload()
    except RdpeerError as error:
        voice.error(f"nothing was reloaded: {error}")
    service_manager.notify(service_manager.READY)


def _invite(server: Server, options: ServerOptions) -> None:
    from rdpeer.server.options import EVERYWHERE, private_host

    if not options.is_rendezvous:
        voice.note(f"relay at {server.relay_address}, key {server.key}")
        voice.note(f"port to open: {server.base + 1}/tcp, for WebSocket {server.base + 3}/tcp")
        return
    base, host = server.base, server.link.server.host
    if server.imported is not None:
        voice.note(f"took over {server.imported} peers of hbbs")
    voice.note(f"server at {server.link.server}, key {server.key}")
    relay, web = (f", {base + 1}/tcp", f", {base + 3}/tcp") if options.is_relay else ("", "")
    voice.note(f"ports to open: {base - 1}/tcp, {base}/tcp, {base}/udp{relay}")
    voice.note(f"ports to open for WebSocket: {base + 2}/tcp{web}")
    if options.address is None and options.bind == EVERYWHERE and private_host(host):
        voice.hint(f"{host} means nothing outside this network; --address names the host that peers reach")
    voice.paste(f"rdpeer config import '{server.link}'")
