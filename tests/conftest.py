"""What every test shares: coroutine tests without a plugin, and no task left behind."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Generator
from typing import Any

import pytest

from rdpeer.net.prompt import loop_factory

pytest_plugins = ["program", "network", "internet"]

# Nothing is skipped by this: without stock's servers these are no tests.
collect_ignore = [] if "RDPEER_STOCK" in os.environ else ["integration/test_stock_servers.py"]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs ``async def`` tests in a loop of their own; a task still pending at the end fails the test."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    make_loop = loop_factory() if pyfuncitem.get_closest_marker("prompt_loop") else None
    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(_checked(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})))
    return True


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Where every tool is installed (``.ci/run``), a skipped test silently proves nothing: it fails."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("RDPEER_NO_SKIP"):
        report.outcome, report.longrepr = "failed", f"skipped where nothing may be: {report.longreprtext}"
    return report


async def _checked(test: Any) -> None:
    await test
    leaked = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    assert not leaked, f"left running: {leaked}"
