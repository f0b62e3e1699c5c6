"""``rdpeer register``: online, and nobody let in."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from rdpeer.cli import voice
from rdpeer.cli.common import Command, Invocation, run

if TYPE_CHECKING:
    from rdpeer.peer.register import News


@click.command(cls=Command)
@click.option("--once", is_flag=True, help="End as soon as the server has confirmed the ID.")
@click.option(
    "--ready-file",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="Write the ID to this file when online; removed at the end.",
)
@click.pass_obj
def command(invocation: Invocation, once: bool, ready_file: Path | None) -> None:
    """Register with the server and stay online.

    Lets nobody in: who asks for the ID is told so at once. 'rdpeer listen' registers by itself.
    """
    from rdpeer.peer.register import is_important, register

    def report(news: News) -> None:
        if is_important(news) and not once:
            voice.note(str(news))
        else:
            invocation.verbose(str(news))

    profile, settings = invocation.profile, invocation.settings()
    run(lambda: register(profile, settings, report, once=once, ready=ready_file), service=not once)
