"""What ``rdpeer ssh`` and ``rdpeer ssh-config`` tell OpenSSH.

``ssh`` is given a ProxyCommand that names the ID itself: what it would fill in
for ``%h`` is lowercased, and a number becomes a dotted quad. The host key is
looked up and kept under a name of its own, ``rdpeer-ID``, so host key checks
stay on and do not depend on how the ID was typed.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rdpeer.errors import UsageError

if TYPE_CHECKING:
    from rdpeer.cli.common import Invocation
    from rdpeer.values import PeerAddress


def options(
    invocation: Invocation, address: PeerAddress, typed: str, *, stock: bool = False
) -> dict[str, str]:
    """The options for ssh, by name. UsageError for an ID that cannot stand in ssh's configuration.

    ``stock``: to the ssh server of a stock desktop, which has to be told where that is.
    """
    # ssh gives the line to the user's shell; quotes and backslashes mean different things to
    # different shells and to ssh's own parser, so what would need them is refused.
    if any(character in typed for character in "'\\\"\n"):
        raise UsageError(f"an ID with quotes or backslashes cannot be used with ssh: {typed!r}")
    flags, target = (["--stock"], ["localhost:22"]) if stock else ([], [])
    words = [*_program(), *_common(invocation), "connect", *flags, "--", typed, *target]
    command = " ".join(shlex.quote(word) for word in words)
    return {
        "ProxyCommand": command.replace("%", "%%"),
        "HostKeyAlias": f"rdpeer-{address.peer}".replace("%", "%%"),
    }


def _program() -> list[str]:
    """How this program was started, in a way that works from everywhere."""
    started = Path(sys.argv[0])
    if started.name == "__main__.py":
        return [sys.executable, "-m", "rdpeer"]
    return [str(started.absolute())]


def _common(invocation: Invocation) -> list[str]:
    """The common options that were given; what the environment says reaches ``connect`` by itself.

    UsageError for a proxy with a password, which would stand in ssh's configuration and be seen by all.
    """
    from rdpeer.settings import check

    if proxy := invocation.flags.get("proxy"):
        check("proxy", proxy)
    flags = [word for name, text in invocation.flags.items() for word in (f"--{name}", text)]
    return flags + ["-v"] * invocation.verbosity + ["--trace"] * invocation.trace
