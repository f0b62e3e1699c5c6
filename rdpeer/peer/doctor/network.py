"""Checks of the way to the server: its name, its ports, the NAT, the relay."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import dataclass

from rdpeer.errors import ConnectionLost, RdpeerError, RemoteProtocolError, ServerUnreachable
from rdpeer.net.clock import monotonic
from rdpeer.net.driver import FRAME_LIMIT, converse
from rdpeer.net.interfaces import address_towards
from rdpeer.net.outbound import outbound
from rdpeer.net.resolve import resolve
from rdpeer.net.transport import FrameStream
from rdpeer.net.transport.connect import connect
from rdpeer.net.transport.dial import connected
from rdpeer.peer.doctor.findings import Finding, Level, fail, ok, warn
from rdpeer.peer.doctor.patient import Patient
from rdpeer.peer.nat import Situation, probe
from rdpeer.protocol.places import not_reached
from rdpeer.protocol.question import RendezvousServer
from rdpeer.protocol.relay_leg import RELAY, JoinRelay
from rdpeer.protocol.tokens import fresh_token
from rdpeer.protocol.udp_probe import UdpProbe
from rdpeer.values import Endpoint, ServerAddress

_CONNECT_WITHIN = 5.0
_RESOLVE_WITHIN = 10.0
_PAIR_WITHIN = 5.0
_PAIR_TRIES = 3  # stock hbbr can miss a pair (docs/PROTOCOL.md 13)
_MOST_ADDRESSES = 4


async def check_dns(patient: Patient) -> list[Finding]:
    """The server's name has an address that there is a way to."""
    address = patient.server.address
    if proxy := outbound().proxy:
        return [ok("dns", f"left to the proxy {proxy}")]
    found = await _resolve(address)
    patient.endpoints = _usable(found)
    families = {"IPv4": [e for e in found if not e.is_v6], "IPv6": [e for e in found if e.is_v6]}
    told = "; ".join(
        f"{family}: {', '.join(e.ip for e in endpoints) or 'none'}" for family, endpoints in families.items()
    )
    if not patient.endpoints:
        error = ServerUnreachable(f"{address.host} is {told}, and there is no way there from here")
        return [fail("dns", error, "is this machine connected? a server that has only IPv6 needs IPv6 here")]
    unused = [
        family for family, found in families.items() if found and not set(found) & set(patient.endpoints)
    ]
    return [ok("dns", f"{address.host}: {told}" + "".join(f" (no {f} here: not used)" for f in unused))]


async def check_ports(patient: Patient) -> list[Finding]:
    """Each port of the server, at each of its addresses; that of WebSocket where it is open."""
    server = patient.server.address
    if patient.detour:
        place = await _place("rendezvous", server)
        patient.is_reached = place.level is Level.OK
        return [place]
    if not patient.endpoints:
        return []
    udp = asyncio.create_task(_udp(server))
    query, rendezvous, web = await asyncio.gather(
        _port(server.offset(-1), "NAT test and online query", essential=False),
        _port(server, "rendezvous"),
        _web_port(server, "rendezvous by WebSocket"),
    )
    patient.is_reached = rendezvous.is_open
    return [query.finding, rendezvous.finding, await udp, *web]


async def check_nat(patient: Patient) -> list[Finding]:
    """What it does with our ports."""
    if patient.detour:
        return [ok("nat", f"of no matter: {patient.detour}, and the relay carries the bytes")]
    try:
        nat = patient.nat = await probe(patient.reached_server.address)
    except RemoteProtocolError as error:
        return [warn("nat", f"not known: {error}", "a stock server takes loopback for its administrator")]
    situation = Situation.of(nat)
    if situation is Situation.UNKNOWN:
        remedy = f"open port {patient.server.address.port - 1}/tcp in the server's firewall"
        return [warn("nat", f"not known: {nat.reason}", remedy)]
    text = f"{situation.value}, {situation.mapping}; direct paths {situation.meaning}"
    if situation is Situation.SYMMETRIC:
        return [warn("nat", text, "ask for a NAT that keeps ports (endpoint-independent mapping), or IPv6")]
    return [ok("nat", text)]


async def check_relay(patient: Patient) -> list[Finding]:
    """Its port, and a real pair: two legs of ours, and bytes both ways; of several, each."""
    server = patient.reached_server
    return [finding for relay in patient.relays for finding in await _relay(patient, server, relay)]


async def _relay(patient: Patient, server: RendezvousServer, relay: ServerAddress) -> list[Finding]:
    if patient.detour:
        findings = [await _place("relay", relay)]
    else:
        port, web = await asyncio.gather(_port(relay, "relay"), _web_port(relay, "relay by WebSocket"))
        findings = [port.finding, *web]
    if findings[0].level is Level.FAIL or not patient.is_served:
        return findings
    if patient.pairs_without_token:
        text = "not tried: this server joins the next two who come, whoever they are"
        return [*findings, ok("relay", text)]
    return [*findings, await _try_pairs(server, relay)]


