"""An option for safety that a script gives with an empty variable: refused, not taken for none."""

from __future__ import annotations

import re

import pytest
from program import Rdpeer


@pytest.mark.parametrize("command", [["connect", "612345678"], ["listen"]])
def test_no_password_file_is_named(rdpeer: Rdpeer, command: list[str]) -> None:
    stderr = "rdpeer: error: --password-file: no file is named\n"
    rdpeer("--server", "127.0.0.1:9", *command, "--password-file", "", code=2, stderr=stderr)


def test_no_key_of_the_peer_is_named(rdpeer: Rdpeer) -> None:
    stderr = re.compile("rdpeer: error: not an Ed25519 public key .*\n(rdpeer: hint: .*\n)?")
    rdpeer("--server", "127.0.0.1:9", "connect", "612345678", "--peer-key", "", code=2, stderr=stderr)
