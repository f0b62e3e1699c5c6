"""``rdpeer doctor``: what is wrong, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdpeer.cli import voice
from rdpeer.cli.common import Command, Invocation, run
from rdpeer.cli.exits import exit_code

if TYPE_CHECKING:
    from rdpeer.errors import RdpeerError
    from rdpeer.peer.doctor import Finding


@click.command(cls=Command, json=True)
@click.option("--quick", is_flag=True, help="Leave out what takes longer than a few seconds.")
@click.pass_obj
def command(invocation: Invocation, quick: bool) -> int:
    """Check everything from the settings to the relay.

    Each line is OK, WARN or FAIL, with its remedy. Ends with 0, or as the first FAIL would end a command.
    """
    error = run(lambda: _examine(invocation, quick))
    return exit_code(error) if error else 0


async def _examine(invocation: Invocation, quick: bool) -> RdpeerError | None:
    """Tells each finding; the error of the first FAIL."""
    from contextlib import aclosing

    from rdpeer.peer.doctor import examine

    first: RdpeerError | None = None
    async with aclosing(examine(invocation.profile, invocation.settings, quick=quick)) as findings:
        async for finding in findings:
            _tell(finding, invocation.json)
            first = first or finding.error
    return first


def _tell(finding: Finding, json: bool) -> None:
    if json:
        told = {"check": finding.check, "level": finding.level.value}
        voice.answer_json(told | {"text": finding.text, "remedy": finding.remedy})
        return
    voice.answer(f"{finding.level.value:<4}  {finding.check}: {finding.text}")
    if finding.remedy:
        voice.answer(f"      {finding.remedy}")
