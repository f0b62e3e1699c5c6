"""rdpeer.settings and the file that they come from: precedence, origins, errors that name the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdpeer.errors import UsageError
from rdpeer.settings import NAMES, Settings, check, load
from rdpeer.store import config
from rdpeer.store.home import Home, Profile
from rdpeer.values import Family, PeerAddress, PinPolicy, ServerAddress, ServerKey

FILE = "/etc/config.toml"
KEY = "qGxqQyQ0Yz2Wq1YfM0gQm0sN3Jm9rJ7nYw2mE0F8b0s="


@pytest.fixture
def profile(tmp_path: Path) -> Profile:
    return Home(tmp_path, tmp_path, tmp_path).profile()


def test_nothing_is_set_by_default() -> None:
    settings = load({}, {}, {}, FILE)
    assert settings == Settings()
    assert settings.pin is PinPolicy.ACCEPT_NEW
    assert {settings.origin(name) for name in NAMES} == {"default"}


def test_flag_over_environment_over_profile() -> None:
    flags = {"server": "flag"}
    environ = {"RDPEER_SERVER": "variable", "RDPEER_RELAY_SERVER": "variable", "RDPEER_PIN": ""}
    table = {"server": "file", "relay-server": "file", "pin": "strict"}
    settings = load(flags, environ, table, FILE)
    assert settings.server == ServerAddress("flag")
    assert settings.relay_server == ServerAddress("variable", 21117)
    assert settings.pin is PinPolicy.STRICT
    origins = [settings.origin(name) for name in ("server", "relay-server", "pin", "key")]
    assert origins == ["--server", "RDPEER_RELAY_SERVER", FILE, "default"]


def test_the_relay_is_one_port_beside_the_server() -> None:
    assert load({"server": "a:5000", "relay-server": "b"}, {}, {}, FILE).relay_server == ServerAddress(
        "b", 5001
    )


def test_a_stun_server_has_a_port_of_its_own() -> None:
    settings = load({"stun": "stun.example"}, {}, {}, FILE)
    assert settings.stun == ServerAddress("stun.example", 3478)
    assert settings.text("stun") == "stun.example:3478"


@pytest.mark.parametrize("seconds", [20, 0.5, "20"])
def test_the_timeout_may_be_a_number_in_the_file(seconds: object) -> None:
    assert load({}, {}, {"timeout": seconds}, FILE).timeout == float(str(seconds))


@pytest.mark.parametrize(
    ("flags", "environ", "table", "message"),
    [
        ({"server": "a:b"}, {}, {}, "--server: not a port: 'b'"),
        ({}, {"RDPEER_RELAY_SERVER": "a:b"}, {}, "RDPEER_RELAY_SERVER: not a port: 'b'"),
        ({}, {}, {"pin": "never"}, f"{FILE}: pin: 'never' is none of accept-new, ask, strict"),
        ({}, {}, {"timeout": True}, f"{FILE}: timeout: write it as text, in quotes"),
        ({}, {}, {"server": 5}, f"{FILE}: server: write it as text, in quotes"),
        ({"timeout": "0"}, {}, {}, "--timeout: not a number of seconds above 0: '0'"),
        ({"timeout": "nan"}, {}, {}, "--timeout: not a number of seconds above 0: 'nan'"),
        ({"timeout": "soon"}, {}, {}, "--timeout: not a number of seconds above 0: 'soon'"),
        ({"key": " "}, {}, {}, "--key: the key is empty"),
        ({"proxy": "ftp://h"}, {}, {}, "--proxy: not a proxy (socks5://host[:port] or http://host[:port])"),
        ({"stun": "a:0"}, {}, {}, "--stun: not a port: 0"),
        ({"family": "5"}, {}, {}, "--family: '5' is none of any, 4, 6"),
        ({"proxy": "http://me:pw@h"}, {}, {}, "everybody can read a password on the command line"),
        ({}, {}, {"sever": "a"}, f"{FILE}: no such setting: 'sever'"),
    ],
)
def test_an_error_names_the_place(
    flags: dict[str, str], environ: dict[str, str], table: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError) as caught:
        load(flags, environ, table, FILE)
    assert str(caught.value) == message


def test_a_proxy_s_password_is_never_shown() -> None:
    settings = load({}, {"RDPEER_PROXY": "http://me:pw@h"}, {"family": "6"}, FILE)
    assert settings.proxy is not None
    assert settings.proxy.password == "pw"
    assert settings.text("proxy") == "http://me@h:80"
    assert "pw" not in repr(settings)
    assert settings.outbound.family is Family.V6


def test_no_password_is_set_from_the_command_line() -> None:
    with pytest.raises(UsageError, match="everybody can read"):
        check("proxy", "socks5://me:pw@h")


def test_a_relay_may_be_a_websocket() -> None:
    settings = load({"server": "wss://h", "relay-server": "wss://r/x"}, {}, {}, FILE)
    assert str(settings.relay_server) == "wss://r/x/ws/relay"
    settings = load({"server": "ws://h:5002", "relay-server": "r"}, {}, {}, FILE)
    assert settings.relay_server == ServerAddress("r", 5001)


def test_a_server_is_required_with_a_hint() -> None:
    with pytest.raises(UsageError, match="no server is set") as caught:
        Settings().require_server()
    assert "rdpeer config set server" in str(caught.value.hint)
    assert load({"server": "a"}, {}, {}, FILE).require_server() == ServerAddress("a")


def test_check_knows_names_and_values() -> None:
    check("server", "host:1")
    with pytest.raises(UsageError, match="no such setting: 'password'"):
        check("password", "x")
    with pytest.raises(UsageError, match=r"^server: not a port"):
        check("server", "host:x")


def test_the_key_is_not_in_the_repr() -> None:
    assert "hunter2" not in repr(load({"key": "hunter2"}, {}, {}, FILE))


# ID@host


def test_an_address_without_a_server_changes_nothing() -> None:
    settings = load({"server": "a"}, {}, {}, FILE)
    assert settings.at(PeerAddress.parse("612345678/r")) is settings


def test_an_address_with_a_server_beats_environment_and_profile() -> None:
    settings = load({}, {"RDPEER_SERVER": "a", "RDPEER_KEY": "ka"}, {"relay-server": "r", "pin": "ask"}, FILE)
    there = settings.at(PeerAddress.parse(f"612345678@b?key={KEY}"))
    assert (there.server, there.key, there.relay_server) == (ServerAddress("b"), ServerKey(KEY), None)
    assert there.pin is PinPolicy.ASK
    assert there.origin("server") == there.origin("key") == "612345678@b:21116"
    assert (there.origin("relay-server"), there.origin("pin")) == ("default", FILE)


def test_the_key_of_another_server_is_not_kept() -> None:
    settings = load({}, {"RDPEER_SERVER": "a", "RDPEER_KEY": "ka"}, {}, FILE)
    assert settings.at(PeerAddress.parse("612345678@b")).key is None


def test_that_of_the_same_server_is() -> None:
    settings = load({}, {"RDPEER_SERVER": "b", "RDPEER_KEY": "kb"}, {}, FILE)
    there = settings.at(PeerAddress.parse("612345678@b"))
    assert there.key == ServerKey("kb")
    assert there.origin("key") == "RDPEER_KEY"


@pytest.mark.parametrize("name", ["server", "key", "relay-server"])
def test_an_address_with_a_server_and_a_flag_contradict_each_other(name: str) -> None:
    settings = load({name: "a"}, {}, {}, FILE)
    with pytest.raises(UsageError, match=f"--{name} and 612345678@b:21116 contradict"):
        settings.at(PeerAddress.parse("612345678@b"))


# config.toml


def test_a_change_keeps_comments_and_order(profile: Profile) -> None:
    profile.config_file.write_text('# mine\nkey = "k"  # old\n\n[profile.work]\nserver = "w"\n')
    config.change(profile, {"server": "a", "key": None})
    assert profile.config_file.read_text() == '# mine\nserver = "a"\n\n[profile.work]\nserver = "w"\n'
    assert config.read(profile) == {"server": "a"}


def test_profiles_inherit_nothing(tmp_path: Path, profile: Profile) -> None:
    work = Home(tmp_path, tmp_path, tmp_path).profile("work")
    config.change(profile, {"server": "a"})
    assert config.read(work) == {}
    config.change(work, {"pin": "strict", "timeout": 20.0})
    assert config.read(work) == {"pin": "strict", "timeout": 20.0}
    assert config.read(profile) == {"server": "a"}


def test_a_file_is_not_written_for_nothing(profile: Profile) -> None:
    config.change(profile, {"server": None})
    assert not profile.config_file.exists()
    assert config.read(profile) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("server = ", "invalid value"),
        ('profile = "work"', "below \\[profile.NAME\\]"),
        ('[profile]\nserver = "a"', "below \\[profile.NAME\\]"),
        ("[profile.default]", "not a profile of its own"),
    ],
)
def test_a_bad_file_is_named_and_not_changed(profile: Profile, text: str, message: str) -> None:
    profile.config_file.write_text(text)
    for action in (lambda: config.read(profile), lambda: config.change(profile, {"server": "a"})):
        with pytest.raises(UsageError, match=f"{profile.config_file}: .*{message}"):
            action()
    assert profile.config_file.read_text() == text


def test_several_relays() -> None:
    settings = load({"server": "a:5000", "relay-server": "b, c:7,wss://d,b:5001"}, {}, {}, FILE)
    assert settings.text("relay-server") == "b:5001,c:7,wss://d/ws/relay"
    assert settings.relay_server == ServerAddress("b", 5001)


@pytest.mark.parametrize("text", ["b,", ",", "b,,c", "b;c"])
def test_several_relays_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--relay-server: "):
        load({"relay-server": text}, {}, {}, FILE)
