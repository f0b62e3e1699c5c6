"""What a server does before it serves: its keys, the peers of hbbs, the files that it may open."""

from __future__ import annotations

import dataclasses
import logging

from rdpeer.errors import UsageError
from rdpeer.net.ports import allow_descriptors
from rdpeer.server import hbbs
from rdpeer.server.database import Database
from rdpeer.server.keypair import PUBLIC_FILE, load_or_create
from rdpeer.server.keys import Keys, NamedKeys
from rdpeer.server.limits import Limits
from rdpeer.server.options import ServerOptions

log = logging.getLogger(__name__)

_OWN_DESCRIPTORS = 64
_DESCRIPTORS, _CONNECTIONS = 17, 4
"""So many are needed for so many connections of each service: a rendezvous client's socket, a leg's and its
pipe for each, and one of those that have not said yet by HTTP which they want (``Limits.undecided``)."""

_FEWEST = 16
_FEW = 1000
"""A system that has files for fewer connections than this was not meant to run a server."""


def load_keys(options: ServerOptions) -> Keys | NamedKeys:
    """The public ones alone for a relay that was told which to demand: it needs no secret.

    UsageError where they cannot be read, or are not the one that was named.
    """
    demanded = options.demanded_keys
    if demanded and not options.is_rendezvous:
        return NamedKeys(demanded)
    keys = load_or_create(options.data_dir)
    if demanded not in ((), (keys.public,)):
        raise UsageError(
            f"the key that was named is not that of {options.data_dir / PUBLIC_FILE}",
            hint="what the server signs with has to be what peers know: leave --key out",
        )
    return keys


def import_peers(options: ServerOptions, database: Database) -> int | None:
    """Takes over the peers of hbbs, at the first start in its folder; how many, or None.

    UsageError where its database cannot be read.
    """
    if database.has_imported(hbbs.FILE_NAME):
        return None
    found = hbbs.read_peers(options.data_dir)
    if found is None:
        return None
    for line in found.left_out:
        log.warning("%s: left out %s", hbbs.FILE_NAME, line)
    return database.import_peers(hbbs.FILE_NAME, found.peers)


def affordable(limits: Limits) -> Limits:
    """As many connections as there may be open files. UsageError where that is next to none.

    Nobody counts on all that the limits have unless told, so only few of them, or fewer than the operator
    asked for, are worth a warning.
    """
    wanted = limits.connections
    descriptors = allow_descriptors(-(-wanted * _DESCRIPTORS // _CONNECTIONS) + _OWN_DESCRIPTORS)
    connections = min(wanted, (descriptors - _OWN_DESCRIPTORS) * _CONNECTIONS // _DESCRIPTORS)
    if connections < min(wanted, _FEWEST):
        needed = f"{_OWN_DESCRIPTORS}, and {_DESCRIPTORS} for each {_CONNECTIONS} connections"
        raise UsageError(
            f"{descriptors} open files are too few for a server",
            hint=f"raise the limit (ulimit -n, LimitNOFILE): {needed}",
        )
    if connections < wanted and (connections < _FEW or wanted != Limits().connections):
        log.warning("%d open files: %d connections of each service, not %d", descriptors, connections, wanted)
    return dataclasses.replace(limits, connections=connections)
