"""Asking for a peer: PROTOCOL 2.3, 9.3, 12 and 13, and what a server may do wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from playbook import Deadline, Playbook, wire

from rdpeer.crypto.identities import sign_id_pk
from rdpeer.crypto.keys import IdentityKey
from rdpeer.errors import (
    IdentityMismatch,
    PeerOffline,
    PeerRefused,
    PeerSilent,
    PeerUnknown,
    RdpeerError,
    RemoteProtocolError,
    ServerRefused,
    ServerUnreachable,
)
from rdpeer.protocol.conversation import (
    Command,
    Done,
    Fail,
    FrameReceived,
    Listen,
    ListenerFailed,
    ListenerOpened,
    OpenStream,
    SendFrame,
    Started,
    StreamClosed,
    StreamFailed,
    StreamOpened,
)
from rdpeer.protocol.question import RendezvousServer
from rdpeer.protocol.relays import Relays
from rdpeer.protocol.rendezvous import Offer, PunchRequest
from rdpeer.protocol.traversal import Candidate, Kind
from rdpeer.values import Endpoint, PeerId, PublicKey, ServerAddress, ServerKey
from rdpeer.wire import rendezvous_pb2 as pb
from rdpeer.wire.endpoints import mangle

SERVER_KEY = IdentityKey.from_seed(bytes(32))
KEY = ServerKey(SERVER_KEY.public.text)
ADDRESS = ServerAddress("rs.example")
SERVER = RendezvousServer(ADDRESS, KEY, "config.toml")
LOCAL = Endpoint("192.168.1.7", 50000)
REMOTE = Endpoint("203.0.113.5", 21116)
WHERE = "rs.example:21116 (203.0.113.5)"
PEER = PeerId("612345678")
PEER_KEY = PublicKey(bytes(range(32)))
BLOB = sign_id_pk(SERVER_KEY, PEER, PEER_KEY.raw)
DIRECT = Endpoint("192.168.1.9", 40000)
RELAY = ServerAddress("rs.example", 21117)
TOKEN = "01234567-89ab-4def-8123-456789abcdef"

ASKED = SendFrame(
    "server",
    wire(
        punch_hole_request=pb.PunchHoleRequest(
            id="612345678", licence_key=KEY.text, conn_type=pb.PORT_FORWARD, version="1.4.9"
        )
    ),
)


def request(server: RendezvousServer = SERVER, *, configured: Sequence[ServerAddress] = ()) -> PunchRequest:
    return PunchRequest(PEER, server, Relays(server.address, *configured))


def asked(conversation: PunchRequest | None = None, remote: Endpoint = REMOTE) -> Playbook:
    return (
        Playbook(conversation or request())
        >> Started()
        << OpenStream("server", ADDRESS, reuse=True)
        >> StreamOpened("server", LOCAL, remote)
        << Listen("peer", beside="server")
        >> ListenerOpened("peer", LOCAL)
        << ASKED
    )


def offer(
    relay: ServerAddress,
    *candidates: Candidate,
    key: PublicKey | None = None,
    token: str | None = None,
) -> Done:
    """What the request ends with; the listener is kept where a candidate needs it."""
    keep = () if all(candidate.kind is Kind.LOCAL for candidate in candidates) else ("peer",)
    return Done(Offer(key, candidates, relay, token, LOCAL), keep)


def punched(**fields: object) -> FrameReceived:
    return FrameReceived("server", wire(punch_hole_response=pb.PunchHoleResponse(**fields)))  # type: ignore[arg-type]


def relayed(**fields: object) -> FrameReceived:
    return FrameReceived("server", wire(relay_response=pb.RelayResponse(**fields)))  # type: ignore[arg-type]


def test_the_responder_s_local_address() -> None:
    answer = punched(socket_addr=mangle(DIRECT, 5), pk=BLOB, is_local=True, relay_server="r.example:443")
    candidate = Candidate(Kind.LOCAL, DIRECT)
    assert asked() >> answer << offer(ServerAddress("r.example", 443), candidate, key=PEER_KEY)


def test_the_responder_has_punched_a_hole() -> None:
    answer = punched(socket_addr=mangle(DIRECT, 5), pk=BLOB, nat_type=pb.ASYMMETRIC)
    assert asked() >> answer << offer(RELAY, Candidate(Kind.PUNCH, DIRECT), key=PEER_KEY)


def test_where_we_cannot_listen_the_responder_is_dialled_all_the_same() -> None:
    answer = punched(socket_addr=mangle(DIRECT, 5), pk=BLOB, nat_type=pb.ASYMMETRIC)
    assert (
        Playbook(request())
        >> Started()
        << OpenStream("server", ADDRESS, reuse=True)
        >> StreamOpened("server", LOCAL, REMOTE)
        << Listen("peer", beside="server")
        >> ListenerFailed("peer", "Address already in use")
        << ASKED
        >> answer
        << Done(Offer(PEER_KEY, (Candidate(Kind.PUNCH, DIRECT),), RELAY, None, LOCAL))
    )


def test_the_responder_waits_at_the_relay() -> None:
    answer = relayed(uuid=TOKEN, relay_server="r.example", pk=BLOB)
    assert asked() >> answer << offer(ServerAddress("r.example", 21117), key=PEER_KEY, token=TOKEN)


def test_the_responder_waits_at_the_relay_and_dials_us() -> None:
    answer = relayed(uuid=TOKEN, relay_server="r.example", pk=BLOB, dials=True)
    candidate = Candidate(Kind.AWAIT, LOCAL)
    assert asked() >> answer << offer(ServerAddress("r.example", 21117), candidate, key=PEER_KEY, token=TOKEN)


def test_the_smallest_server_relays_without_token_and_key() -> None:
    answer = relayed(relay_server="203.0.113.5")
    assert asked() >> answer << offer(ServerAddress("203.0.113.5", 21117), token="")


def test_a_forced_relay_is_said_twice() -> None:
    conversation = PunchRequest(PEER, SERVER, Relays(ADDRESS), force_relay=True)
    forced = pb.PunchHoleRequest(
        id="612345678",
        nat_type=pb.SYMMETRIC,
        licence_key=KEY.text,
        conn_type=pb.PORT_FORWARD,
        version="1.4.9",
        force_relay=True,
    )
    assert (
        Playbook(conversation)
        >> Started()
        << OpenStream("server", ADDRESS)
        >> StreamOpened("server", LOCAL, REMOTE)
        << SendFrame("server", wire(punch_hole_request=forced))
    )


@pytest.mark.parametrize(
    ("named", "configured", "relay"),
    [
        ("", [], RELAY),
        ("127.0.0.1", [], RELAY),
        ("0.0.0.0:443", [], ServerAddress("rs.example", 443)),
        ("", [ServerAddress("mine.example", 9)], ServerAddress("mine.example", 9)),
        ("r.example", [ServerAddress("mine.example", 9)], ServerAddress("r.example", 21117)),
        ("no host!", [], RELAY),
    ],
)
def test_which_relay_to_ask_for(
    named: str, configured: Sequence[ServerAddress], relay: ServerAddress
) -> None:
    answer = punched(socket_addr=mangle(DIRECT, 5), relay_server=named, nat_type=pb.ASYMMETRIC)
    assert asked(request(configured=configured)) >> answer << offer(relay, Candidate(Kind.PUNCH, DIRECT))


@pytest.mark.parametrize("is_local", [True, False])
@pytest.mark.parametrize(
    "ip", ["127.0.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1", "0.0.0.0", "::1", "ff02::1", "::"]
)
def test_an_address_that_no_peer_has_is_not_dialled(ip: str, is_local: bool) -> None:
    answer = punched(socket_addr=mangle(Endpoint(ip, 22), 5), is_local=is_local)
    assert asked() >> answer << offer(RELAY)


def test_loopback_is_dialled_where_the_server_is_there_too() -> None:
    here = Endpoint("127.0.0.1", 22)
    answer = punched(socket_addr=mangle(here, 5), is_local=True)
    assert asked(remote=Endpoint("127.0.0.1", 21116)) >> answer << offer(RELAY, Candidate(Kind.LOCAL, here))


def test_a_key_exchange_is_skipped_once() -> None:
    hello = FrameReceived("server", wire(key_exchange=pb.KeyExchange(keys=[b"k"])))
    error = RemoteProtocolError(f"{WHERE} answered with key_exchange")
    assert asked() >> hello >> hello << Fail(error)


def test_a_silent_peer_is_asked_for_three_times_in_18_s() -> None:
    error = PeerSilent(f"612345678 is registered at {WHERE}, but did not answer for 18 s")
    assert asked() >> Deadline(3.0) << ASKED >> Deadline(6.0) << ASKED >> Deadline(9.0) << Fail(error)


def test_a_server_that_takes_no_connection() -> None:
    opening = Playbook(request()) >> Started() << OpenStream("server", ADDRESS, reuse=True)
    refused = StreamFailed("server", "203.0.113.5:21116: Connection refused")
    error = ServerUnreachable("cannot reach rs.example:21116: 203.0.113.5:21116: Connection refused")
    assert opening >> refused << Fail(error)


def test_a_server_that_never_answers_the_connection() -> None:
    opening = Playbook(request()) >> Started() << OpenStream("server", ADDRESS, reuse=True)
    error = ServerUnreachable("no answer from rs.example:21116 for 15 s")
    assert opening >> Deadline(15.0) << Fail(error)


def test_a_connection_closed_without_an_answer() -> None:
    error = ServerRefused(f"{WHERE} closed the connection without an answer about 612345678")
    assert asked() >> StreamClosed("server") << Fail(error)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (punched(), PeerUnknown(f"{WHERE} knows no peer 612345678")),
        (punched(failure=pb.PunchHoleResponse.OFFLINE), PeerOffline(f"612345678 is offline at {WHERE}")),
        (
            punched(failure=pb.PunchHoleResponse.LICENSE_OVERUSE),
            ServerRefused(f"{WHERE} refused: its licence is overused"),
        ),
        (punched(failure=77), ServerRefused(f"{WHERE} refused with unknown failure 77")),
        (punched(other_failure="no\x1bway"), ServerRefused(f"{WHERE} refused: no?way")),
        (
            punched(failure=pb.PunchHoleResponse.LICENSE_MISMATCH),
            IdentityMismatch(f"{WHERE} has another key than the configured {KEY.label} (from config.toml)"),
        ),
        (relayed(refuse_reason="busy\n"), PeerRefused("612345678 refused: busy?")),
        (
            relayed(uuid="../../etc"),
            RemoteProtocolError("the pairing token from 612345678 is not a UUID"),
        ),
        (
            relayed(uuid=TOKEN, relay_server="no host!"),
            RemoteProtocolError("the relay of 612345678 cannot be read: no host!"),
        ),
        (punched(socket_addr=bytes(17)), RemoteProtocolError("17 bytes are not a mangled endpoint")),
        (
            FrameReceived("server", b"\xff\xff"),
            RemoteProtocolError(f"{WHERE} sent what cannot be read: 2 bytes are not a RendezvousMessage"),
        ),
        (FrameReceived("server", b""), RemoteProtocolError(f"{WHERE} answered with an unknown message")),
        (
            FrameReceived("server", wire(register_peer=pb.RegisterPeer())),
            RemoteProtocolError(f"{WHERE} answered with register_peer"),
        ),
    ],
)
def test_each_failure_has_its_own_error(answer: FrameReceived, error: RdpeerError) -> None:
    assert asked() >> answer << Fail(error)


def test_a_server_that_wants_a_key_where_none_is_configured() -> None:
    conversation = request(RendezvousServer(ADDRESS))
    opening = Playbook(conversation) >> Started() << OpenStream("server", ADDRESS, reuse=True)
    question = pb.PunchHoleRequest(id="612345678", conn_type=pb.PORT_FORWARD, version="1.4.9")
    assert (
        opening
        >> StreamOpened("server", LOCAL, REMOTE)
        << Listen("peer", beside="server")
        >> ListenerOpened("peer", LOCAL)
        << SendFrame("server", wire(punch_hole_request=question))
        >> punched(failure=pb.PunchHoleResponse.LICENSE_MISMATCH)
        << Fail(IdentityMismatch(f"{WHERE} wants its key, and none is configured"))
    )


OTHER_SERVER = IdentityKey.from_seed(bytes([1]) * 32)
NOT_SIGNED = IdentityMismatch(
    f"the key of 612345678 is not signed by the server key {SERVER_KEY.public.fingerprint} (from config.toml)"
)


@pytest.mark.parametrize(
    ("blob", "error"),
    [
        (sign_id_pk(OTHER_SERVER, PEER, PEER_KEY.raw), NOT_SIGNED),
        (BLOB[:-1] + bytes([BLOB[-1] ^ 1]), NOT_SIGNED),
        (b"x", NOT_SIGNED),
        (sign_id_pk(SERVER_KEY, PEER, b"short"), NOT_SIGNED),
        (
            sign_id_pk(SERVER_KEY, "710300011", PEER_KEY.raw),
            IdentityMismatch("asked for 612345678, the server answered for 710300011"),
        ),
    ],
)
def test_a_key_that_the_server_key_does_not_vouch_for(blob: bytes, error: RdpeerError) -> None:
    assert asked() >> punched(socket_addr=mangle(DIRECT, 5), pk=blob) << Fail(error)
    assert asked() >> relayed(uuid=TOKEN, pk=blob) << Fail(error)


def test_a_server_with_a_text_key_vouches_for_nobody() -> None:
    server = RendezvousServer(ADDRESS, ServerKey("sesame"))
    conversation = request(server)
    conversation.handle(Started(), 0.0)
    conversation.handle(StreamOpened("server", LOCAL, REMOTE), 0.0)
    (end,) = conversation.handle(relayed(uuid=TOKEN, pk=BLOB), 0.0)
    assert end == Done(Offer(None, (), RELAY, TOKEN, LOCAL))


ABOUT, *ROWS = map(
    json.loads,
    (Path(__file__).parent.parent / "vectors" / "stock-hbbs-1.1.17.jsonl").read_text().splitlines(),
)


def stock_answer(name: str) -> Command:
    """What the request for 710300010 ends with at the first of the bytes recorded under ``name``."""
    server = RendezvousServer(ADDRESS, ServerKey(ABOUT["server_key"]))
    conversation = PunchRequest(PeerId("710300010"), server, Relays(ADDRESS))
    conversation.handle(Started(), 0.0)
    conversation.handle(StreamOpened("server", LOCAL, REMOTE), 0.0)
    payload = next(bytes.fromhex(row["hex"][0]) for row in ROWS if row["name"] == name)
    (end,) = conversation.handle(FrameReceived("server", payload), 0.0)
    return end


@pytest.mark.parametrize(
    ("name", "kind"), [("punch: A hears", Kind.PUNCH), ("punch, same ip: A hears", Kind.LOCAL)]
)
def test_a_stock_server_s_answers(name: str, kind: Kind) -> None:
    end = stock_answer(name)
    assert isinstance(end, Done)
    assert isinstance(end.value, Offer)
    assert end.value.peer_key == PublicKey(hashlib.sha256(b"k10310").digest())
    (candidate,) = end.value.candidates
    assert (candidate.kind, candidate.endpoint.ip) == (kind, "10.77.0.9")
    assert end.value.token is None


def test_a_stock_server_passes_on_another_peer_s_answer() -> None:
    end = stock_answer("punch answered for another id: A hears")
    assert isinstance(end, Fail)
    assert str(end.error) == "asked for 710300010, the server answered for 710300001"


# By UDP, and by IPv6

OUTSIDE = Endpoint("198.51.100.20", 50123)
OURS_V6, THEIRS_V6 = Endpoint("2001:db8::7", 50000), Endpoint("2001:db8::9", 40000)


def asked_with(**extra: object) -> SendFrame:
    fields = {"id": "612345678", "licence_key": KEY.text, "conn_type": pb.PORT_FORWARD, "version": "1.4.9"}
    return SendFrame("server", wire(punch_hole_request=pb.PunchHoleRequest(**fields, **extra)))  # type: ignore[arg-type]


def asked_by_udp() -> Playbook:
    return (
        Playbook(PunchRequest(PEER, SERVER, Relays(ADDRESS), udp_port=40404))
        >> Started()
        << OpenStream("server", ADDRESS)
        >> StreamOpened("server", LOCAL, REMOTE)
        << asked_with(udp_port=40404)
    )


def asked_by_v6() -> Playbook:
    return (
        Playbook(PunchRequest(PEER, SERVER, Relays(ADDRESS), v6=OURS_V6))
        >> Started()
        << OpenStream("server", ADDRESS, reuse=True)
        >> StreamOpened("server", LOCAL, REMOTE)
        << Listen("peer", beside="server")
        >> ListenerFailed("peer", "no room")
        << asked_with(socket_addr_v6=mangle(OURS_V6, 0))
    )


def found(*candidates: Candidate, token: str | None = None) -> Done:
    return Done(Offer(PEER_KEY, candidates, RELAY, token, LOCAL))


def test_where_the_peer_waits_for_our_datagrams() -> None:
    answer = punched(socket_addr=mangle(OUTSIDE, 5), pk=BLOB, is_udp=True)
    assert asked_by_udp() >> answer << found(Candidate(Kind.UDP, OUTSIDE))


@pytest.mark.parametrize(
    "fields",
    [
        {"socket_addr": mangle(OUTSIDE, 5)},
        {"socket_addr": mangle(DIRECT, 5), "is_local": True},
        {"socket_addr": mangle(Endpoint("127.0.0.1", 53), 5), "is_udp": True},
        {"socket_addr": mangle(Endpoint("224.0.0.251", 5353), 5), "is_udp": True},
    ],
    ids=["by tcp", "at home", "a service of ours", "multicast"],
)
def test_no_meeting_by_udp_was_made_of_our_wish(fields: dict[str, object]) -> None:
    assert asked_by_udp() >> punched(pk=BLOB, **fields) << found()


def test_no_meeting_by_udp_that_we_did_not_wish_for() -> None:
    answer = punched(socket_addr=mangle(OUTSIDE, 5), pk=BLOB, is_udp=True)
    assert asked() >> answer << offer(RELAY, key=PEER_KEY)


def test_the_peer_is_met_by_v6_beside_everything_else() -> None:
    v6, met = mangle(THEIRS_V6, 0), Candidate(Kind.UDP, THEIRS_V6)
    answer = punched(socket_addr=mangle(DIRECT, 5), pk=BLOB, is_local=True, socket_addr_v6=v6)
    assert asked_by_v6() >> answer << found(Candidate(Kind.LOCAL, DIRECT), met)
    answer = relayed(uuid=TOKEN, relay_server="", pk=BLOB, socket_addr_v6=v6)
    assert asked_by_v6() >> answer << found(met, token=TOKEN)


@pytest.mark.parametrize("ip", ["::1", "fe80::1", "fd00::1", "ff02::1", "::"])
def test_no_v6_address_where_a_peer_cannot_be(ip: str) -> None:
    answer = relayed(uuid=TOKEN, pk=BLOB, socket_addr_v6=mangle(Endpoint(ip, 5), 0))
    assert asked_by_v6() >> answer << found(token=TOKEN)


def test_no_v6_address_that_we_did_not_ask_for() -> None:
    answer = relayed(uuid=TOKEN, pk=BLOB, socket_addr_v6=mangle(THEIRS_V6, 0))
    assert asked() >> answer << offer(RELAY, key=PEER_KEY, token=TOKEN)


def test_a_v6_address_that_cannot_be_one_is_the_server_s_fault() -> None:
    answer = relayed(uuid=TOKEN, pk=BLOB, socket_addr_v6=bytes(19))
    error = RemoteProtocolError("19 bytes are not a mangled endpoint")
    assert asked_by_v6() >> answer << Fail(error)