async def _try_pairs(server: RendezvousServer, relay: ServerAddress) -> Finding:
    for tries_left in reversed(range(_PAIR_TRIES)):
        try:
            async with asyncio.timeout(_PAIR_WITHIN):
                seconds = await _pair(server, relay)
        except (RdpeerError, TimeoutError) as error:
            if not tries_left:
                return _no_pair(relay, error)
        else:
            return ok("relay", f"{relay} joins a pair; round trip {seconds * 1000:.1f} ms")
    raise AssertionError("unreachable")


async def _pair(server: RendezvousServer, relay: ServerAddress) -> float:
    """Joins two legs and sends bytes around; how long that took, in seconds."""
    token = fresh_token()
    one = await _leg(server, relay, token)
    try:
        other = await _leg(server, relay, token)
        try:
            began = monotonic()
            for sender, receiver in ((one, other), (other, one)):
                sent = os.urandom(32)
                sender.send(sent)
                if (received := await receiver.receive()) is None:
                    raise ConnectionLost("it closes")
                if received != sent:
                    raise RemoteProtocolError("other bytes come out than went in")
            return monotonic() - began
        finally:
            other.abort()
    finally:
        one.abort()


async def _leg(server: RendezvousServer, relay: ServerAddress, token: str) -> FrameStream:
    return (await converse(JoinRelay(server, relay, token))).streams[RELAY]


def _no_pair(relay: ServerAddress, error: Exception) -> Finding:
    if relay.is_loopback:
        remedy = "a stock relay takes loopback for its administrator: name it by another address"
    else:
        remedy = "it may want another key: start hbbr with the key of hbbs (-k _ in its folder), or with none"
    told = (
        str(error) if isinstance(error, RdpeerError) else f"no bytes came through within {_PAIR_WITHIN:.0f} s"
    )
    return fail("relay", ServerUnreachable(f"{relay} does not join a pair: {told}"), remedy)


async def _resolve(address: ServerAddress) -> Sequence[Endpoint]:
    try:
        async with asyncio.timeout(_RESOLVE_WITHIN):
            return await resolve(address)
    except TimeoutError:
        error = f"{address.host}: the resolver does not answer"
    except OSError as problem:
        error = str(problem)
    raise ServerUnreachable(error, hint="is the name right, and does this machine's DNS work?") from None


def _usable(found: Sequence[Endpoint]) -> list[Endpoint]:
    """Those that there is a way to, in the families that are wanted."""
    family = outbound().family
    return [endpoint for endpoint in found if family.allows(endpoint) and address_towards(endpoint.ip)]


async def _place(what: str, address: ServerAddress) -> Finding:
    """One connection as commands make it."""
    try:
        (await connect(address, limit=FRAME_LIMIT, timeout=_CONNECT_WITHIN)).abort()
    except OSError as error:
        return fail(what, not_reached(address, str(error)), "is it running, and is the way to it open?")
    return ok(what, f"{address} answers")


async def _udp(server: ServerAddress) -> Finding:
    name = f"port {server.port}/udp"
    try:
        await converse(UdpProbe(server))
    except RdpeerError as error:
        return fail(name, error, f"is it running? else a firewall closes {server.port}/udp, there or here")
    return ok(name, "registration: answers")


@dataclass(frozen=True, slots=True)
class _Port:
    """``is_open``: at one of its addresses at least."""

    finding: Finding
    is_open: bool


async def _port(address: ServerAddress, what: str, *, essential: bool = True) -> _Port:
    """What there is to say about a TCP port."""
    name = f"port {address.port}/tcp"
    try:
        found = _usable(await _resolve(address))[:_MOST_ADDRESSES]
    except ServerUnreachable as error:
        return _Port(fail(name, error), is_open=False)
    reasons = await asyncio.gather(*map(_refusal, found))
    failed = "; ".join(reason for reason in reasons if reason)
    remedy = f"is it running? else a firewall closes {address.port}/tcp, there or here"
    is_open = not all(reasons)
    if is_open and not failed:
        return _Port(ok(name, f"{what}: open"), is_open)
    if is_open or not essential:
        return _Port(warn(name, f"{what}: {failed}", remedy), is_open)
    return _Port(fail(name, not_reached(address, failed or "no way there from here"), remedy), is_open)


async def _web_port(address: ServerAddress, what: str) -> list[Finding]:
    """That of WebSocket, where it is open: not every server has it."""
    if address.port + 2 > 65535:
        return []
    port = await _port(address.offset(2), what)
    return [port.finding] if port.is_open else []


async def _refusal(endpoint: Endpoint) -> str | None:
    """Why there is no connection to ``endpoint``, or None where there is."""
    try:
        async with asyncio.timeout(_CONNECT_WITHIN):
            (await connected(endpoint)).close()
    except TimeoutError:
        return f"{endpoint}: no answer within {_CONNECT_WITHIN:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return None
