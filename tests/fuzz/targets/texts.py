"""Texts that people paste, operators keep in lists, and peers send to be shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rdpeer.errors import UsageError
from rdpeer.net.outbound import ProxyAddress
from rdpeer.protocol.gate import normalize_code, normalize_password
from rdpeer.server.blocks import Blocks, normal
from rdpeer.server.forwarded import TrustedProxies
from rdpeer.store.stock_settings import server_link
from rdpeer.values import (
    Endpoint,
    Fingerprint,
    PeerAddress,
    PeerId,
    PublicKey,
    ServerAddress,
    ServerKey,
    ServerLink,
    printable,
)

from .script import Target, refusing

KEY = ServerKey(PublicKey(bytes(range(32))).text)
PROXIES = TrustedProxies(["127.0.0.1", "10.0.0.0/8", "fd00::/8"])


def text_of(data: bytes) -> str:
    """As the command line and a header of HTTP have it: bytes that are no UTF-8 come as surrogates."""
    return data.decode("utf-8", "surrogateescape")


def shown(data: bytes) -> None:
    text = text_of(data)
    clean = printable(text)
    assert clean.isprintable()
    assert len(clean) <= 203
    assert printable(clean, 203) == clean
    assert printable(text, 10) == printable(text, 10)[:13]


def address(data: bytes) -> None:
    """What is read is shown fit for a terminal, and read again the same."""
    text = text_of(data)
    for read in (ServerAddress.parse, ServerAddress.parse_relay, ServerAddress.parse_target):
        _same_again(read, text)
    _same_again(Endpoint.parse, text)
    with refusing(ValueError):
        found = ServerAddress.parse(text)
        assert ServerAddress.parse(found.short()) == found
        assert found.is_loopback in (True, False)
        assert found.plain.port


def peer_address(data: bytes) -> None:
    text = text_of(data)
    _same_again(PeerId.parse, text)
    with refusing(ValueError):
        found = PeerAddress.parse(text)
        assert str(found.peer).isprintable()
        assert found.link is None or ServerLink.parse(str(found.link)) == found.link


def link(data: bytes) -> None:
    _same_again(ServerLink.parse, text_of(data))


def imported(data: bytes) -> None:
    """What `rdpeer config import` takes, but for the path of a file."""
    text = text_of(data)
    if Path(text).suffix.lower() == ".toml":
        return
    with refusing(UsageError):
        found = server_link(text)
        assert ServerLink.parse(str(found)) == found
        assert str(found).isprintable()


def key(data: bytes) -> None:
    text = text_of(data)
    _same_again(PublicKey.parse, text)
    _same_again(Fingerprint.parse, text)
    assert ServerKey(text).label.isprintable()


def secret(data: bytes) -> None:
    text = text_of(data)
    with refusing(ValueError):
        assert normalize_code(normalize_code(text).decode()) == normalize_code(text)
    with refusing(ValueError):
        assert normalize_password(text)


def proxy(data: bytes) -> None:
    with refusing(ValueError):
        assert str(ProxyAddress.parse(text_of(data))).isprintable()


def blocked(data: bytes) -> None:
    """A blocklist's entries, one a line, and an address that is looked for."""
    with refusing(ValueError):
        entries = [normal(line) for line in text_of(data).splitlines() if line]
        assert [normal(entry) for entry in entries] == entries
        assert all(entry.isprintable() for entry in entries)
        blocks = Blocks(entries)
        assert blocks.any == bool(entries)
        assert all(blocks.has_id(one) or blocks.has_ip(one) for one in entries if "/" not in one)
        blocks.has_ip("2001:db8::7")


def forwarded(data: bytes) -> None:
    """X-Forwarded-For: of a proxy that is trusted, and of anybody else."""
    text = text_of(data)
    stranger, trusted = Endpoint("192.0.2.1", 7), Endpoint("127.0.0.1", 7)
    assert PROXIES.client(stranger, text) == stranger
    found = PROXIES.client(trusted, text)
    assert found.port == trusted.port
    assert str(found).isprintable()
    assert str(found.address) == found.ip


def _same_again(read: Callable[[str], object], text: str) -> None:
    with refusing(ValueError):
        found = read(text)
        assert str(found).isprintable(), repr(str(found))
        assert read(str(found)) == found, str(found)


_LINK = f"rdpeer://hbbs.example:21116?key={KEY}&relay=relay.example:21117".encode()

TARGETS = {
    "printable": Target(shown, ["Zoë \x1b[31m\u202e\n".encode(), b"\xff\x00\x7f"]),
    "addresses": Target(
        address,
        [
            b"host.example:21116",
            b"[2001:db8::7]:443",
            b"[fe80::1%eth0]:9",
            b"::1",
            b"wss://host.example/base/ws/id",
            b"ws://10.0.0.1:21118",
        ],
        128,
    ),
    "peer-addresses": Target(
        peer_address, [b"612 345 678", b"7.91.205.21", b"612345678/r@" + _LINK[9:]], 256
    ),
    "links": Target(link, [_LINK, b"rdpeer://[2001:db8::7]"], 256),
    "imports": Target(
        imported,
        [
            _LINK,
            b"rustdesk-host=hbbs.example,key=abc,relay=relay.example.exe",
            b"rustdesk-licensed-0nI9JSZsBXbhhXZuMnYihmI6ICdz9GaiwiIiojI5V2aisHf--.exe",
        ],
        256,
    ),
    "keys": Target(key, [KEY.text.encode(), b"SHA256:" + b"A" * 43], 64),
    "secrets": Target(secret, [b"7K4M-2XQP", "pässword\r\n".encode()], 64),
    "proxies": Target(proxy, [b"http://user:password@proxy.example:3128", b"socks5://[::1]:1080"], 128),
    "blocklists": Target(blocked, [b"192.0.2.0/24\n612345678\n2001:db8::/32\n::ffff:10.0.0.1"], 256),
    "forwarded": Target(
        forwarded, [b"192.0.2.7, 10.0.0.1", b"[2001:db8::7]:443", b"192.0.2.7:80,fd00::1%eth0"], 256
    ),
}
