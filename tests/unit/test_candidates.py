"""Candidates: what may be offered, what may be tried, and what must not be said."""

from __future__ import annotations

import ipaddress
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.errors import RemoteProtocolError
from rdpeer.protocol.candidates import (
    Candidate,
    Candidates,
    Surroundings,
    Transport,
    chosen,
    read_candidates,
    targets,
    write_candidates,
)
from rdpeer.values import Endpoint
from rdpeer.wire import channel_pb2 as pb

HOME = Surroundings(
    loopback=False,
    subnets=tuple(
        map(ipaddress.ip_network, ("192.168.1.0/24", "10.9.0.0/31", "fd00:1::/64", "203.0.113.0/29"))
    ),
)


def udp(ip: str, port: int = 5000) -> Candidate:
    return Candidate(Transport.UDP, Endpoint(ip, port))


@pytest.mark.parametrize(
    "ip",
    ["198.51.100.7", "192.168.1.7", "10.9.0.0", "10.9.0.1", "203.0.113.3", "2001:db8::7", "fd00:1::7"],
)
def test_what_may_be_tried(ip):
    assert HOME.may_try(Endpoint(ip, 1))


@pytest.mark.parametrize(
    "ip",
    [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "127.9.9.9",
        "169.254.169.254",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "192.168.1.0",
        "192.168.1.255",
        "203.0.113.7",
        "192.168.2.7",
        "10.0.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "::",
        "::1",
        "fe80::1",
        "ff02::1",
        "fd00:2::7",
        "64:ff9b::a00:1",
        "::7f00:1",
    ],
)
def test_what_must_not_be_tried(ip):
    assert not HOME.may_try(Endpoint(ip, 1))


def test_loopback_where_the_relay_was_reached_over_it():
    here = Surroundings(loopback=True, subnets=())
    assert here.may_try(Endpoint("127.0.0.1", 1))
    assert here.may_try(Endpoint("::1", 1))
    assert not here.may_try(Endpoint("192.168.1.7", 1))


def test_an_address_of_v4_in_one_of_v6_is_the_one_of_v4():
    ip = ipaddress.ip_address("::ffff:127.0.0.1").packed
    body = pb.Candidates(
        nonce=bytes(16), candidates=[pb.Candidate(transport=pb.Candidate.UDP, ip=ip, port=1)]
    )
    assert read_candidates(body.SerializeToString()).candidates == (udp("127.0.0.1", 1),)


def test_ours_are_usable_and_none_twice_and_eight():
    found = [udp("127.0.0.1"), udp("10.0.0.1"), udp("fe80::1"), udp("10.0.0.1")]
    found += [udp("10.0.0.2", port) for port in range(1, 20)]
    assert chosen(found, HOME) == (udp("10.0.0.1"), *(udp("10.0.0.2", port) for port in range(1, 8)))


def test_targets_are_of_one_transport_and_the_port_is_tried_where_the_server_saw_them():
    tcp = Candidate(Transport.TCP, Endpoint("198.51.100.7", 22))
    theirs = [udp("10.0.0.1", 5000), udp("2001:db8::7", 6000), tcp]
    seen = Endpoint("198.51.100.7", 9999)
    assert targets(theirs, Transport.TCP, HOME, seen) == [tcp.endpoint]
    assert targets(theirs, Transport.UDP, HOME) == [Endpoint("2001:db8::7", 6000)]
    assert targets(theirs, Transport.UDP, HOME, seen) == [
        Endpoint("2001:db8::7", 6000),
        Endpoint("198.51.100.7", 5000),
    ]
    known = [udp("198.51.100.7", 5000)]
    assert targets(known, Transport.UDP, HOME, seen) == [known[0].endpoint]


def test_the_server_cannot_make_us_try_what_a_peer_could_not():
    assert targets([udp("10.0.0.1")], Transport.UDP, HOME, Endpoint("127.0.0.1", 1)) == []


def test_written_and_read():
    said = Candidates(
        b"n" * 16, (udp("192.168.1.7"), Candidate(Transport.TCP, Endpoint("2001:db8::1", 65535)))
    )
    assert read_candidates(write_candidates(said).SerializeToString()) == said


def test_a_transport_of_a_later_version_is_left_out():
    later = pb.Candidate(transport=pb.Candidate.Transport.ValueType(9), ip=b"?", port=0)
    body = pb.Candidates(nonce=bytes(16), candidates=[later])
    assert read_candidates(body.SerializeToString()).candidates == ()


def one(ip: bytes = bytes(4), port: int = 1) -> pb.Candidate:
    return pb.Candidate(transport=pb.Candidate.UDP, ip=ip, port=port)


@pytest.mark.parametrize(
    "message",
    [
        pb.Candidates(),
        pb.Candidates(nonce=bytes(15)),
        pb.Candidates(nonce=bytes(17)),
        pb.Candidates(nonce=bytes(16), candidates=[one()] * 9),
        pb.Candidates(nonce=bytes(16), candidates=[one(b"")]),
        pb.Candidates(nonce=bytes(16), candidates=[one(bytes(5))]),
        pb.Candidates(nonce=bytes(16), candidates=[one(port=0)]),
        pb.Candidates(nonce=bytes(16), candidates=[one(port=65536)]),
    ],
)
def test_what_must_not_be_said(message):
    with pytest.raises(RemoteProtocolError):
        read_candidates(message.SerializeToString())


@given(st.binary(max_size=80))
def test_any_bytes_are_candidates_or_an_error_of_the_peer(body):
    with suppress(RemoteProtocolError):
        read_candidates(body)
