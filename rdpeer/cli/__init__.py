"""The command line: thin; the only place that prints and knows exit codes.

``main`` is the program. What it imports, every ``--help`` and every TAB pays for:
click and nothing heavy. A command's module imports what it works with inside its
function; tests hold that.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Runs the command line in ``sys.argv`` and ends the process with its exit code."""
    _open_standard_streams()
    try:
        from rdpeer.cli.root import run

        code = run(sys.argv[1:])
    except KeyboardInterrupt:  # while modules are loaded, or a second one while the first is told
        code = 130
    sys.exit(code)


def _open_standard_streams() -> None:
    """Puts /dev/null where descriptor 0, 1 or 2 is closed, before anything else is opened.

    The next file or socket would get that number, and be read, or written to, as ours.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", encoding="utf-8"))
