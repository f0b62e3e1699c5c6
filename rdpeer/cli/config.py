"""``rdpeer config``: the settings of the profile, and where each comes from."""

from __future__ import annotations

import click

from rdpeer.cli import voice
from rdpeer.cli.common import Command, Group, Invocation


@click.group(cls=Group, network=False)
def command() -> None:
    """Read and change settings.

    The settings are server, key, relay-server, proxy, family, ca-file, stun,
    pin and timeout. A flag wins over the environment (RDPEER_SERVER and so on),
    and that over the profile, which is what these commands change.
    """


@command.command(cls=Command)
@click.argument("name")
@click.pass_obj
def get(invocation: Invocation, name: str) -> int:
    """Print the value in force; exit 1, silently, where there is none."""
    from rdpeer.settings import check_name

    check_name(name)
    text = invocation.settings().text(name)
    if text is None:
        return 1
    voice.answer(text)
    return 0


@command.command("set", cls=Command, network=False)
@click.argument("name")
@click.argument("value")
@click.pass_obj
def set_(invocation: Invocation, name: str, value: str) -> None:
    """Set NAME to VALUE in the profile."""
    from rdpeer import settings
    from rdpeer.store import config

    settings.check(name, value)
    config.change(invocation.profile, {name: float(value) if name == "timeout" else value.strip()})


@command.command(cls=Command, network=False)
@click.argument("name")
@click.pass_obj
def unset(invocation: Invocation, name: str) -> None:
    """Remove NAME from the profile; fine where it is not set."""
    from rdpeer.settings import check_name
    from rdpeer.store import config

    check_name(name)
    config.change(invocation.profile, {name: None})


@command.command("list", cls=Command, json=True)
@click.pass_obj
def list_(invocation: Invocation) -> None:
    """Print each setting that has a value, and where that comes from."""
    from rdpeer.settings import NAMES

    settings = invocation.settings()
    for name in NAMES:
        text = settings.text(name)
        if text is None:
            continue
        if invocation.json:
            voice.answer_json({"name": name, "value": text, "origin": settings.origin(name)})
        else:
            voice.answer(f"{name} = {text}  ({settings.origin(name)})")


@command.command(cls=Command, network=False)
@click.pass_obj
def path(invocation: Invocation) -> None:
    """Print where the settings' file is, or would be."""
    voice.answer(str(invocation.profile.config_file))


@command.command("import", cls=Command, network=False, short_help="Take over a server's link.")
@click.argument("link", metavar="LINK|FILE|TEXT")
@click.pass_obj
def import_(invocation: Invocation, link: str) -> None:
    """Take server, key and relay from where they are written.

    LINK is rdpeer://host[:port]?key=KEY[&relay=HOST], FILE a RustDesk2.toml, TEXT what RustDesk's "Export
    server config" copied, or the name of an installer that has its server in it.

    What is not in there is unset: the key of another server is of no use.
    """
    from rdpeer.store import config
    from rdpeer.store.stock_settings import server_link

    new = server_link(link)
    config.change(
        invocation.profile,
        {
            "server": new.server.short(),
            "key": new.key.text if new.key else None,
            "relay-server": str(new.relay) if new.relay else None,
        },
    )
    if not link.strip().startswith("rdpeer://"):  # there it stands for everybody to read
        key = f"key {new.key.label}" if new.key else "no key"
        voice.note(f"took server {new.server}, {key}, {f'relay {new.relay}' if new.relay else 'no relay'}")
