"""``rdpeer ping``: the path to a peer, and its round trip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdpeer.cli import voice
from rdpeer.cli.common import Command, Invocation, run, seconds
from rdpeer.cli.reach import connector, reach_options
from rdpeer.errors import UsageError

if TYPE_CHECKING:
    from rdpeer.peer.ping import Lost, Pong
    from rdpeer.values import PeerId


@click.command(cls=Command, json=True)
@click.argument("peer", metavar="ID")
@click.option(
    "-c",
    "--count",
    metavar="COUNT",
    type=click.IntRange(1),
    default=10,
    help="Ask so often; 10 unless given.",
)
@click.option(
    "-i",
    "--interval",
    metavar="SECONDS",
    type=seconds,
    default=1.0,
    help="From one to the next; 1 unless given.",
)
@click.option("--until-direct", is_flag=True, help="End with the first direct path.")
@reach_options
@click.pass_obj
def command(
    invocation: Invocation,
    peer: str,
    count: int,
    interval: float,
    until_direct: bool,
    relay: bool,
    direct: bool,
    peer_key: str | None,
) -> None:
    """Tell the path to a peer and its round trip.

    Only peers that run rdpeer answer. It needs no code and no password, and lets nobody in.
    """
    from rdpeer.peer.connect import Way
    from rdpeer.peer.ping import Plan, ping

    wish, settings = connector(invocation, peer, relay=relay, direct=direct, peer_key=peer_key)
    if wish.trust.kind == "stock":
        raise UsageError(f"{wish.peer} is pinned as a stock desktop, which answers no ping")
    if until_direct and wish.way is Way.RELAY:
        raise click.UsageError("--until-direct and a relay exclude each other")
    plan = Plan(count, interval, until_direct, settings.timeout)
    tally = _Tally(wish.peer, invocation.json)
    try:
        run(lambda: ping(wish, plan, tally.report))
    finally:  # ended by a signal, too
        tally.tell()


class _Tally:
    """Tells each answer, and what they come to."""

    def __init__(self, peer: PeerId, json: bool) -> None:
        self._peer = peer
        self._json = json
        self._sent = 0
        self._times: list[float] = []

    def report(self, result: Pong | Lost) -> None:
        from rdpeer.peer.ping import Lost

        self._sent = result.number
        if isinstance(result, Lost):
            voice.note(f"{self._peer}: no answer: {result.error}")
            return
        self._times.append(result.seconds * 1000)
        kind, _, where = result.path.removesuffix(" by UDP").partition(" ")
        udp = result.path.endswith(" by UDP")
        if self._json:
            answer = {
                "id": str(self._peer),
                "seq": result.number,
                "path": kind,
                "endpoint": where,
                "udp": udp,
            }
            voice.answer_json(answer | {"ms": round(self._times[-1], 3), "key": str(result.key.fingerprint)})
        else:
            voice.answer(f"{self._peer}: {result.path} seq={result.number} time={self._times[-1]:.2f} ms")

    def tell(self) -> None:
        """Nothing, where not even the first was answered: the error says it all."""
        if not self._times:
            return
        least, mean, most = min(self._times), sum(self._times) / len(self._times), max(self._times)
        if self._json:
            counts = {"id": str(self._peer), "sent": self._sent, "received": len(self._times)}
            times = {"min_ms": least, "avg_ms": mean, "max_ms": most}
            voice.answer_json(counts | {name: round(time, 3) for name, time in times.items()})
            return
        loss = 100 * (self._sent - len(self._times)) / self._sent
        voice.answer(f"{self._sent} sent, {len(self._times)} received, {loss:.0f}% lost")
        voice.answer(f"round trip min/avg/max = {least:.2f}/{mean:.2f}/{most:.2f} ms")
