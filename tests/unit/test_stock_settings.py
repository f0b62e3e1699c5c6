"""rdpeer.store.stock_settings: a server as RustDesk's own programs write it down."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdpeer.errors import UsageError
from rdpeer.store.stock_settings import server_link
from rdpeer.values import ServerAddress, ServerKey, ServerLink

KEY = "5Qbwsde3unUcJBtrx9ZkvUmwFNoExHzpryHuPUdqlWM="
# Made by a stock client; published in its documentation and tests.
STRING = "0nI900VsFHZVBVdIlncwpHS4V0bOZ0dtVldrpVO4JHdCp0YV5WdzUGZzdnYRVjI6ISeltmIsISMuEjLx4SMiojI0N3boJye"
STOCK = ServerLink(ServerAddress("1.1.1.1"), ServerKey(KEY))


def exported(value: object, altchars: bytes = b"-_") -> str:
    """What "Export server config" makes of ``value``."""
    return base64.b64encode(json.dumps(value).encode(), altchars).decode()[::-1]


def settings(tmp_path: Path, text: str) -> str:
    path = tmp_path / "RustDesk2.toml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    "text",
    [
        STRING,
        f" {STRING}\n",
        f"rustdesk-licensed-{STRING}.exe",
        f"rustdesk-licensed---{STRING}--.exe",
        f"rustdesk--{STRING}(1).exe",
        f"rustdesk-licensed-{STRING} (1) (2).exe.exe",
        f"rustdesk-host=1.1.1.1,key={KEY}.exe",
        f"rustdesk-host=1.1.1.1,api=http://x,key={KEY},(1).exe",
        f"/home/me/rustdesk-licensed-{STRING}.exe",
        f"C:\\Downloads\\rustdesk-host=1.1.1.1,key={KEY},.EXE",
    ],
)
def test_strings_and_installers(text: str) -> None:
    assert server_link(text) == STOCK


@pytest.mark.parametrize("altchars", [b"-_", b"+/"])
def test_a_server_string_with_everything(altchars: bytes) -> None:
    fields = {"host": "hbbs.example:5000", "relay": "hbbr.example", "api": "https://a", "key": "\u00ff>?" * 5}
    link = server_link(exported(fields, altchars))
    assert link.server == ServerAddress("hbbs.example", 5000)
    assert link.relay == ServerAddress("hbbr.example", 21117)
    assert link.key == ServerKey("\u00ff>?" * 5)


def test_a_relay_in_a_name() -> None:
    assert server_link("rustdesk-host=a,relay=b:9,key=k.exe") == ServerLink(
        ServerAddress("a"), ServerKey("k"), ServerAddress("b", 9)
    )


def test_a_link_of_ours_is_still_one() -> None:
    assert server_link(f"rdpeer://1.1.1.1?key={KEY}") == STOCK


def test_settings_of_a_desktop(tmp_path: Path) -> None:
    text = f"""rendezvous_server = 'rs-ny.rustdesk.com:21116'
nat_type = 1
serial = 0

[options]
custom-rendezvous-server = 'HBBS.example'
relay-server = 'hbbr.example:21117'
api-server = 'https://a.example'
key = '{KEY}'
enable-audio = 'N'
"""
    assert server_link(settings(tmp_path, text)) == ServerLink(
        ServerAddress("hbbs.example"), ServerKey(KEY), ServerAddress("hbbr.example", 21117)
    )


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("rendezvous_server = 'rs-ny.rustdesk.com'", "no custom-rendezvous-server in its [options]"),
        ("options = 3", "no custom-rendezvous-server in its [options]"),
        ("[options]\ncustom-rendezvous-server = ''", "no custom-rendezvous-server in its [options]"),
        ("[options]\ncustom-rendezvous-server = 3", "custom-rendezvous-server is not text"),
        ("[options]\ncustom-rendezvous-server = 'a b'", "not a host name or IP address: 'a b'"),
        ("[options]\ncustom-rendezvous-server = 'a'\nkey = \"k\\u001bey\"", "key cannot be 'k?ey'"),
        ("[options]\ncustom-rendezvous-server = 'a'\nrelay-server = 'b:0'", "not a port: 0"),
        ("not toml", "it is not TOML"),
        ("a = " + "[" * 5000, "it is not TOML"),
        ("#" * (1 << 20) + "##", "more than 1 MiB"),
    ],
)
def test_settings_that_do_not_do(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(UsageError) as caught:
        server_link(settings(tmp_path, text))
    assert error in str(caught.value)
    assert "RustDesk2.toml" in str(caught.value)
    assert str(caught.value).isprintable()


def test_settings_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*RustDesk2\.toml: No such file"):
        server_link(str(tmp_path / "RustDesk2.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(UsageError, match="cannot read"):
        server_link(str(tmp_path / "folder.toml"))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "not a server link"),
        ("rustdesk.exe", "not a server link"),
        ("hbbs.example", "not a server link"),
        (exported([1]), "not a server link"),
        (base64.b64encode(b"[" * 2000).decode()[::-1], "not a server link"),
        (exported({}), "it names no server"),
        (exported({"host": ["a"]}), "host is not text"),
        (exported({"host": "a", "key": 1}), "key is not text"),
        (exported({"host": "a\x1b"}), "host cannot be 'a?'"),
        (exported({"host": "a", "key": "k" * 5000}), "at most 4096 characters"),
        ("rustdesk-host=.exe", "it names no server"),
        ("rdpeer://", "not a server link"),
        ("x" * 5000, "at most 4096 characters"),
    ],
)
def test_texts_that_do_not_do(text: str, error: str) -> None:
    with pytest.raises(UsageError) as caught:
        server_link(text)
    assert error in str(caught.value)
    assert str(caught.value).isprintable()


@given(st.text(max_size=80) | st.recursive(st.none() | st.text(), st.lists).map(exported))
def test_any_text_is_a_server_or_one_line(text: str) -> None:
    if text.lower().endswith(".toml"):
        return
    problem = ""
    try:
        server_link(text)
    except UsageError as error:
        problem = str(error)
    assert not problem or problem.isprintable()
