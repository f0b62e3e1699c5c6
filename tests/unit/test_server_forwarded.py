"""Whom X-Forwarded-For names, and when it counts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.server.forwarded import TrustedProxies
from rdpeer.values import Endpoint

PROXIES = TrustedProxies(["127.0.0.1", "10.0.0.0/8", "fd00::/8"])


@pytest.mark.parametrize(
    ("source", "header", "client"),
    [
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # no proxy of ours: anybody can say that
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "192.0.2.66, 198.51.100.1", "198.51.100.1"),  # the first one is the client's own word
        ("127.0.0.1", "192.0.2.66, 198.51.100.1, 10.1.2.3", "198.51.100.1"),
        ("127.0.0.1", "10.9.9.9, 10.1.2.3", "10.9.9.9"),
        ("127.0.0.1", "198.51.100.1, unknown", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.1, unknown, 10.1.2.3", "10.1.2.3"),
        ("127.0.0.1", "198.51.100.1:5555", "198.51.100.1"),
        ("127.0.0.1", " 2001:db8::1 ", "2001:db8::1"),
        ("127.0.0.1", "[2001:db8::1]:5555,fd00::7", "2001:db8::1"),
        ("127.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("fd00::1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", ",,,", "127.0.0.1"),
        ("127.0.0.1", "fe80::1%eth0", "fe80::1"),
    ],
)
def test_the_right_most_entry_that_is_no_proxy(source: str, header: str, client: str) -> None:
    assert PROXIES.client(Endpoint(source, 7), header) == Endpoint(client, 7)


@given(st.text(), st.booleans())
def test_any_header_gives_an_address(header: str, trusted: bool) -> None:
    source = Endpoint("127.0.0.1" if trusted else "192.0.2.1", 7)
    client = PROXIES.client(source, header)
    assert client.address
    assert trusted or client == source


def test_nobody_is_trusted_unless_told() -> None:
    assert TrustedProxies().client(Endpoint("127.0.0.1", 7), "192.0.2.1") == Endpoint("127.0.0.1", 7)


@pytest.mark.parametrize("network", ["proxy.example", "10.0.0.1/8", "", "10.0.0.0/33"])
def test_what_is_no_network(network: str) -> None:
    with pytest.raises(ValueError):
        TrustedProxies([network])
