"""An sshd of the current user on this machine, and a listener that leads to it."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from network import Network
from program import installed


@dataclass(frozen=True)
class Sshd:
    port: int
    host_key: str
    """As in known_hosts, without a name."""
    identity: Path
    """What opens it for the current user."""


@pytest.fixture(scope="session")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    program, keygen = installed("sshd"), installed("ssh-keygen")
    folder = tmp_path_factory.mktemp("sshd")
    for name in ("host", "identity"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = folder / "config"
    config.write_text(
        f"ListenAddress 127.0.0.1:{port}\n"
        f"HostKey {folder}/host\n"
        f"AuthorizedKeysFile {folder}/identity.pub\n"
        "AuthenticationMethods publickey\n"
        "PermitRootLogin yes\n"
        "StrictModes no\n"
        "UsePAM no\n"
        "PidFile none\n"
        "Subsystem sftp internal-sftp\n"
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # where it locks itself in before a login
    with subprocess.Popen([program, "-D", "-e", "-f", config], stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr
            assert any("listening" in line for line in iter(process.stderr.readline, "")), "it did not start"
            yield Sshd(port, (folder / "host.pub").read_text().strip(), folder / "identity")
        finally:
            process.terminate()


@dataclass(frozen=True)
class Ssh:
    """ssh at near, to the sshd behind far's listener. ``config`` is its whole configuration."""

    network: Network
    config: Path
    user: str

    def __call__(self, *command: str | Path, code: int = 0, stdin: str = "") -> str:
        """Runs a program of OpenSSH, or one that uses it; its stdout. Where it ends well it is silent."""
        done = subprocess.run(
            [installed(str(command[0])), *command[1:]],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=self.network.near.folder,
            env=self.network.near.environ,
            timeout=50,
        )
        assert done.returncode == code, done.stderr
        assert code or not done.stderr
        return done.stdout

    @property
    def proxy(self) -> str:
        return f"{self.network.near.command} connect"

    @property
    def login(self) -> str:
        return f"{self.user}@{self.network.peer}"


@pytest.fixture
def ssh(network: Network, sshd: Sshd) -> Ssh:
    """Host keys are checked, under the name rdpeer-ID."""
    installed("ssh")
    network.authorize()
    network.listen("--to", f"127.0.0.1:{sshd.port}")
    known = network.near.folder / "known_hosts"
    known.write_text(f"rdpeer-{network.peer} {sshd.host_key}\n")
    config = network.near.folder / "ssh_config"
    config.write_text(
        f"IdentityFile {sshd.identity}\n"
        "IdentitiesOnly yes\n"
        f"UserKnownHostsFile {known}\n"
        "GlobalKnownHostsFile none\n"
        "StrictHostKeyChecking yes\n"
        "BatchMode yes\n"
    )
    return Ssh(network, config, getpass.getuser())


@pytest.fixture
def configured(ssh: Ssh) -> Ssh:
    """ssh knows the way by its configuration alone, from ``rdpeer ssh-config``."""
    stanza = ssh.network.near("ssh-config", ssh.network.peer)
    ssh.config.write_text(ssh.config.read_text() + stanza)
    return ssh
