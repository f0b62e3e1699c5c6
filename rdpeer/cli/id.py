"""``rdpeer id``: the ID, and nothing else, unless asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from rdpeer.cli import voice
from rdpeer.cli.common import Command, Invocation

if TYPE_CHECKING:
    from rdpeer.store.home import Profile
    from rdpeer.store.identity import Identity


@click.command(cls=Command, network=False, json=True)
@click.option("--new", is_flag=True, help="Make a new identity; the old one is kept beside it.")
@click.option("--authorized", is_flag=True, help="Print the line for another's authorized_peers.")
@click.option(
    "--store", type=click.Choice(["file", "keyring"]), help="Keep the secret key there from now on."
)
@click.pass_obj
def command(invocation: Invocation, new: bool, authorized: bool, store: str | None) -> None:
    """Print the ID; makes the identity at the first use.

    The secret key lies in a file that only its owner may read, or, with --store
    keyring, in the desktop's keyring, which cron, systemd and ssh logins do not have.
    """
    if authorized and invocation.json:
        raise click.UsageError("--authorized and --json exclude each other")
    identity = _identity(invocation.profile, new, store)
    if authorized:
        voice.answer(f"{identity.key.public} {identity.peer_id}")
    elif invocation.json:
        voice.answer_json(_description(identity, invocation.profile))
    else:
        voice.answer(str(identity.peer_id))


def _identity(profile: Profile, new: bool, store_name: str | None) -> Identity:
    from rdpeer.store import identity

    store = identity.Store(store_name) if store_name else None
    if new:
        made, kept = identity.renew(profile, store)
        if kept:
            voice.note(f"the old identity is kept in {kept}")
        return made
    return identity.choose_store(profile, store) if store else identity.load_or_create(profile)


def _description(identity: Identity, profile: Profile) -> dict[str, str]:
    public = identity.key.public
    return {
        "id": str(identity.peer_id),
        "key": str(public),
        "fingerprint": str(public.fingerprint),
        "profile": profile.name,
    }
