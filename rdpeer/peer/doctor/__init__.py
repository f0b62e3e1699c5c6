"""Everything that can be wrong between this machine and its peers, one check after the other.

A check is a function that takes the patient and returns its findings. It may
need what an earlier one has found out; where that failed, the earlier one has
said so, and this one says nothing. A new check is a function and a line in CHECKS.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack

from rdpeer.errors import RdpeerError
from rdpeer.peer.doctor.findings import Finding, Level, fail
from rdpeer.peer.doctor.machine import check_clock, check_secret_store, check_settings
from rdpeer.peer.doctor.membership import check_clone, check_key, check_registration, check_stock
from rdpeer.peer.doctor.network import check_dns, check_nat, check_ports, check_relay
from rdpeer.peer.doctor.patient import Patient, Undiagnosed
from rdpeer.settings import Settings
from rdpeer.store.home import Profile

__all__ = ["Finding", "Level", "examine"]

CHECKS: tuple[tuple[str, Callable[[Patient], Awaitable[list[Finding]]]], ...] = (
    ("settings", check_settings),
    ("secret store", check_secret_store),
    ("clock", check_clock),
    ("dns", check_dns),
    ("ports", check_ports),
    ("nat", check_nat),
    ("key", check_key),
    ("registration", check_registration),
    ("relay", check_relay),
    ("server", check_stock),
    ("identity", check_clone),
)
"""In this order; the name is for what fails as a whole."""


async def examine(
    profile: Profile, load: Callable[[], Settings], *, quick: bool
) -> AsyncGenerator[Finding, None]:
    """Each finding as it comes. ``load`` reads the settings; ``quick`` leaves out what takes a while."""
    async with AsyncExitStack() as until_end:
        patient = Patient(profile, load, quick, until_end)
        for name, check in CHECKS:
            try:
                findings = await check(patient)
            except Undiagnosed:
                continue
            except RdpeerError as error:
                findings = [fail(name, error)]
            for finding in findings:
                yield finding
