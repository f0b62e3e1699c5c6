"""What all commands share: the options that stand before or after the command, and how one is run.

A command is a module with one ``command``:

    @click.command(cls=Command, json=True)
    @click.argument("peer")
    @click.option("--relay", is_flag=True, help="Use only the relay.")
    @click.pass_obj
    def command(invocation: Invocation, peer: str, relay: bool) -> int | None:
        \"\"\"First line: what it does, as in rdpeer.cli.root.COMMANDS.\"\"\"
        from rdpeer.peer.connect import connect

        settings = invocation.settings()
        return run(lambda: connect(settings, peer))

It returns None or its exit code, raises an RdpeerError for what went wrong, and
gives its answer to ``rdpeer.cli.voice``. Its own options may come from the
environment: ``RDPEER_RELAY`` for ``--relay``.
"""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Callable, Coroutine
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import click

from rdpeer.cli import voice
from rdpeer.cli.exits import SIGNALLED

if TYPE_CHECKING:
    from rdpeer.net.signals import LoopFactory
    from rdpeer.settings import Settings
    from rdpeer.store.home import Profile

T = TypeVar("T")


class Invocation:
    """What the command line says for every command, whichever side of the command it stood on."""

    def __init__(self) -> None:
        self.flags: dict[str, str] = {}
        """The settings and the profile that were given as flags, by name; the later one counts."""
        self.verbosity = 0
        """How often ``-v`` was given."""
        self.json = False
        """Whether answers are to be JSON, one object a line."""
        self.trace = False
        """Whether each message is to be told."""

    @cached_property
    def profile(self) -> Profile:
        """The profile asked for. UsageError for a bad name."""
        from rdpeer.store.home import DEFAULT_PROFILE, Home

        return Home.locate(os.environ).profile(self.flags.get("profile", DEFAULT_PROFILE))

    def settings(self) -> Settings:
        """The settings in force, read anew. UsageError for a bad one, naming where it stands.

        From here on connections leave this machine as they say (rdpeer.net.outbound).
        """
        from rdpeer.net import outbound
        from rdpeer.settings import load
        from rdpeer.store import config

        flags = {name: text for name, text in self.flags.items() if name != "profile"}
        settings = load(flags, os.environ, config.read(self.profile), str(self.profile.config_file))
        outbound.use(settings.outbound)
        return settings

    def verbose(self, text: str, level: int = 1) -> None:
        """Tells ``text`` on stderr if ``-v`` was given at least ``level`` times."""
        if self.verbosity >= level:
            voice.note(text)


def run(
    main: Callable[[], Coroutine[Any, Any, T]],
    *,
    service: bool = False,
    make_loop: LoopFactory | None = None,
) -> T:
    """Runs ``main()`` to its end and returns its result; in an event loop of its own kind if ``make_loop``.

    A signal cancels it and ends the process quietly: with 129, 130 or 143, or, for a
    ``service``, which only ends by being asked to, with 0.
    """
    from rdpeer.net import signals

    try:
        return signals.run(main, make_loop)
    except signals.Stopped as stopped:
        raise click.exceptions.Exit(0 if service else SIGNALLED + stopped.signum) from None


def seconds(text: str) -> float:
    """The type of an option that is a time: above 0, an hour at most."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number <= 3600:
        raise click.BadParameter(f"{text!r} is not a number of seconds from 0 to 3600.")
    return number


def words(option: str, command: str) -> list[str]:
    """The words of a ``command`` that is run without a shell, split as one would. UsageError for none."""
    try:
        found = shlex.split(command)
    except ValueError as error:
        raise click.UsageError(f"{option}: {str(error).lower()}") from None
    if not found:
        raise click.UsageError(f"{option}: no program")
    return found


class _Common(click.Command):
    """Adds the common options: ``network`` for those of commands that use a server, ``json`` for ``--json``.

    ``-h`` is help, and a command's own options come from ``RDPEER_<OPTION>``, whatever
    the command is called. Common ones do not: the settings' variables are read where
    the settings are, the others' (``envvars``) by ``rdpeer`` itself, so that no variable
    comes behind a flag that stood before the command.
    """

    def __init__(
        self, *args: Any, network: bool = True, json: bool = False, envvars: bool = False, **attrs: Any
    ) -> None:
        common = _general(json=json, envvars=envvars) + (_network() if network else [])
        attrs["params"] = [*(attrs.get("params") or ()), *common]
        attrs["context_settings"] = {
            "help_option_names": ["-h", "--help"],
            "auto_envvar_prefix": "RDPEER",
            **(attrs.get("context_settings") or {}),
        }
        super().__init__(*args, **attrs)
        self.no_args_is_help = False  # a missing command is an error like others: one line, exit 2

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """Click's, but for the variable: older versions read RDPEER_HELP."""
        option = super().get_help_option(ctx)
        if option:
            option.allow_from_autoenv = False
        return option


class Command(_Common):
    """A command with the common options."""


class Group(_Common, click.Group):
    """A command that only has subcommands; they are of class Command themselves."""


def _general(*, json: bool, envvars: bool) -> list[click.Option]:
    options = [
        _option("--profile", metavar="NAME", help="Use this profile's identity and settings."),
        _option("-v", "--verbose", count=True, help="Tell what happens; repeat for more."),
        _option("--trace", is_flag=True, help="Show each message sent and received."),
    ]
    if json:
        options.append(_option("--json", is_flag=True, help="Answer in JSON, one object a line."))
    if envvars:
        for option in options:
            option.envvar = "RDPEER_" + str(option.name).upper()
    return options


def _network() -> list[click.Option]:
    return [
        _option(
            "--server", metavar="HOST[:PORT]|URL", help="The rendezvous server; a URL is ws:// or wss://."
        ),
        _option("--key", metavar="KEY", help="The server's key."),
        _option(
            "--relay-server",
            metavar="HOST[:PORT]|URL[,...]",
            help="The relay, where it is not the server's; of several the nearest is taken.",
        ),
        _option("--proxy", metavar="URL", help="Go through it: socks5://HOST[:PORT] or http://HOST[:PORT]."),
        _option("--family", metavar="any|4|6", help="Which IP addresses to use."),
        _option("-4", "family_4", is_flag=True, help="The same as --family 4."),
        _option("-6", "family_6", is_flag=True, help="The same as --family 6."),
        _option("--ca-file", metavar="PATH", help="Trust its certificates instead of the system's."),
        _option("--stun", metavar="HOST[:PORT]", help="Ask this server where our datagrams come from."),
        _option("--pin", metavar="accept-new|ask|strict", help="What to do with a peer's new key."),
        _option("--timeout", metavar="SECONDS", help="How long setting up may take."),
    ]


def _option(*names: str, **attrs: Any) -> click.Option:
    return click.Option(names, expose_value=False, callback=_note, allow_from_autoenv=False, **attrs)


def _note(context: click.Context, option: click.Parameter, value: Any) -> None:
    invocation = context.ensure_object(Invocation)
    if option.name == "verbose":
        invocation.verbosity += value
    elif option.name == "json":
        invocation.json |= value
    elif option.name == "trace":
        invocation.trace |= value
        if value:
            from rdpeer.cli import tracing

            tracing.start()
    elif option.name in ("family_4", "family_6"):
        if value:
            invocation.flags["family"] = option.name[-1]
    elif value is not None:
        invocation.flags[str(option.name).replace("_", "-")] = value
