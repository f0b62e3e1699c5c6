"""``rdpeer ssh``: ssh, to a peer."""

from __future__ import annotations

import shutil

import click

from rdpeer.cli.common import Command, Invocation
from rdpeer.cli.reach import stock_option
from rdpeer.errors import UsageError


@click.command(
    cls=Command, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False}
)
@stock_option("To the ssh server of a RustDesk desktop.")
@click.argument("destination", metavar="[USER@]ID")
@click.argument("arguments", metavar="[ARGUMENT]...", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def command(invocation: Invocation, stock: bool, destination: str, arguments: tuple[str, ...]) -> None:
    """Run ssh to a peer.

    What follows the ID is ssh's: its options, and a command. Host keys are checked,
    under the name rdpeer-ID.
    """
    from rdpeer.cli.openssh import options
    from rdpeer.net.replace import replace
    from rdpeer.values import PeerAddress

    if destination.startswith("-"):  # ssh would take it for an option, and some of those run programs
        raise UsageError(
            "an option stands in the place of the ID",  # not shown: our own short ones were cut out of it
            hint="ssh's own options stand behind the ID: rdpeer ssh ID -p 22",
        )
    user, at, typed = _split(destination)
    try:
        address = PeerAddress.parse(typed)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    ssh = shutil.which("ssh")
    if ssh is None:
        raise UsageError("ssh is not installed")
    given = [f"-o{name}={value}" for name, value in options(invocation, address, typed, stock=stock).items()]
    replace([ssh, *given, f"{user}{at}{address.peer}", *arguments])


def _split(destination: str) -> tuple[str, str, str]:
    """User, ``@`` and the peer's address, which may have an ``@`` of its own: ``me@ID@host?key=KEY``."""
    has_user = destination.count("@") > 1 or ("@" in destination and "?" not in destination)
    return destination.partition("@") if has_user else ("", "", destination)
