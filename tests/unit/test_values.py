from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.values import (
    Endpoint,
    Fingerprint,
    PeerAddress,
    PeerId,
    PublicKey,
    ServerAddress,
    ServerKey,
    ServerLink,
    WebAddress,
    printable,
)

KEY = PublicKey(bytes(range(32)))
KEY_TEXT = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
PLUS_KEY = PublicKey(b"\xfb\xef\xbe" * 10 + b"\xfb\xef")


# Text from the network


@given(st.text())
def test_printable_is_fit_for_a_terminal(text: str) -> None:
    shown = printable(text)
    assert len(shown) <= 203
    assert all(c == " " or unicodedata.category(c)[0] not in "CZ" for c in shown)


def test_printable() -> None:
    assert printable("plain text, \u00fcmlaut") == "plain text, \u00fcmlaut"
    assert printable("\x1b[31mred\n\u202e") == "?[31mred??"
    assert printable("x" * 10, limit=4) == "xxxx..."


# Peer IDs


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("612345678", "612345678"),
        (" 612 345 678 ", "612345678"),
        ("7.91.205.21", "123456789"),
        ("255.255.255.255", "4294967295"),
        ("my-desk", "my-desk"),
        ("10.0.0.256", "10.0.0.256"),
        ("10.0.0.01", "10.0.0.01"),
    ],
)
def test_peer_ids_as_they_are_typed(typed: str, text: str) -> None:
    assert str(PeerId.parse(typed)) == text


@given(st.integers(100_000, 2**32 - 1))
def test_what_ssh_makes_of_a_number_is_read_as_the_number(number: int) -> None:
    quad = ".".join(str(byte) for byte in number.to_bytes(4, "big"))
    assert PeerId.parse(quad) == PeerId(str(number))


@pytest.mark.parametrize(
    "text", ["", "12345", "x" * 101, "my desk", "desk\n12", "desk\x1b12", "desk\u200b12"]
)
def test_what_is_no_peer_id(text: str) -> None:
    with pytest.raises(ValueError, match="peer ID"):
        PeerId(text)


# Addresses


@pytest.mark.parametrize(
    ("sockaddr", "endpoint"),
    [
        (("10.0.0.1", 80), Endpoint("10.0.0.1", 80)),
        (("::ffff:10.0.0.1", 80, 0, 0), Endpoint("10.0.0.1", 80)),
        (("fe80::1%eth0", 80, 0, 2), Endpoint("fe80::1", 80)),
    ],
)
def test_endpoints_of_sockets(sockaddr: tuple[str, int], endpoint: Endpoint) -> None:
    assert Endpoint.of(sockaddr) == endpoint


@given(st.ip_addresses(), st.integers(0, 65535))
def test_endpoints_come_back(ip: object, port: int) -> None:
    endpoint = Endpoint(str(ip), port)
    assert Endpoint.parse(str(endpoint)) == endpoint
    assert endpoint.is_v6 == (endpoint.address.version == 6)


@pytest.mark.parametrize("text", ["10.0.0.1", "host:80", "[::1]", "10.0.0.1:65536", "10.0.0.1:x", ":80"])
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(ValueError):
        Endpoint.parse(text)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("Example.COM", "example.com", 21116),
        ("example.com:99", "example.com", 99),
        ("10.0.0.1", "10.0.0.1", 21116),
        ("fd77::3", "fd77::3", 21116),
        ("[fd77::3]:5", "fd77::3", 5),
        ("[fe80::1%br-lan.7]:5", "fe80::1%br-lan.7", 5),
    ],
)
def test_server_addresses(text: str, host: str, port: int) -> None:
    address = ServerAddress.parse(text)
    assert (address.host, address.port) == (host, port)
    assert ServerAddress.parse(str(address)) == ServerAddress.parse(address.short()) == address
    assert address.offset(1).port == port + 1


