"""The server's options: which place wins, what a file may say, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdpeer.errors import UsageError
from rdpeer.server import ServerOptions
from rdpeer.server.configuration import load
from rdpeer.values import PublicKey, ServerAddress

KEY = PublicKey(bytes(range(32))).text
OTHER_KEY = PublicKey(bytes([1]) * 32).text


def test_flag_over_file_over_hbbs_over_default(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(
        "PORT=1\nrelay_servers='a,b'\nALWAYS_USE_RELAY=y\nSINGLE_BANDWIDTH=1.5\nTOTAL_BANDWIDTH=64\nRUST_LOG=debug\n\nBIND=\n"
    )
    (tmp_path / "server.toml").write_text('port = 2\naddress = "vps.example"\n[limits]\npeers = 7\n')
    options = load(tmp_path, {"port": 21000})
    assert (options.port, options.address, options.relay_servers) == (21000, "vps.example", ("a", "b"))
    assert options.always_use_relay
    assert (options.single_bandwidth, options.total_bandwidth) == (1.5, 64.0)
    assert options.limits.peers == 7
    assert options.bind == ServerOptions(tmp_path).bind


def test_lists_are_lists_or_texts(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('port = 5000\nrelay-servers = ["r1", "r2:1, r3"]\nbind = "127.0.0.1"\n')
    options = load(tmp_path, {}, tmp_path / "s.toml")
    assert options.relays == tuple(
        ServerAddress(*relay) for relay in (("r1", 21117), ("r2", 1), ("r3", 21117))
    )
    assert options.bind == ("127.0.0.1",)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("port = '1'", "port: not a whole number: '1'"),
        ("port = true", "port: not a whole number: 'True'"),
        ("always-use-relay = 1", "always-use-relay: not true or false: '1'"),
        ("bind = [1]", r"bind: not a list of texts: '\[1\]'"),
        ("color = 1", "no such option: 'color'"),
        ("enrol = 'never'", "enrol: 'never' is none of open, approve, closed"),
        ("limits = 1", "limits is a table"),
        ("[limits]\nhope = 1", "no such limit: 'hope'"),
        ("[limits]\npeers = 0", "limits: peers: not a whole number above 0: '0'"),
        ("[limits]\npeers = 1.5", "limits: peers: not a whole number above 0: '1.5'"),
        ("[limits]\nframe-timeout = true", "limits: frame-timeout: not a number above 0: 'True'"),
        ("port = ", "server.toml: invalid value"),
    ],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str, error: str) -> None:
    (tmp_path / "server.toml").write_text(text)
    with pytest.raises(UsageError, match=error) as raised:
        load(tmp_path, {})
    assert str(tmp_path / "server.toml") in str(raised.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("drain", -1.0),
        ("single-bandwidth", -1.0),
        ("relay-idle", 0.0),
        ("log-format", "xml"),
        ("log-level", "loud"),
        ("metrics", "9000"),
        ("bind", "here"),
        ("relay-servers", "a b"),
        ("trust-proxy", "proxy.example"),
        ("address", "a b"),
    ],
)
def test_what_cannot_be_is_told_with_its_option(tmp_path: Path, name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"^{name}: "):
        load(tmp_path, {name: value})


def test_a_named_file_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load(tmp_path, {}, tmp_path / "other.toml")


@pytest.mark.parametrize(
    "given",
    [
        {"port": 1},
        {"port": 65533},
        {"tls-cert": "cert.pem"},
        {"trust-proxy": ["proxy.example"]},
        {"trust-proxy": ["10.0.0.1/8"]},
        {"bind": ["localhost"]},
        {"relay-servers": ["a b"]},
        {"address": "a b"},
        {"only": "both"},
        {"single-bandwidth": 0.0},
        {"relay-idle": float("inf")},
        {"limit-speed": float("nan")},
        {"key": "a text"},
        {"key": "A" * 88},
        {"key": KEY + "," + OTHER_KEY},
        {"key": KEY + ",", "only": "relay"},
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, given: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        load(tmp_path, given)


@pytest.mark.parametrize(("key", "demanded"), [("-", []), ("_", []), (KEY, [KEY]), (KEY.rstrip("="), [KEY])])
def test_the_key_is_the_own_pairs_or_a_public_one(tmp_path: Path, key: str, demanded: list[str]) -> None:
    assert [public.text for public in load(tmp_path, {"key": key}).demanded_keys] == demanded


def test_a_relay_alone_demands_one_of_several_keys(tmp_path: Path) -> None:
    options = load(tmp_path, {"key": f"{OTHER_KEY}, {KEY}", "only": "relay"})
    assert [public.text for public in options.demanded_keys] == [OTHER_KEY, KEY]
