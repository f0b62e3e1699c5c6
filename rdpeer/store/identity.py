"""The identity of a profile: who we are at every server, made once and never changed by itself.

One file, ``identity.json``, has the ID, the UUID and the public key, and says
which store has the secret key: this file itself, or the keyring. Because the
record and the ID are one file, replaced by one rename, there is never an ID
without a recorded store. What cannot be read is an error with its remedy: a new
identity in its place would cut us off from everyone who knows the old one.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets as random
import uuid
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from rdpeer.crypto.keys import IdentityKey
from rdpeer.errors import UsageError
from rdpeer.store import secrets
from rdpeer.store.files import read_text, refuse_readable, write_whole
from rdpeer.store.home import Profile
from rdpeer.store.lock import locked
from rdpeer.values import PeerId

_FIRST_ID, _LAST_ID = 600_000_000, 999_999_999
"""Nine digits, above the IDs that desktops make for themselves (below 2**29)."""


class Store(StrEnum):
    """What keeps the secret key."""

    FILE = "file"
    KEYRING = "keyring"


@dataclass(frozen=True, slots=True)
class Identity:
    """``uuid`` is what the server knows the machine by: random, sent with each registration."""

    peer_id: PeerId
    uuid: bytes = field(repr=False)
    key: IdentityKey


def load_or_create(profile: Profile) -> Identity:
    """The profile's identity; made, in a file, at the first use. UsageError where it cannot be read or made.

    Two processes at the first use get the same one.
    """
    found = load(profile)
    if found is None:
        with _locked(profile):
            found = load(profile) or (_make(profile, Store.FILE), Store.FILE)
    return found[0]


def load(profile: Profile) -> tuple[Identity, Store] | None:
    """The identity and where its key is, or None where none was made yet."""
    path = profile.identity
    text = read_text(path)
    if text is None:
        return None
    refuse_readable(path)
    try:
        record = json.loads(text)
        store = Store(record["store"])
        peer_id, machine = PeerId(record["id"]), str(uuid.UUID(record["uuid"])).encode()
        seed = record["key"] if store is Store.FILE else _from_keyring(machine)
        identity = Identity(peer_id, machine, IdentityKey.from_seed(_seed(seed)))
        if identity.key.public.text != record["public"]:
            raise ValueError("the secret key is not that of the public key")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(
            f"the identity in {path} is damaged",
            hint="restore the file from a backup, or move it away to get a new ID",
        ) from error
    return identity, store


def choose_store(profile: Profile, store: Store) -> Identity:
    """The identity, its secret key in ``store``: made there, or moved there from where it is.

    The new place is written and read back before the old one is emptied.
    """
    with _locked(profile):
        found = load(profile)
        if found is None:
            return _make(profile, store)
        identity, kept_in = found
        if kept_in is not store:
            _save(profile, identity, store)
            if load(profile) != (identity, store):
                raise UsageError(f"the identity could not be read back from the {store}")
            if kept_in is Store.KEYRING:
                secrets.remove(_name(identity.uuid))
        return identity


def renew(profile: Profile, store: Store | None = None) -> tuple[Identity, Path | None]:
    """A new identity in ``store``, or in the old one's; and where the old one is kept, if there was one.

    The file kept is as good as before: renamed back, the old identity returns.
    """
    with _locked(profile):
        old = load(profile)
        if old is None:
            return _make(profile, store or Store.FILE), None
        kept = profile.identity.with_name(f"identity-{old[0].peer_id}.bak")
        if kept.exists():
            raise UsageError(f"{kept} is in the way", hint="it holds an identity: move it elsewhere")
        write_whole(kept, read_text(profile.identity) or "")
        return _make(profile, store or old[1]), kept


def _make(profile: Profile, store: Store) -> Identity:
    number = _FIRST_ID + random.randbelow(_LAST_ID - _FIRST_ID + 1)
    identity = Identity(PeerId(str(number)), str(uuid.uuid4()).encode(), IdentityKey.generate())
    _save(profile, identity, store)
    return identity


def _save(profile: Profile, identity: Identity, store: Store) -> None:
    """Writes the key first where it is another place: a file that says ``keyring`` must find it there."""
    seed = base64.b64encode(identity.key.seed).decode()
    record = {
        "id": identity.peer_id.text,
        "uuid": identity.uuid.decode(),
        "public": identity.key.public.text,
        "store": store.value,
    }
    if store is Store.FILE:
        record["key"] = seed
    else:
        secrets.put(_name(identity.uuid), seed)
    write_whole(profile.identity, json.dumps(record, indent=2) + "\n")


def _from_keyring(machine: bytes) -> str:
    hint = "unlock the keyring of your desktop; there, 'rdpeer id --store file' moves the key into a file"
    try:
        seed = secrets.get(_name(machine))
    except UsageError as error:
        raise UsageError(f"the key of this ID is in the keyring: {error}", hint=hint) from error
    if seed is None:
        raise UsageError("the key of this ID is recorded as in the keyring, and is not there", hint=hint)
    return seed


def _name(machine: bytes) -> str:
    """The UUID and not the ID: kept identities and copies of one ID stay apart in the keyring."""
    return f"identity {machine.decode()}"


def _seed(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("not base64") from error


def _locked(profile: Profile) -> AbstractContextManager[None]:
    return locked(profile.data / ".identity.lock")
