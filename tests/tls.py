"""Certificates that were made for the test, and trust in them."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import trustme

from rdpeer.net import outbound
from rdpeer.net.outbound import Outbound


@dataclass(frozen=True)
class Tls:
    """``ca`` is what a client has to trust; ``cert`` and ``key`` are a server's, as is ``server``."""

    ca: Path
    cert: Path
    key: Path

    @property
    def server(self) -> ssl.SSLContext:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.cert, self.key)
        return context


def make(folder: Path, *names: str) -> Tls:
    """Files for a server of these ``names``; localhost unless told."""
    authority = _authority()
    leaf = authority.issue_cert(*(names or ("localhost", "127.0.0.1")))
    tls = Tls(folder / "ca.pem", folder / "cert.pem", folder / "key.pem")
    authority.cert_pem.write_to_path(tls.ca)
    tls.cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(tls.key)
    return tls


@contextmanager
def trusted() -> Iterator[Tls]:
    """A server's files, which connections made inside trust."""
    with tempfile.TemporaryDirectory() as folder:
        tls = make(Path(folder))
        token = outbound.use(Outbound(ca_file=str(tls.ca)))
        try:
            yield tls
        finally:
            outbound.restore(token)


@cache
def _authority() -> trustme.CA:
    return trustme.CA()
