"""``rdpeer server``: rendezvous server and relay in one process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rdpeer.cli import voice
from rdpeer.cli.common import Command, Invocation, run
from rdpeer.values import BASE_PORT

if TYPE_CHECKING:
    from rdpeer.server import Server, ServerOptions


@click.command(cls=Command, network=False, context_settings={"auto_envvar_prefix": "RDPEER_SERVE"})
@click.option("--data-dir", metavar="FOLDER", help="Where its key and its peers are kept.")
@click.option(
    "--port", metavar="BASE", type=int, default=BASE_PORT, help="The rendezvous port; 0 finds a free set."
)
@click.option("--bind", metavar="ADDRESS", multiple=True, help="Listen at this address only; repeatable.")
@click.option("--relay-address", metavar="HOST[:PORT]", help="The relay that peers are told to use.")
@click.option("--ready-file", metavar="PATH", help="Write the server's link there when it is ready.")
@click.pass_obj
def command(
    invocation: Invocation,
    data_dir: str | None,
    port: int,
    bind: tuple[str, ...],
    relay_address: str | None,
    ready_file: str | None,
) -> None:
    """Run a rendezvous server and relay.

    It prints its address, its key, the ports to open, and one line to paste at the
    peers; then it is silent, unless -v, until it is stopped. Its options may be
    variables: RDPEER_SERVE_PORT for --port.
    """
    from rdpeer.server.options import EVERYWHERE, ServerOptions

    folder = Path(data_dir) if data_dir else invocation.profile.data / "server"
    options = ServerOptions(folder, port, bind or EVERYWHERE, relay_address)
    _log(invocation.verbosity)
    run(lambda: _serve(options, Path(ready_file) if ready_file else None), service=True)


async def _serve(options: ServerOptions, ready: Path | None) -> None:
    from rdpeer.server import Server
    from rdpeer.store.files import ready_file

    with ready_file(ready) as is_ready:
        async with Server(options) as server:
            _invite(server)
            is_ready(str(server.link))
            await server.serve()


def _invite(server: Server) -> None:
    base = server.base
    voice.note(f"server at {server.link.server}, key {server.key}")
    voice.note(f"ports to open: {base - 1}/tcp, {base}/tcp, {base}/udp, {base + 1}/tcp")
    voice.paste(f"rdpeer config import '{server.link}'")


def _log(verbosity: int) -> None:
    """Errors always, events with ``-v``: each one line on stderr."""
    import logging

    class Voice(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                text += f": {record.exc_info[1]!r}"
            (voice.error if record.levelno >= logging.ERROR else voice.note)(text)

    logging.basicConfig(handlers=[Voice()], level=logging.WARNING)
    logging.getLogger("rdpeer").setLevel(logging.INFO if verbosity else logging.WARNING)
