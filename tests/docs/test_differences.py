"""The documented differences are cases that there are."""

from __future__ import annotations

import re
from pathlib import Path

from rdpeer.server.compare import name_of
from rdpeer.server.compare_cases import CASES, SLOW_CASES

TEXT = (Path(__file__).parents[2] / "docs/DIFFERENCES.md").read_text()


def test_each_documented_case_is_one() -> None:
    documented = re.findall(r"^\| ([a-z-]+) \|", TEXT.partition("What such a run")[0], re.MULTILINE)[1:]
    names = [name_of(case) for case in CASES + SLOW_CASES]
    assert len(documented) > 10
    assert [name for name in names if name in documented] == documented
    assert len(set(names)) == len(names)