@pytest.mark.parametrize(
    "text", ["", "a b", "host:", "host:0", "host:65536", "[::1", "[::1]x", "::g", "-x", "h\ni"]
)
def test_what_is_no_server_address(text: str) -> None:
    with pytest.raises(ValueError):
        ServerAddress.parse(text)


@pytest.mark.parametrize("parse", [ServerAddress.parse, Endpoint.parse])
@pytest.mark.parametrize("zone", ["\x1b[2J", "eth0\n", "a b", "\u202e"])
def test_the_zone_of_an_address_is_an_interfaces_name(parse: Callable[[str], object], zone: str) -> None:
    with pytest.raises(ValueError) as refused:
        parse(f"[fe80::1%{zone}]:9")
    assert str(refused.value).isprintable()
    assert str(parse("[fe80::1%br-lan.7]:9")) == "[fe80::1%br-lan.7]:9"


@pytest.mark.parametrize(
    ("text", "url", "relay", "plain"),
    [
        ("wss://RS.example", "wss://rs.example/ws/id", "wss://rs.example/ws/relay", "rs.example:21116"),
        ("ws://rs.example/", "ws://rs.example/ws/id", "ws://rs.example/ws/relay", "rs.example:21116"),
        ("ws://rs.example:80", "ws://rs.example/ws/id", "ws://rs.example/ws/relay", "rs.example:21116"),
        ("wss://h:8443", "wss://h:8443/ws/id", "wss://h:8443/ws/relay", "h:21116"),
        ("ws://h:8080/", "ws://h:8080/ws/id", "ws://h:8080/ws/relay", "h:21116"),
        ("wss://h/a/b/", "wss://h/a/b/ws/id", "wss://h/a/b/ws/relay", "h:21116"),
        ("wss://h/a/ws/id", "wss://h/a/ws/id", "wss://h/a/ws/relay", "h:21116"),
        ("ws://h:21118", "ws://h:21118", "ws://h:21119", "h:21116"),
        ("ws://[fd77::3]:5002", "ws://[fd77::3]:5002", "ws://[fd77::3]:5003", "[fd77::3]:5000"),
    ],
)
def test_web_addresses(text: str, url: str, relay: str, plain: str) -> None:
    address = ServerAddress.parse(text)
    assert isinstance(address, WebAddress)
    assert str(address) == url
    assert str(address.offset(1)) == relay
    assert str(address.plain) == plain
    assert str(address.offset(1).plain) == str(address.plain.offset(1))
    assert address.offset(-1) == address
    assert ServerAddress.parse(str(address)) == ServerAddress.parse(address.short()) == address
    assert ServerAddress.parse_relay(relay) == address.offset(1)


@pytest.mark.parametrize(
    ("relay", "scheme", "url"),
    [
        ("rs.example:21117", "wss", "wss://rs.example/ws/relay"),
        ("rs.example:21117", "ws", "ws://rs.example/ws/relay"),
        ("203.0.113.7:21117", "wss", "ws://203.0.113.7:21119"),
        ("[2001:db8::7]:5001", "ws", "ws://[2001:db8::7]:5003"),
    ],
)
def test_where_stock_has_a_relays_websocket(relay: str, scheme: str, url: str) -> None:
    assert str(WebAddress.of_relay(ServerAddress.parse(relay), scheme)) == url


@pytest.mark.parametrize(
    "text",
    ["https://h", "wss://", "wss://h/a b", "wss://h/?q", "wss://u@h", "wss://h:0", "ws://h:x", "://h"],
)
def test_what_is_no_web_address(text: str) -> None:
    with pytest.raises(ValueError):
        ServerAddress.parse(text)


