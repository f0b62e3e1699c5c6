"""README's quick start, typed as it stands there: only ports, link, ID and code are this run's own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import DEVNULL, Popen
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from program import Rdpeer

README = (Path(__file__).parents[2] / "README.md").read_text()
QUICK_START = README.partition("## Quick start\n")[2].partition("\n## ")[0]
TRACED = README.partition("## Watching it\n")[2].partition("```console\n")[2].partition("```")[0]
LINK = "rdpeer://vps.example?key=KEY"
PEER = "612345678"


@pytest.fixture
def machine(tmp_path: Path, rdpeer: Rdpeer) -> Iterator[Callable[[str], Rdpeer]]:
    """Makes machines: each has a home of its own."""
    machines: list[Rdpeer] = []

    def make(name: str) -> Rdpeer:
        folder = tmp_path / name
        folder.mkdir()
        machines.append(type(rdpeer)(folder))
        return machines[-1]

    yield make
    for made in machines:
        made.end()


def test_quick_start(machine: Callable[[str], Rdpeer]) -> None:
    serve, import_, id_, listen, connect = re.findall(r"^\$ (.*)$", QUICK_START, re.MULTILINE)
    vps, home, away = machine("vps"), machine("home"), machine("away")

    server = vps.start(*_words(serve), "--port", "0", "--bind", "127.0.0.1")
    pasted = _said(server, import_.replace(LINK, "(rdpeer://.*)"))
    for peer in (home, away):
        peer(*_words(pasted[0]))
    peer_id = home(*_words(id_)).strip()
    listener = home.start(*_words(listen), stdin=DEVNULL)
    code = _said(listener, "code: ([0-9A-Z]{4}-[0-9A-Z]{4})")[1]
    invitation = _said(listener, f"rdpeer connect '{peer_id}@.*' --peer-key SHA256:.*")[0]
    assert invitation.startswith(f"rdpeer connect '{pasted[1].replace('rdpeer://', f'{peer_id}@')}'")
    done = away.shell(f"export RDPEER_CODE={code}; {connect.replace(PEER, peer_id)}")

    assert done.returncode == 0, done.stderr
    assert listener.communicate(timeout=50)[0] == "hello\n"
    assert listener.returncode == 0


def _words(line: str) -> list[str]:
    program, *words = shlex.split(line)
    assert program == "rdpeer"
    return words


def _said(process: Popen[str], pattern: str) -> re.Match[str]:
    """The next line of its stderr that is all of this pattern."""
    assert process.stderr
    for line in process.stderr:
        if found := re.fullmatch(pattern, line.rstrip("\n")):
            return found
    raise AssertionError(f"it never said {pattern}")


def test_traced_connection(machine: Callable[[str], Rdpeer]) -> None:
    """Each line that is shown comes, in that order: direction, carrier, name, and the fields named."""
    command, *shown = TRACED.splitlines()
    vps, home, away = machine("vps"), machine("home"), machine("away")
    server = vps.start("server", "--port", "0", "--bind", "127.0.0.1")
    link = _said(server, "rdpeer config import '(rdpeer://.*)'")[1]
    for peer in (home, away):
        peer("config", "import", link)
    peer_id = home("id").strip()
    listener = home.start("listen", "--open", stdin=DEVNULL)
    _said(listener, f"rdpeer connect '{peer_id}@.*")
    done = away.shell(command.removeprefix("$ ").replace(PEER, peer_id))

    assert done.returncode == 0, done.stderr
    traced = iter(done.stderr.splitlines())
    for line in shown:
        pattern, fields = _traced_pattern(line)
        assert any(
            re.fullmatch(pattern, said) and all(f" {f}=" in said for f in fields) for said in traced
        ), f"{line!r} is not in {done.stderr}"
    assert listener.communicate(timeout=50)[0] == "hello\n"


def _traced_pattern(line: str) -> tuple[str, list[str]]:
    found = re.fullmatch(r"rdpeer: trace: \S+ (->|<-) (\w+) \S+, \d+ bytes: ((?:sealed )?\w+)(.*)", line)
    assert found, line
    direction, carrier, name, fields = found.groups()
    pattern = rf"rdpeer: trace: [\d:.]+ {direction} {carrier} \S+, \d+ bytes: {name}\b.*"
    return pattern, re.findall(r" (\w+)=", fields)
