"""``rdpeer discover``: who is on the local network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdpeer.cli import voice
from rdpeer.cli.common import Command, Invocation, run, seconds

if TYPE_CHECKING:
    from rdpeer.protocol.discovery import Found

_HEADER = ("ID", "ADDRESS", "HOSTNAME", "USERNAME", "PLATFORM", "MAC", "MISC")


@click.command(cls=Command, network=False, json=True)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=seconds,
    default=3.0,
    help="How long to wait for answers.",
)
@click.option("--port", metavar="PORT", type=click.IntRange(1, 65535), help="The UDP port that is asked.")
@click.pass_obj
def command(invocation: Invocation, timeout: float, port: int | None) -> None:
    """Find peers on the local network.

    Asks everybody there, waits 3 seconds or as long as --timeout says, and prints
    who answered: rdpeers that listen, and desktops. Nothing of it is proven.
    """
    from rdpeer.errors import PeerSilent
    from rdpeer.peer.discovery import discover
    from rdpeer.protocol.discovery import PORT

    peers = run(lambda: discover(port or PORT, timeout))
    if not peers:
        raise PeerSilent(
            "nobody answered on the local network",
            hint=f"a firewall may drop UDP port {port or PORT}; desktops answer if their settings say so",
        )
    if invocation.json:
        for found in peers:
            voice.answer_json(dict(zip(map(str.lower, _HEADER), _row(found), strict=True)))
    else:
        voice.answer_table(_HEADER, [_row(found) for found in peers])


def _row(found: Found) -> tuple[str, ...]:
    card = found.card
    return str(card.peer), found.ip, card.hostname, card.username, card.platform, found.mac, card.misc
