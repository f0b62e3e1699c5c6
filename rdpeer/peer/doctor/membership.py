"""Checks of what the server makes of us: its key, our registration, others with our identity, its quirks."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from rdpeer.errors import (
    IdentityMismatch,
    PeerRefused,
    PeerSilent,
    PeerUnavailable,
    ServerRefused,
)
from rdpeer.net.driver import converse
from rdpeer.net.interfaces import address_towards
from rdpeer.peer.doctor.findings import Finding, fail, ok, warn
from rdpeer.peer.doctor.patient import Membership, Patient, close
from rdpeer.peer.register import Member
from rdpeer.protocol.online import OnlineQuery
from rdpeer.protocol.registration import KEEP_ALIVE
from rdpeer.protocol.relays import Relays, means_the_server
from rdpeer.protocol.rendezvous import Offer, PunchRequest
from rdpeer.store.lock import OnlineElsewhere, keep_online
from rdpeer.values import printable

_ANSWER_WITHIN = 5.0
_WATCHED_FOR = KEEP_ALIVE + 3.0
_CLONE_REMEDY = "give the other machine an identity of its own: 'rdpeer id --new' there"


async def check_key(patient: Patient) -> list[Finding]:
    """The server takes the configured key for its own. No wire but this one shows the key to it: it is asked
    for our own ID. What the server signs is seen once somebody answers for that (check_registration)."""
    server = patient.reached_server
    try:
        with suppress(PeerUnavailable, PeerRefused, TimeoutError):  # let through: no more is to be known here
            patient.offer = await _ask_for_ourselves(patient)
    except ServerRefused as error:
        patient.is_served = True  # the smallest servers close where they do not know the ID
        return [warn("key", f"not known: {error}", error.hint or "ask who runs the server")]
    patient.is_served = True
    if server.key is None:
        return [warn("key", "the server asks for no key, and none is set", "set the server's key")]
    return [ok("key", "the server takes the configured key")]


async def check_registration(patient: Patient) -> list[Finding]:
    """We come online, and are found by our ID with our own key; or another process of ours sees to that."""
    server = patient.reached_server
    lock = keep_online(patient.profile.state, server.address, "rdpeer doctor")
    try:
        patient.until_end.enter_context(lock)
    except OnlineElsewhere as busy:
        return await _registered_elsewhere(patient, busy.holder)
    membership = Membership(Member(patient.profile, patient.identity, patient.settings))
    patient.membership = await patient.until_end.enter_async_context(membership)
    findings = [ok("registration", f"{patient.identity.peer_id} is online")]
    if not patient.is_served:
        return findings
    try:
        return [*findings, *_judge(patient, await _ask_for_ourselves(patient))]
    except (PeerSilent, TimeoutError):
        error = PeerSilent("the server does not reach us by UDP: nobody could connect to this machine")
        remedy = "let UDP from the server in; a NAT that forgets within 15 s is too hasty"
        return [*findings, fail("registration", error, remedy)]


async def check_clone(patient: Patient) -> list[Finding]:
    """Nobody else has our identity: two machines would take each other's registration away, in turn."""
    for candidate in patient.offer.candidates if patient.offer else ():
        if not _is_here(patient, candidate.endpoint.ip):
            text = f"another machine answers for our ID, at {candidate.endpoint.ip}"
            return [warn("identity", text, _CLONE_REMEDY)]
    if patient.membership is None or patient.quick:
        return []
    await patient.membership.watch(_WATCHED_FOR)
    if patient.membership.contested:
        text = "another machine registers with our identity (or the server was restarted just now)"
        return [warn("identity", text, _CLONE_REMEDY)]
    return [ok("identity", f"nobody else registered with it in {_WATCHED_FOR:.0f} s")]


async def check_stock(patient: Patient) -> list[Finding]:
    """What stock servers are known for."""
    server = patient.reached_server
    if patient.nat is None or not patient.nat.ports:
        return []
    if patient.nat.external:
        return [ok("server", "an rdpeer server")]
    findings = [ok("server", "a stock server: it drops relays that are idle for 30 s, which rdpeer prevents")]
    named = {n.relay_server for n in patient.membership.notifications} if patient.membership else set()
    for relay in sorted(filter(None, named)):
        if means_the_server(relay) and not server.address.is_loopback:
            text = f"it names {printable(relay)} as its relay, which desktops take for themselves"
            findings.append(warn("server", text, "start hbbs with -r and the relay's public name"))
    return findings


async def _ask_for_ourselves(patient: Patient) -> Offer:
    """TimeoutError where nobody answered in a moment."""
    server = patient.reached_server
    relays = Relays(server.address, *patient.settings.relay_servers)
    async with asyncio.timeout(_ANSWER_WITHIN):
        outcome = await converse(PunchRequest(patient.identity.peer_id, server, relays))
    close(outcome)
    offer: Offer = outcome.value
    patient.pairs_without_token = offer.token == ""
    return offer


async def _registered_elsewhere(patient: Patient, holder: str) -> list[Finding]:
    peer = patient.identity.peer_id
    (online,) = (await converse(OnlineQuery(patient.server.address, [peer]))).value
    if not online:
        text = f"{holder} runs, but {peer} is offline at the server"
        return [warn("registration", text, "what does it say? it may have just begun")]
    findings = [ok("registration", f"{peer} is kept online by {holder}")]
    return findings + (_judge(patient, patient.offer) if patient.offer else [])


def _judge(patient: Patient, offer: Offer) -> list[Finding]:
    """What the server says our key is."""
    ours = patient.identity.key.public
    if offer.peer_key is None:
        remedy = "peers must be proven by a pin, --peer-key, a code or a password"
        return [warn("signature", "the server vouches for no peer's key", remedy)]
    if offer.peer_key != ours:
        text = (
            f"the server has another key for our ID: {offer.peer_key.fingerprint}, ours is {ours.fingerprint}"
        )
        return [fail("signature", IdentityMismatch(text), _CLONE_REMEDY)]
    return [ok("signature", "the server vouches for our key")]


def _is_here(patient: Patient, ip: str) -> bool:
    """One of this machine's addresses (its way to itself begins there), or of the NAT in front of it."""
    seen = patient.nat.external.ip if patient.nat and patient.nat.external else None
    return ip == seen or address_towards(ip) == ip
