"""The generated code is what proto/ gives, and proto/README.md lists all of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, FileDescriptor

from rdpeer.wire import channel_pb2, rendezvous_pb2, session_pb2

ROOT = Path(__file__).parents[2]
SCHEMAS = [rendezvous_pb2.DESCRIPTOR, session_pb2.DESCRIPTOR, channel_pb2.DESCRIPTOR]
ROW = re.compile(r"^\| (\w+(?:\.\w+)?) \| (.*) \| ([0-9., ]+) \|$", re.MULTILINE)


def test_generated_code_is_current(tmp_path: Path) -> None:
    tools = Path(sys.executable).parent
    protoc = shutil.which("protoc", path=str(tools))
    if protoc is None:
        pytest.skip("no protoc 30.0 for this machine")
    sources = sorted((ROOT / "proto").rglob("*.proto"))
    subprocess.run(
        [protoc, "-I", ROOT / "proto", f"--python_out={tmp_path}", f"--mypy_out=quiet:{tmp_path}", *sources],
        env={"PATH": str(tools)},
        check=True,
    )
    written = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*_pb2.py*")}
    checked_in = {path.relative_to(ROOT): path.read_text() for path in ROOT.glob("rdpeer/wire/*_pb2.py*")}
    assert written == checked_in, "run `make proto`"


def test_readme_lists_every_number() -> None:
    listed = {name: numbers for name, numbers, _ in ROW.findall((ROOT / "proto/README.md").read_text())}
    assert listed == {name: numbers for schema in SCHEMAS for name, numbers in _described(schema)}


def test_readme_cites_sections_that_exist() -> None:
    _, rendezvous, session, channel = re.split(
        r"^## \w+\.proto$", (ROOT / "proto/README.md").read_text(), flags=re.MULTILINE
    )
    for table, document in ((rendezvous + session, "PROTOCOL.md"), (channel, "CHANNEL.md")):
        headings = re.findall(r"^#+ ([0-9.]+?)\.? ", (ROOT / "docs" / document).read_text(), re.MULTILINE)
        cited = {section for _, _, sections in ROW.findall(table) for section in sections.split(", ")}
        assert cited <= set(headings)


def _described(schema: FileDescriptor) -> Iterator[tuple[str, str]]:
    yield from _enums(schema.enum_types_by_name.values())
    for message in schema.message_types_by_name.values():
        yield message.name, ", ".join(_field(field) for field in message.fields) or "(none)"
        yield from ((f"{message.name}.{name}", numbers) for name, numbers in _enums(message.enum_types))


def _enums(enums: list[EnumDescriptor]) -> Iterator[tuple[str, str]]:
    for enum in enums:
        yield enum.name, ", ".join(f"{value.number} {value.name}" for value in enum.values)


def _field(field: FieldDescriptor) -> str:
    named: Descriptor | EnumDescriptor | None = field.message_type or field.enum_type
    scalar = {number: name for name, number in vars(FieldDescriptor).items() if name.startswith("TYPE_")}
    kind = named.name if named else scalar[field.type].removeprefix("TYPE_").lower()
    return f"{field.number} {field.name} {'repeated ' if field.is_repeated else ''}{kind}"
