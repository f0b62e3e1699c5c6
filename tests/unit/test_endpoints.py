from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.errors import RemoteProtocolError
from rdpeer.values import Endpoint
from rdpeer.wire.endpoints import mangle, unmangle

tms = st.integers(0, 2**32 - 1)
ports = st.integers(1, 65535)


@given(st.ip_addresses(v=4), ports, tms)
def test_v4_comes_back(ip: object, port: int, tm: int) -> None:
    endpoint = Endpoint(str(ip), port)
    mangled = mangle(endpoint, tm)
    assert len(mangled) <= 11
    assert not mangled.endswith(b"\0")
    assert unmangle(mangled) == endpoint


@given(st.ip_addresses(v=6), ports, tms)
def test_v6_comes_back(ip: object, port: int, tm: int) -> None:
    endpoint = Endpoint(str(ip), port)
    mangled = mangle(endpoint, tm)
    assert len(mangled) == 18
    assert unmangle(mangled) == Endpoint.of((str(ip), port))


def test_v6_layout() -> None:
    assert mangle(Endpoint("fd77::3", 0x1234), 99).hex() == "fd770000000000000000000000000003" + "3412"


def test_a_v4_mapped_address_becomes_v4() -> None:
    assert unmangle(mangle(Endpoint("::ffff:10.0.0.1", 80), 0)) == Endpoint("10.0.0.1", 80)


def test_the_same_endpoint_looks_different_each_time() -> None:
    endpoint = Endpoint("192.168.1.10", 21116)
    assert mangle(endpoint, 1) != mangle(endpoint, 2)


@given(tms)
def test_nothing_is_no_endpoint(tm: int) -> None:
    assert unmangle(b"") is None
    assert unmangle(mangle(Endpoint("10.0.0.1", 0), tm)) is None
    assert unmangle(mangle(Endpoint("fd77::3", 0), tm)) is None


@given(st.binary(max_size=40))
def test_any_bytes_are_an_endpoint_or_refused(data: bytes) -> None:
    try:
        endpoint = unmangle(data)
    except RemoteProtocolError:
        assert len(data) > 16
        assert len(data) != 18
    else:
        assert endpoint is None or (endpoint.address and 0 < endpoint.port < 65536)


@pytest.mark.parametrize("length", [17, 19, 32])
def test_lengths_that_no_sender_makes(length: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"{length} bytes"):
        unmangle(b"\1" * length)
