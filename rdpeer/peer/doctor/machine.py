"""Checks of this machine: what is set, what is kept, and its clock."""

from __future__ import annotations

from datetime import UTC, datetime

from rdpeer.errors import RdpeerError, UsageError
from rdpeer.net.clock import wall
from rdpeer.peer.doctor.findings import Finding, fail, ok, warn
from rdpeer.peer.doctor.patient import Patient
from rdpeer.peer.setup import rendezvous_server
from rdpeer.store import authorized_peers, identity
from rdpeer.store.known_peers import KnownPeers

_RELEASED = datetime(2026, 11, 1, tzinfo=UTC)
_KEY_REMEDY = "take it from the server: its id_ed25519.pub, or the line that 'rdpeer server' prints"


async def check_settings(patient: Patient) -> list[Finding]:
    """They can be read, and name a server and its key."""
    settings = patient.known_settings = patient.load()
    server = patient.known_server = rendezvous_server(settings)
    findings = [ok("settings", f"server {server.address} (from {settings.origin('server')})")]
    if settings.key is None:
        findings.append(
            warn("settings", "no server key is set: nobody vouches for a peer's key", _KEY_REMEDY)
        )
    elif settings.key.public is None:
        text = "the server key is a text: such a server vouches for no peer's key"
        findings.append(warn("settings", text, "give --peer-key, a code or a password when you connect"))
    else:
        findings.append(ok("settings", f"server key {settings.key.label} (from {settings.origin('key')})"))
    return findings


async def check_secret_store(patient: Patient) -> list[Finding]:
    """The identity's key can be had where it is kept, and nobody else can read or change what counts."""
    profile = patient.profile
    found = identity.load(profile)
    patient.known_identity = found[0] if found else identity.load_or_create(profile)
    in_keyring = found is not None and found[1] is identity.Store.KEYRING
    where = "the keyring" if in_keyring else f"the file {profile.identity}"
    findings = [ok("secret store", f"the key of {patient.known_identity.peer_id} is in {where}")]
    try:
        authorized = len(authorized_peers.read(profile.authorized_peers))
        pins = len(KnownPeers(profile.known_peers).pins())
    except UsageError as error:
        return [*findings, fail("secret store", error)]
    return [*findings, ok("secret store", f"{authorized} authorized and {pins} pinned keys")]


async def check_clock(patient: Patient) -> list[Finding]:
    """Neither behind this program nor behind the files that it wrote."""
    now = datetime.fromtimestamp(wall(), UTC)
    remedy = "set it, or have it set: timedatectl set-ntp true"
    if now < _RELEASED:
        text = f"it is {now:%Y-%m-%d} here, before this program was made"
        return [fail("clock", RdpeerError(text), remedy)]
    path = patient.profile.identity
    if path.exists() and path.stat().st_mtime > wall() + 60:
        return [warn("clock", f"{path} is from the future: the clock was set back", remedy)]
    return [ok("clock", f"{now:%Y-%m-%d %H:%M} UTC")]
