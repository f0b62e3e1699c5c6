"""The examples in deploy/ call commands that there are, and the unit is one for systemd."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from rdpeer.cli.root import cli

DEPLOY = Path(__file__).parents[2] / "deploy"


def _commands() -> list[tuple[str, list[str]]]:
    """Each command line in the examples, without its ``rdpeer``."""
    unit = (DEPLOY / "rdpeer-server.service").read_text()
    docker = (DEPLOY / "Dockerfile").read_text()
    compose = (DEPLOY / "compose.yaml").read_text()
    found = [shlex.split(line)[1:] for line in re.findall(r"^Exec(?:Start|Reload)=(.*)$", unit, re.MULTILINE)]
    found += [json.loads(line)[1:] for line in re.findall(r'CMD (\["rdpeer".*\])$', docker, re.MULTILINE)]
    found += [json.loads(line) for line in re.findall(r"^CMD (\[.*\])$", docker, re.MULTILINE)]
    found += [line.split(", ") for line in re.findall(r"command: \[(.*)\]", compose)]
    for text in (unit, docker, (DEPLOY / "nginx.conf").read_text()):
        found += [
            shlex.split(line)
            for line in re.findall(r"^#     .*\brdpeer (server(?: [\w./-]+)*)", text, re.MULTILINE)
        ]
    return [(shlex.join(words), words) for words in found]


@pytest.mark.parametrize(("line", "words"), _commands())
def test_what_is_run_can_be_run(line: str, words: list[str]) -> None:
    command: click.Command = cli
    while isinstance(command, click.Group) and words:
        context = command.make_context("rdpeer", words, resilient_parsing=True)
        rest = [*context._protected_args, *context.args]
        if not rest:
            return
        _, found, words = command.resolve_command(context, rest)
        assert found is not None
        command = found
    command.make_context("rdpeer", words)


def test_there_are_such_lines() -> None:
    assert len(_commands()) >= 9


def test_the_unit_can_be_loaded(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze") or pytest.skip("systemd is not installed")
    unit = tmp_path / "rdpeer-server.service"
    text = (DEPLOY / unit.name).read_text()
    unit.write_text(text.replace("/usr/local/bin/rdpeer", "/bin/true"))
    done = subprocess.run([analyze, "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert (done.stderr, done.returncode) == ("", 0)
