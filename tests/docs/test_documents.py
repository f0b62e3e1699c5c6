"""What the documents show can be typed, and what they point to is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from rdpeer.cli.root import cli

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/PATHS.md",
    "docs/MESSAGES.md",
    "proto/README.md",
]
MAN = sorted((ROOT / "man").glob("*.1"))
FOLDERS = {".ci", "benchmarks", "completions", "deploy", "docs", "man", "proto", "rdpeer", "tests"}


def _shown_in_readme() -> Iterator[str]:
    for block in re.findall(
        r"^```console\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    ):
        yield from re.findall(r"^\$ (.*)$", block, re.MULTILINE)


def _shown_in_man() -> Iterator[str]:
    for page in MAN:
        for block in re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed", page.read_text(), re.MULTILINE | re.DOTALL):
            yield from re.findall(r"^(?:\$ )?(.*\brdpeer .*)$", block, re.MULTILINE)


def _rdpeer_commands(line: str) -> Iterator[list[str]]:
    """The arguments of each ``rdpeer`` in a shell line, those inside a ProxyCommand too."""
    words = shlex.split(line, comments=True)
    for word in words:
        if word.startswith("ProxyCommand="):
            yield from _rdpeer_commands(word.removeprefix("ProxyCommand="))
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.wordchars += "@%:,"
    command: list[str] | None = None
    for word in [*lexer, ";"]:
        if command is None and word == "rdpeer":
            command = []
        elif command is not None and set(word) <= set("|&;<>"):
            yield command
            command = None
        elif command is not None:
            command.append(word)


SHOWN = sorted(
    {
        shlex.join(words)
        for line in (*_shown_in_readme(), *_shown_in_man())
        for words in _rdpeer_commands(line)
    }
)


@pytest.mark.parametrize("line", SHOWN)
def test_shown_command_can_be_typed(line: str) -> None:
    command: click.Command = cli
    words = shlex.split(line)
    while isinstance(command, click.Group):
        context = command.make_context("rdpeer", words, resilient_parsing=True)
        if command.invoke_without_command and not _rest(context):
            break
        words = words[len(words) - len(_rest(context)) :]
        _, found, words = command.resolve_command(context, words)
        assert found is not None, f"no such command: {line}"
        command = found
    command.make_context("rdpeer", words)


def _rest(context: click.Context) -> list[str]:
    """What a group left for its subcommand."""
    return [*context._protected_args, *context.args]


def test_commands_are_shown() -> None:
    assert len(SHOWN) > 20


@pytest.mark.parametrize("name", DOCUMENTS)
def test_links_lead_somewhere(name: str) -> None:
    document = ROOT / name
    for link in re.findall(r"\]\(([^)]+)\)", document.read_text()):
        target, _, anchor = link.partition("#")
        if "://" in target:
            continue
        path = document.parent / target if target else document
        assert path.exists(), link
        assert not anchor or anchor in _anchors(path.read_text()), link


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_named_are_there(name: str) -> None:
    words = re.findall(r"`([^`\s]+)`", (ROOT / name).read_text())
    paths = [word for word in words if word.split("/")[0] in FOLDERS and "/" in word and "NAME" not in word]
    assert [path for path in paths if not list(ROOT.glob(path.rstrip("/")))] == []


def test_targets_named_are_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for name in DOCUMENTS:
        text = (ROOT / name).read_text()
        named = re.findall(r"`make ([a-z-]+)", text) + re.findall(
            r"^(?:    |\$ )make ([a-z-]+)", text, re.MULTILINE
        )
        assert set(named) <= targets


def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
