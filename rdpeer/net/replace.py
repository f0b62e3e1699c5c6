"""Becoming another program."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn


def replace(argv: Sequence[str]) -> NoReturn:
    """This process becomes ``argv``, whose first word is a path; descriptors 0 to 2 go with it.

    Windows cannot: there the program runs below us, and we end with its status.
    """
    if sys.platform == "win32":
        sys.exit(subprocess.run(argv).returncode)  # noqa: S603 - what the user asked to run
    os.execv(argv[0], list(argv))  # noqa: S606
