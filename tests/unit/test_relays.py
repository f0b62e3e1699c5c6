"""Which relays are used, and what a relay's name on the wire means."""

from __future__ import annotations

import pytest

from rdpeer.protocol.relays import Relays
from rdpeer.protocol.tokens import UsedTokens, fresh_token, is_token
from rdpeer.values import ServerAddress


@pytest.mark.parametrize(
    ("server", "text", "relay"),
    [
        ("rs.example", "", "rs.example:21117"),
        ("rs.example:30000", "", "rs.example:30001"),
        ("rs.example:30000", "localhost", "rs.example:30001"),
        ("rs.example:30000", "[::1]:7", "rs.example:7"),
        ("rs.example", "::ffff:127.0.0.1", "rs.example:21117"),
        ("rs.example", "[::]", "rs.example:21117"),
        ("rs.example:30000", "r.example", "r.example:21117"),
        ("rs.example", "R.Example:443", "r.example:443"),
        ("rs.example", "2001:db8::1", "[2001:db8::1]:21117"),
        ("127.0.0.1:30000", "127.0.0.1:30001", "127.0.0.1:30001"),
        ("localhost:30000", "", "localhost:30001"),
    ],
)
def test_what_a_name_means(server: str, text: str, relay: str) -> None:
    assert str(Relays(ServerAddress.parse(server)).read(text)) == relay


@pytest.mark.parametrize("text", ["no host!", "host:0", "host:99999", "[::1", ":21117", "a" * 300])
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(ValueError):
        Relays(ServerAddress("rs.example")).read(text)


def test_a_relay_whose_websocket_has_no_port() -> None:
    relays = Relays(ServerAddress.parse("wss://rs.example"))
    with pytest.raises(ValueError, match="not a port"):
        relays.read("203.0.113.5:65534")
    assert relays.theirs("203.0.113.5:65534") == relays.own
    assert relays.read("203.0.113.5:65533") == ServerAddress("203.0.113.5", 65533)


def test_the_server_s_own_relay_by_its_address() -> None:
    relays = Relays(ServerAddress("rs.example"))
    relay = ServerAddress("203.0.113.5", 21117)
    assert not relays.allows(relay, 0.0)
    relays.server_ip = "203.0.113.5"
    assert relays.allows(relay, 0.0)
    assert not relays.allows(ServerAddress("203.0.113.5", 22), 0.0)


def test_only_so_many_named_relays_are_remembered() -> None:
    relays = Relays(ServerAddress("rs.example"))
    for n in range(17):
        relays.name(f"r{n}.example", float(n))
    assert not relays.allows(ServerAddress("r0.example", 21117), 17.0)
    assert relays.allows(ServerAddress("r1.example", 21117), 17.0)


def test_a_token_is_used_once_a_minute() -> None:
    used, token = UsedTokens(), fresh_token()
    assert is_token(token)
    assert [used.use(token, now) for now in (0.0, 0.0, 59.0, 60.0)] == [True, False, False, True]


def test_no_token_is_never_used_up() -> None:
    used = UsedTokens()
    assert is_token("")
    assert [used.use("", 0.0), used.use("", 0.0)] == [True, True]


def test_too_many_tokens_are_refused_and_not_forgotten() -> None:
    used = UsedTokens()
    tokens = [fresh_token() for _ in range(4097)]
    assert [used.use(token, 0.0) for token in tokens].count(True) == 4096
    assert not used.use(tokens[0], 1.0)


WEB = ServerAddress.parse("wss://rs.example/x")


@pytest.mark.parametrize(
    ("named", "reached"),
    [
        ("", "wss://rs.example/x/ws/relay"),
        ("127.0.0.1", "wss://rs.example/x/ws/relay"),
        ("rs.example:5001", "wss://rs.example/x/ws/relay"),
        ("203.0.113.5", "wss://rs.example/x/ws/relay"),
        ("203.0.113.9", "ws://203.0.113.9:21119"),
        ("other.example", "wss://other.example/ws/relay"),
    ],
)
def test_a_server_on_the_web_has_its_relays_there(named: str, reached: str) -> None:
    relays = Relays(WEB)
    relays.server_ip = "203.0.113.5"
    assert str(relays.reach(relays.read(named))) == reached


@pytest.mark.parametrize(
    ("named", "reached"),
    [
        ("", "ws://203.0.113.5:21119"),
        ("203.0.113.9:5001", "ws://203.0.113.9:5003"),
        ("rs.example", "ws://rs.example:21119"),
        ("rs.example:5001", "ws://rs.example:5003"),
    ],
)
def test_where_no_proxy_stands_before_the_server_none_stands_before_its_relays(
    named: str, reached: str
) -> None:
    relays = Relays(ServerAddress.parse("ws://203.0.113.5:21118"))
    assert str(relays.reach(relays.read(named))) == reached


def test_the_configured_relay_is_reached_as_it_is_configured() -> None:
    by_web = Relays(ServerAddress("rs.example"), ServerAddress.parse_relay("wss://relay.example"))
    assert by_web.ours("") == ServerAddress("relay.example", 21117)
    assert str(by_web.reach(by_web.ours(""))) == "wss://relay.example/ws/relay"
    by_tcp = Relays(WEB, ServerAddress("relay.example", 21117))
    assert by_tcp.reach(by_tcp.ours("")) == ServerAddress("relay.example", 21117)


def test_the_port_of_a_web_servers_own_relay_is_not_known_and_not_used() -> None:
    relays = Relays(WEB)
    assert relays.allows(ServerAddress("rs.example", 5001), 0.0)
    assert not relays.allows(ServerAddress("evil.example", 21117), 0.0)


def test_no_url_comes_from_the_wire() -> None:
    with pytest.raises(ValueError):
        Relays(WEB).read("wss://evil.example")
    with pytest.raises(ValueError):
        Relays(WEB).read("wss://[::1]/")


def test_several_configured_relays() -> None:
    first, second = ServerAddress("a.example", 21117), ServerAddress("b.example", 21117)
    relays = Relays(ServerAddress("rs.example"), first, second)
    assert relays.ours("named.example") == first
    assert relays.theirs("named.example") == ServerAddress("named.example", 21117)
    assert relays.theirs("") == first
    assert all(relays.allows(relay, 0.0) for relay in (first, second, relays.own))
    assert relays.choices(second) == [second, first]
    assert relays.choices(relays.own) == [relays.own, first, second]
    relays.prefer(second)
    assert relays.configured == [second, first]
    assert relays.ours("") == second
