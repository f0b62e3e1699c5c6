"""The real ssh, scp and rsync, with rdpeer as ProxyCommand."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from subprocess import PIPE
from typing import TYPE_CHECKING

import pytest
from program import installed
from stand_ins import DesktopProcess

if TYPE_CHECKING:
    from conftest import Ssh, Sshd
    from terminal import Terminal


@pytest.mark.parametrize("token", ["%h", "%n"])
def test_proxy_command(ssh: Ssh, token: str) -> None:
    """An ID is a number to ssh, and %h makes an address of it."""
    options = [f"-oProxyCommand={ssh.proxy} {token}", f"-oHostKeyAlias=rdpeer-{ssh.network.peer}"]
    assert ssh("ssh", "-F", ssh.config, *options, ssh.login, "echo hello") == "hello\n"


def test_a_host_alias(ssh: Ssh) -> None:
    ssh.config.write_text(
        ssh.config.read_text() + "Host work\n"
        f"    HostName {ssh.network.peer}\n"
        f"    User {ssh.user}\n"
        f"    ProxyCommand {ssh.proxy} %h\n"
        f"    HostKeyAlias rdpeer-{ssh.network.peer}\n"
    )
    assert ssh("ssh", "-F", ssh.config, "work", "echo hello") == "hello\n"


def test_rdpeer_ssh(ssh: Ssh) -> None:
    assert ssh.network.near("ssh", ssh.login, "-F", str(ssh.config), "cat", stdin="hello\n") == "hello\n"


def test_rdpeer_ssh_with_the_server_in_the_address(ssh: Ssh) -> None:
    (ssh.network.near.home / "config.toml").unlink()
    address = f"{ssh.login}@{ssh.network.server.link.removeprefix('rdpeer://')}"
    assert ssh.network.near("ssh", address, "-F", str(ssh.config), "echo hello") == "hello\n"


def test_ssh_config(configured: Ssh) -> None:
    assert configured("ssh", "-F", configured.config, configured.login, "echo hello") == "hello\n"


def test_a_stock_desktop(ssh: Ssh, sshd: Sshd) -> None:
    """It knows where its ssh server is."""
    link = re.fullmatch(r"rdpeer://([\d.]+):(\d+)\?key=(.*)", ssh.network.server.link)
    assert link
    desktop = DesktopProcess(link[1], int(link[2]), link[3])
    proxy = f"{ssh.proxy} --stock {desktop.id} 127.0.0.1:{sshd.port}"
    options = [f"-oProxyCommand={proxy}", f"-oHostKeyAlias=rdpeer-{ssh.network.peer}"]
    done = subprocess.run(
        [installed("ssh"), "-F", ssh.config, *options, ssh.login, "cat"],
        input="hello\n" * 100_000,
        capture_output=True,
        text=True,
        env=ssh.network.near.environ | {"RDPEER_PASSWORD": "Lab-pass-1"},
        timeout=50,
        check=True,
    )
    assert done.stdout == "hello\n" * 100_000
    assert "not encrypted" in done.stderr
    desktop.end()


def test_the_exit_status_of_the_remote_command(configured: Ssh) -> None:
    for status in (0, 1, 42):
        configured("ssh", "-F", configured.config, configured.login, f"exit {status}", code=status)


def test_a_host_key_that_is_another(configured: Ssh) -> None:
    known = configured.network.near.folder / "known_hosts"
    other = (configured.network.near.folder / "../other").resolve()
    configured("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other)
    known.write_text(f"rdpeer-{configured.network.peer} {Path(f'{other}.pub').read_text()}")
    configured("ssh", "-F", configured.config, configured.login, "true", code=255)


def test_a_peer_that_is_unknown(ssh: Ssh) -> None:
    done = ssh.network.near.shell(f"rdpeer ssh {ssh.user}@600000001 -F {ssh.config} true; echo $?")
    assert done.stdout == "255\n"
    assert done.stderr.startswith("rdpeer: error: ")


def test_much_in_both_directions(configured: Ssh) -> None:
    size = 8 << 20
    assert configured("ssh", "-F", configured.config, configured.login, "cat", stdin="x" * size) == "x" * size


def test_many_at_once_over_one_listener(configured: Ssh) -> None:
    script = "for n in 1 2 3 4 5; do ssh -F {} {} echo $n < /dev/null & done; wait"
    told = configured("sh", "-c", script.format(configured.config, configured.login))
    assert sorted(told.split()) == ["1", "2", "3", "4", "5"]


def test_an_interactive_shell(ssh: Ssh, terminal: Terminal) -> None:
    shell = terminal.run(
        ssh.network.near, "ssh", ssh.login, "-F", str(ssh.config), "-tt", "env -i PS1='ready> ' sh -i"
    )
    terminal.shows("ready> ")
    assert not terminal.echoes
    terminal.type("stty size; echo $((6 * 7)) is it\n")
    terminal.shows(r"\n42 is it\r\n")
    terminal.shows("ready> ")
    terminal.type("cat\n")
    terminal.type("typed\n")
    terminal.shows("typed\r\ntyped\r\n")
    terminal.type("\x03")
    terminal.shows("ready> ")
    terminal.type("exit 7\n")
    shell.end(code=7)
    assert terminal.echoes


def test_a_terminal_that_is_closed(configured: Ssh, terminal: Terminal) -> None:
    """ssh hangs up its proxy and does not wait for it; the listener goes on."""
    shell = terminal.run(
        configured.network.near,
        *("ssh", configured.login, "-F", str(configured.config), "-tt", "echo ready; cat"),
        stderr=PIPE,
    )
    terminal.shows("ready")
    terminal.hang_up()
    shell.process.wait()
    assert configured("ssh", "-F", configured.config, configured.login, "echo hello") == "hello\n"


def test_scp(configured: Ssh, tmp_path: Path) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    (tmp_path / "file").write_bytes(bytes(range(256)) * 5000)
    configured("scp", "-q", "-F", configured.config, tmp_path / "file", f"{configured.login}:{there}")
    configured("scp", "-q", "-F", configured.config, f"{configured.login}:{there}", back)
    assert back.read_bytes() == (tmp_path / "file").read_bytes()


def test_rsync(configured: Ssh, tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    (source / "folder").mkdir(parents=True)
    (source / "folder" / "file").write_bytes(bytes(range(256)) * 5000)
    (source / "link").symlink_to("folder/file")
    shell = f"ssh -F {configured.config}"
    for _ in range(2):
        configured("rsync", "-a", "-e", shell, f"{source}/", f"{configured.login}:{copy}/")
    assert (copy / "link").read_bytes() == (source / "folder" / "file").read_bytes()


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_shell_that_nobody_types_in(ssh: Ssh) -> None:
    """Longer than relays of RustDesk wait for a byte."""
    proxy = f"-oProxyCommand={ssh.proxy} --relay %h"
    options = ["-F", str(ssh.config), proxy, f"-oHostKeyAlias=rdpeer-{ssh.network.peer}"]
    command = shlex.join(["ssh", *options, ssh.login, "echo before; sleep 70; cat"])
    done = ssh.network.near.shell(f"echo after | {command}", timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "before\nafter\n", "")
