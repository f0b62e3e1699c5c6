"""``python tests/fuzz [--seconds N] [NAME...]``: feeds hostile bytes to all targets, or to these.

``python tests/fuzz NAME FILE`` feeds what was found once more: without atheris, in any environment, with the
exception as it comes. ``--list`` tells the names.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from targets import TARGETS

HERE = Path(__file__).parent
FOLDER = Path(".cache/fuzz")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tests/fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    names = options.names or list(TARGETS)
    if options.list:
        print("\n".join(TARGETS))
        return 0
    if len(names) == 2 and names[1] not in TARGETS:
        TARGETS[names[0]].feed(Path(names[1]).read_bytes())
        return 0
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    with ThreadPoolExecutor(os.cpu_count()) as processes:
        passed = list(processes.map(lambda name: _fuzz(name, options.seconds), names))
    return 0 if all(passed) else 1


def _fuzz(name: str, seconds: int) -> bool:
    """Runs one target's process; False where something was found."""
    folder = FOLDER / name
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, str(HERE / "fuzzer.py"), name, str(folder), str(seconds)]
    run = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    log = run.stdout.decode(errors="replace")
    (folder / "log").write_text(log)
    print(_summary(name, log) if run.returncode == 0 else _finding(name, folder, log), flush=True)
    return run.returncode == 0


def _summary(name: str, log: str) -> str:
    inputs, branches = (
        (re.findall(pattern, log) or ["?"])[-1] for pattern in (r"executed_units: *(\d+)", r"\bcov: (\d+)")
    )
    return f"{name:18} {inputs:>9} inputs {branches:>6} branches"


def _finding(name: str, folder: Path, log: str) -> str:
    """What was raised, where the input lies, and how to run it again."""
    raised = log.partition("Uncaught Python exception: ===")[2].partition("\n\n")[0]
    trace = "\n".join(f"  {line}" for line in raised.splitlines() or log.splitlines()[-20:])
    found = re.search(rf"{re.escape(str(folder))}/\S+-[0-9a-f]{{40}}", log)
    again = f"again: .venv/bin/python tests/fuzz {name} {found[0]}" if found else f"all of it: {folder}/log"
    return f"{name:18} FOUND\n{trace}\n  {again}"


if __name__ == "__main__":
    sys.exit(main())
