"""Whatever stands in the ID's place is never an option for ssh."""

from __future__ import annotations

import pytest
from program import Rdpeer


@pytest.mark.parametrize("destination", ["-oKnownHostsCommand=/bin/false", "-oProxyCommand=x@735222110"])
def test_an_option_is_no_destination(rdpeer: Rdpeer, destination: str) -> None:
    stderr = (
        "rdpeer: error: an option stands in the place of the ID\n"
        "rdpeer: hint: ssh's own options stand behind the ID: rdpeer ssh ID -p 22\n"
    )
    rdpeer("--server", "127.0.0.1:9", "ssh", destination, "-G", code=2, stderr=stderr)


def test_what_was_asked_for_here_is_asked_for_behind_ssh(rdpeer: Rdpeer) -> None:
    told = rdpeer("ssh-config", "--trace", "-v", "612345678")
    assert " -v --trace connect -- 612345678\n" in told
    assert "--trace" not in rdpeer("ssh-config", "612345678")


def test_a_desktop_is_told_where_its_ssh_server_is(rdpeer: Rdpeer) -> None:
    stanza = rdpeer("ssh-config", "--stock", "178000002")
    assert " connect --stock -- 178000002 localhost:22\n" in stanza
    assert "HostKeyAlias rdpeer-178000002\n" in stanza


def test_no_variable_makes_desktops_of_all_peers(rdpeer: Rdpeer) -> None:
    assert "--stock" not in rdpeer("ssh-config", "178000002", env={"RDPEER_STOCK": "1"})
