"""``rdpeer nat``: what is between this machine and the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdpeer.cli import voice
from rdpeer.cli.common import Command, Invocation, run

if TYPE_CHECKING:
    from rdpeer.peer.nat import View
    from rdpeer.protocol.nat import Nat
    from rdpeer.values import ServerAddress

_UNANSWERED = 3


@click.command(cls=Command, json=True)
@click.pass_obj
def command(invocation: Invocation) -> int:
    """Tell how this machine's NAT maps ports, and what that means.

    The server is asked on two of its ports. Ends with 0 if the mapping was found,
    with 3 if the server did not tell enough.
    """
    from rdpeer.peer.nat import Situation, nat

    settings = invocation.settings()
    view = run(lambda: nat(settings))
    found, situation = view.tcp, Situation.of(view.tcp)
    if invocation.json:
        voice.answer_json(
            {
                "mapping": situation.value,
                "local": str(found.local),
                "external": str(found.external) if found.external else None,
                "ports": found.ports,
                "udp": [str(endpoint) for endpoint in view.udp],
                "meaning": situation.meaning,
                "reason": found.reason,
            }
        )
    else:
        voice.answer(f"mapping: {situation.value}, {found.reason or situation.mapping}")
        voice.answer(f"local: {found.local}")
        voice.answer(f"external: {_external(found)}")
        voice.answer(f"external by UDP: {_by_udp(view, settings.stun)}")
        voice.answer(f"direct paths: {situation.meaning}")
    return _UNANSWERED if situation is Situation.UNKNOWN else 0


def _by_udp(view: View, stun: ServerAddress | None) -> str:
    if not view.udp:
        if stun:
            return f"unknown; no answer by IPv4 from the STUN server {stun}"
        return "unknown; by IPv4, an rdpeer server tells it, or a STUN server (--stun)"
    seen = " and ".join(map(str, view.udp))
    if len(view.udp) > 1:
        return f"{seen}, another port for each destination"
    return f"{seen}, port {'kept' if view.udp[0].port == view.udp_port else 'changed'}"


def _external(nat: Nat) -> str:
    if nat.external:
        return str(nat.external)
    if not nat.ports:
        return "unknown"
    ports = " and ".join(map(str, dict.fromkeys(nat.ports)))
    return f"port {ports}; this server does not tell the address"