def test_a_link_may_lead_to_a_websocket() -> None:
    link = ServerLink(ServerAddress.parse("wss://h/a"), ServerKey("k"), ServerAddress.parse_relay("wss://r"))
    assert str(link) == "rdpeer://wss://h/a?key=k&relay=wss://r/ws/relay"
    assert ServerLink.parse(str(link)) == link


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("a.localhost", True),
        ("127.0.0.9", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("a.b", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert ServerAddress(host).is_loopback is loopback


# Keys


def test_public_keys() -> None:
    assert str(KEY) == KEY.text == KEY_TEXT
    assert PublicKey.parse(KEY_TEXT) == PublicKey.parse(KEY_TEXT.rstrip("=") + "\n") == KEY


@pytest.mark.parametrize("text", ["", "AAEC", KEY_TEXT + "AAAA", "!" * 43, "\u00fc" * 43])
def test_what_is_no_public_key(text: str) -> None:
    with pytest.raises(ValueError, match="Ed25519 public key"):
        PublicKey.parse(text)


def test_fingerprints_are_as_ssh_writes_them() -> None:
    assert str(KEY.fingerprint) == "SHA256:Yw3NKWbEM2aRElRIu7JbT/QSpJxzLbLIq8G4WBvXEN0"
    assert Fingerprint.parse(str(KEY.fingerprint)) == KEY.fingerprint


@pytest.mark.parametrize("cut", [1, 10, 43])
def test_a_shortened_fingerprint_is_refused(cut: int) -> None:
    with pytest.raises(ValueError):
        Fingerprint.parse(str(KEY.fingerprint)[:-cut])


@pytest.mark.parametrize("text", ["", "SHA256", "MD5:00", "sha256:" + "A" * 43, "SHA256:" + "!" * 43])
def test_what_is_no_fingerprint(text: str) -> None:
    with pytest.raises(ValueError):
        Fingerprint.parse(text)


def test_server_keys() -> None:
    assert ServerKey(KEY_TEXT).public == KEY
    assert ServerKey(KEY_TEXT).label == str(KEY.fingerprint)
    text = ServerKey("open sesame")
    assert text.public is None
    assert "sesame" not in text.label


# What people paste


@pytest.mark.parametrize("key", [KEY, PLUS_KEY])
@pytest.mark.parametrize("server", ["example.com", "example.com:99", "[fd77::3]", "[fd77::3]:99"])
@pytest.mark.parametrize("relay", [None, "relay.example:5"])
def test_server_links_come_back(key: PublicKey, server: str, relay: str | None) -> None:
    link = ServerLink(
        ServerAddress.parse(server), ServerKey(key.text), ServerAddress.parse(relay) if relay else None
    )
    assert ServerLink.parse(str(link)) == link
    assert key.text in str(link), "verbatim: a + stays a +"


def test_a_link_without_a_port_means_the_relay_beside_it() -> None:
    link = ServerLink.parse("rdpeer://example.com:99?relay=r.example")
    assert link.relay == ServerAddress("r.example", 100)
    assert link.key is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.com",
        "http://a",
        "rdpeer://",
        "rdpeer://a?key=x&key=y",
        "rdpeer://a?colour=red",
        "rdpeer://a?key",
        "rdpeer://a?key=%1b[2J",
        "rdpeer://a?key=\udcff",
    ],
)
def test_what_is_no_server_link(text: str) -> None:
    with pytest.raises(ValueError):
        ServerLink.parse(text)


def test_peer_addresses() -> None:
    assert PeerAddress.parse("612 345 678") == PeerAddress(PeerId("612345678"))
    assert PeerAddress.parse("612345678/r") == PeerAddress(PeerId("612345678"), force_relay=True)
    assert PeerAddress.parse("612345678\\r").force_relay
    whole = PeerAddress.parse(f"612345678/r@example.com?key={KEY_TEXT}")
    assert whole.force_relay
    assert whole.link == ServerLink(ServerAddress("example.com"), ServerKey(KEY_TEXT))


@given(st.text(max_size=60))
def test_any_text_is_a_value_or_a_value_error(text: str) -> None:
    parsers = (
        PeerId.parse,
        Endpoint.parse,
        ServerAddress.parse,
        PublicKey.parse,
        Fingerprint.parse,
        ServerLink.parse,
        PeerAddress.parse,
        lambda t: ServerLink.parse("rdpeer://" + t),
    )
    for parse in parsers:
        with contextlib.suppress(ValueError):
            assert parse(text)
