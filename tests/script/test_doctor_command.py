"""``rdpeer doctor``: lines, JSON and exit codes. What it finds is tests/integration/test_doctor.py's."""

from __future__ import annotations

import json
import re

from network import Network
from program import Rdpeer


def test_all_is_well(network: Network) -> None:
    told = network.far("doctor", "--quick")
    assert re.fullmatch("(OK    [a-z0-9 /]+: .+\n){18}", told)


def test_json(network: Network) -> None:
    findings = [json.loads(line) for line in network.far("doctor", "--quick", "--json").splitlines()]
    assert all(finding.keys() == {"check", "level", "text", "remedy"} for finding in findings)
    assert {finding["level"] for finding in findings} == {"OK"}


def test_it_ends_as_the_first_failure_would_end_a_command(network: Network) -> None:
    told = network.far("doctor", "--quick", "--key", "A" * 43 + "=", code=7, stderr="")
    assert re.search("\nFAIL  key: .*\n      take the key from the server.*\n", told)


def test_no_server(rdpeer: Rdpeer) -> None:
    told = rdpeer("doctor", code=2, stderr="")
    assert told.startswith("FAIL  settings: no server is set\n      --server HOST or ")


def test_settings_that_cannot_be_read(rdpeer: Rdpeer) -> None:
    rdpeer.home.mkdir()
    (rdpeer.home / "config.toml").write_text("server = 5\n")
    told = rdpeer("doctor", "--quick", code=2, stderr="")
    assert told.startswith("FAIL  settings: ")
    assert "\nOK    clock: " in told
