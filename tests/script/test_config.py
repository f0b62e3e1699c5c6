"""``rdpeer config``."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from program import Rdpeer

KEY = "qGxqQyQ0Yz2Wq1YfM0gQm0sN3Jm9rJ7nYw2mE0F8b+s="


def test_set_get_unset(rdpeer: Rdpeer) -> None:
    assert rdpeer("config", "set", "server", "HBBS.example.org") == ""
    assert rdpeer("config", "get", "server") == "hbbs.example.org\n"
    assert rdpeer("config", "unset", "server") == ""
    assert rdpeer("config", "get", "server", code=1, stderr="") == ""
    assert rdpeer("config", "unset", "server") == ""


def test_flag_over_environment_over_profile(rdpeer: Rdpeer) -> None:
    variable = {"RDPEER_SERVER": "variable"}
    rdpeer("config", "set", "server", "profile")
    assert rdpeer("config", "get", "server") == "profile\n"
    assert rdpeer("config", "get", "server", env=variable) == "variable\n"
    assert rdpeer("config", "get", "server", "--server", "flag", env=variable) == "flag\n"
    assert rdpeer("--server", "flag", "config", "get", "server", env=variable) == "flag\n"
    assert rdpeer("--server", "flag", "config", "get", "server", "--server", "last", env=variable) == "last\n"


def test_list_tells_where_from(rdpeer: Rdpeer) -> None:
    rdpeer("config", "set", "server", "a:5000")
    rdpeer("config", "set", "timeout", "20")
    path = rdpeer("config", "path").strip()
    told = rdpeer("config", "list", "--key", KEY, env={"RDPEER_RELAY_SERVER": "b"})
    assert told == (
        f"server = a:5000  ({path})\n"
        f"key = {KEY}  (--key)\n"
        "relay-server = b:5001  (RDPEER_RELAY_SERVER)\n"
        "family = any  (default)\n"
        "pin = accept-new  (default)\n"
        f"timeout = 20  ({path})\n"
    )
    lines = rdpeer("config", "list", "--json").splitlines()
    assert json.loads(lines[0]) == {"name": "server", "value": "a:5000", "origin": path}


def test_profiles(rdpeer: Rdpeer) -> None:
    rdpeer("config", "--profile", "work", "set", "server", "a")
    rdpeer("config", "get", "server", code=1)
    assert rdpeer("config", "get", "server", "--profile", "work") == "a\n"
    assert (rdpeer.home / "config.toml").read_text() == '[profile.work]\nserver = "a"\n'
    rdpeer(
        "id", "--profile", "../work", code=2, stderr=re.compile("rdpeer: error: not a profile name: .*\n.*\n")
    )


def test_import_takes_the_whole_server(rdpeer: Rdpeer) -> None:
    rdpeer("config", "set", "relay-server", "old")
    rdpeer("config", "set", "pin", "strict")
    assert rdpeer("config", "import", f"rdpeer://hbbs.example.org:5000?key={KEY}") == ""
    assert rdpeer("config", "get", "server") == "hbbs.example.org:5000\n"
    assert rdpeer("config", "get", "key") == f"{KEY}\n"
    assert rdpeer("config", "get", "pin") == "strict\n"
    rdpeer("config", "get", "relay-server", code=1)
    rdpeer("config", "import", f"rdpeer://a?key={KEY}&relay=b")
    assert rdpeer("config", "get", "relay-server") == "b:21117\n"


def test_import_of_a_desktop_s_settings_says_what_it_took(rdpeer: Rdpeer) -> None:
    (rdpeer.folder / "RustDesk2.toml").write_text(
        f"[options]\nkey = '{KEY}'\ncustom-rendezvous-server = 'hbbs.example'\nrelay-server = 'hbbr'\n"
    )
    told = "rdpeer: took server hbbs.example:21116, key SHA256:.{43}, relay hbbr:21117\n"
    rdpeer("config", "import", "RustDesk2.toml", stderr=re.compile(told))
    assert rdpeer("config", "get", "server") == "hbbs.example\n"
    assert rdpeer("config", "get", "key") == f"{KEY}\n"
    assert rdpeer("config", "get", "relay-server") == "hbbr:21117\n"


@pytest.mark.parametrize(
    "link", ["nowhere.toml", "hbbs.example.org", "http://a", "rdpeer://", "rdpeer://a?kee=b", "rdpeer://a:b"]
)
def test_import_refuses_other_links(rdpeer: Rdpeer, link: str) -> None:
    rdpeer("config", "import", link, code=2, stderr=re.compile("rdpeer: error: .*\n"))
    assert not rdpeer.home.exists()


def test_bad_names_and_values_are_not_written(rdpeer: Rdpeer) -> None:
    hint = (
        "rdpeer: hint: settings are server, key, relay-server, proxy, family, ca-file, stun, pin, timeout\n"
    )
    for arguments in (("set", "password", "x"), ("get", "password"), ("unset", "password")):
        rdpeer("config", *arguments, code=2, stderr=f"rdpeer: error: no such setting: 'password'\n{hint}")
    rdpeer("config", "set", "timeout", "soon", code=2)
    assert not rdpeer.home.exists()


def test_a_bad_place_is_named(rdpeer: Rdpeer) -> None:
    rdpeer.home.mkdir()
    path = rdpeer.home / "config.toml"
    path.write_text('pin = "never"\n')
    told = "pin: 'never' is none of accept-new, ask, strict"
    rdpeer("config", "list", code=2, stderr=f"rdpeer: error: {path}: {told}\n")
    rdpeer(
        "config",
        "list",
        code=2,
        env={"RDPEER_PIN": "x"},
        stderr=re.compile("rdpeer: error: RDPEER_PIN: .*\n"),
    )
    rdpeer("config", "list", "--pin", "x", code=2, stderr=re.compile("rdpeer: error: --pin: .*\n"))
    path.write_text("colour = 1\n")
    rdpeer(
        "config", "list", code=2, stderr=re.compile(f"rdpeer: error: {path}: no such setting: 'colour'\n.*\n")
    )


def test_reading_makes_nothing(rdpeer: Rdpeer) -> None:
    rdpeer("config", "list")
    rdpeer("config", "path")
    assert not rdpeer.home.exists()
