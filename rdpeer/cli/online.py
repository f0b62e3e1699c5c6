"""``rdpeer online``: one line a peer."""

from __future__ import annotations

import click

from rdpeer.cli import voice
from rdpeer.cli.common import Command, Invocation, run
from rdpeer.errors import UsageError

_NOT_ALL = 4


@click.command(cls=Command, json=True)
@click.argument("peers", metavar="ID...", nargs=-1, required=True)
@click.pass_obj
def command(invocation: Invocation, peers: tuple[str, ...]) -> int:
    """Tell whether peers are online.

    Ends with 0 if all of them are, with 4 if one is not. A peer that the server does not know is offline.
    """
    from rdpeer.peer.online import online
    from rdpeer.values import PeerAddress

    try:
        addresses = [PeerAddress.parse(typed) for typed in peers]
    except ValueError as error:
        raise UsageError(str(error)) from error
    settings = invocation.settings()
    states = run(lambda: online(settings, addresses))
    for peer, is_online in states:
        if invocation.json:
            voice.answer_json({"id": str(peer), "online": is_online})
        else:
            voice.answer(f"{peer} {'online' if is_online else 'offline'}")
    return 0 if all(is_online for _, is_online in states) else _NOT_ALL
