"""The command ``rdpeer`` itself: a static table of commands, each imported when it is called.

Help and completion read the table alone, so they cost what ``import click`` costs.
"""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Sequence
from importlib import import_module

import click

from rdpeer import __version__
from rdpeer.cli import voice
from rdpeer.cli.common import Group, Invocation
from rdpeer.cli.exits import report
from rdpeer.errors import RdpeerError, UsageError

COMMANDS = {
    "id": "Print the ID; makes the identity at the first use.",
    "register": "Register with the server and stay online.",
    "listen": "Stay online and let peers in: to stdin and stdout, a port or a program.",
    "connect": "Connect stdin and stdout to a peer.",
    "ssh": "Run ssh to a peer.",
    "ssh-config": "Print the lines for ~/.ssh/config that reach a peer.",
    "online": "Tell whether peers are online.",
    "ping": "Tell the path to a peer and its round trip.",
    "nat": "Tell how this machine's NAT maps ports, and what that means.",
    "discover": "Find peers on the local network.",
    "doctor": "Check everything from the settings to the relay.",
    "config": "Read and change settings.",
    "decode": "Show captured messages in readable form.",
    "server": "Run a rendezvous server and relay.",
}
"""Each command's help in one line, which is also the first of its own."""

COMPLETE = "_RDPEER_COMPLETE"
"""What the completion scripts set when they call us back."""


class Root(Group):
    """The lazy table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module("rdpeer.cli." + cmd_name.replace("-", "_"))
        command: click.Command = module.command
        command.name = cmd_name
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """UsageError with the nearest name for an unknown command; older versions of click have no hint."""
        name = args[0]
        if name not in COMMANDS and not name.startswith("-") and not ctx.resilient_parsing:
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "try 'rdpeer --help'"
            raise UsageError(f"no such command {name!r}", hint=hint)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[click.shell_completion.CompletionItem]:
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)


cli = Root(
    "rdpeer",
    json=True,
    envvars=True,
    help="A byte pipe to any peer of a RustDesk network, by its ID.",
    epilog="Every option may be a variable: RDPEER_SERVER for --server. 'rdpeer COMMAND --help' tells more.",
)
cli = click.version_option(
    __version__,
    message="%(prog)s %(version)s",
    allow_from_autoenv=False,  # RDPEER_VERSION is for others, such as an image's build
)(cli)


def run(args: Sequence[str]) -> int:
    """Runs one command line, tells its error if it has one, and returns its exit code."""
    invocation = Invocation()
    try:
        code = _completed() if COMPLETE in os.environ else _run(list(args), invocation)
        voice.settle()
    except click.exceptions.Exit as end:
        code = end.exit_code
    except (Exception, KeyboardInterrupt) as error:  # the one place that may see anything: it tells it
        code = report(error, verbose=invocation.verbosity > 0)
        with contextlib.suppress(OSError, RdpeerError):  # told already
            voice.settle()
    return code


def _run(args: list[str], invocation: Invocation) -> int:
    """Not ``cli.main``: that turns interrupts and broken pipes into codes and blank lines of its own."""
    with cli.make_context("rdpeer", args, obj=invocation) as context:
        return cli.invoke(context) or 0


def _completed() -> int:
    from click.shell_completion import shell_complete

    return shell_complete(cli, {}, "rdpeer", COMPLETE, os.environ[COMPLETE])
