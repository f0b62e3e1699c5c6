"""A server's certificate: read, read anew, and refused in one line."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from pathlib import Path

import pytest
from tls import make

from rdpeer.errors import UsageError
from rdpeer.net.tls import client_tls, load_certificate, server_tls


async def shown(server: ssl.SSLContext, ca: Path) -> list[str]:
    """The names in the certificate that a client is shown."""
    names: list[str] = []

    async def visit(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    listener = await asyncio.start_server(visit, "127.0.0.1", ssl=server)
    client = client_tls(str(ca))
    client.check_hostname = False
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        names = [name for _, name in writer.get_extra_info("peercert")["subjectAltName"]]
        await reader.read()
        writer.close()
        await writer.wait_closed()
    return names


async def test_a_new_certificate_is_shown_without_a_restart(tmp_path: Path) -> None:
    tls = make(tmp_path, "old.example")
    context = server_tls(tls.cert, tls.key)
    assert await shown(context, tls.ca) == ["old.example"]
    make(tmp_path, "new.example")
    load_certificate(context, tls.cert, tls.key)
    assert await shown(context, tls.ca) == ["new.example"]


async def test_a_certificate_whose_key_is_not_there_yet_leaves_the_old_one(tmp_path: Path) -> None:
    tls = make(tmp_path, "old.example")
    context, key = server_tls(tls.cert, tls.key), tls.key.read_bytes()
    make(tmp_path, "new.example")
    tls.key.write_bytes(key)
    with pytest.raises(UsageError, match="key values mismatch"):
        load_certificate(context, tls.cert, tls.key)
    assert await shown(context, tls.ca) == ["old.example"]


def test_files_that_cannot_be_used_are_named_with_the_reason(tmp_path: Path) -> None:
    tls = make(tmp_path)
    (tmp_path / "other").mkdir()
    other = make(tmp_path / "other")
    (tmp_path / "empty.pem").write_bytes(b"")
    for cert, key, reason in (
        (tmp_path / "none.pem", tls.key, "No such file or directory"),
        (tls.cert, other.key, "TLS: key values mismatch"),
        (tmp_path / "empty.pem", tls.key, "TLS: "),
        (tls.cert, tls.cert, "TLS: "),
    ):
        with pytest.raises(UsageError) as refused:
            server_tls(cert, key)
        assert str(refused.value).startswith(f"the certificate {cert} cannot be used with {key}: {reason}")
        assert str(refused.value).isprintable()


def test_nobody_is_asked_for_the_password_of_a_key(tmp_path: Path) -> None:
    tls = make(tmp_path)
    sealed = tmp_path / "sealed.pem"
    command = ["openssl", "pkcs8", "-topk8", "-in", tls.key, "-out", sealed, "-passout", "pass:secret"]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not installed")
    with pytest.raises(UsageError, match=r"the key is encrypted$"):
        server_tls(tls.cert, sealed)
