"""What every test gets: no leaked tasks, no unclosed sessions, and mocks that work with today's aiohttp."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal

import pytest
from hypothesis import HealthCheck, settings

from luma_async import LumaSession, MemoryJournal

# Two busy cores make any example slow: how long one takes says nothing about the code.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("steady"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "steady")

# Nobody's own settings of the command line count in a test.
os.environ["XDG_CONFIG_HOME"] = "/nowhere"

# Asked for the loop of a test that has none, asyncio would make one that nobody closes; looptime asks every test.
asyncio.set_event_loop(None)

# Whoever runs this in the background may have it ignore Ctrl-C, and every program that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["luma_async.testing.fixtures", "mocked_http"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers():
    """Run four at a time even on two cores: many tests wait for a process that they started."""
    return max(4, os.cpu_count() or 1)


def pytest_collection_modifyitems(items):
    """Watch the tasks of tests that have a loop; the others need none."""
    for item in items:
        if inspect.iscoroutinefunction(getattr(item, "obj", None)):
            item.fixturenames.insert(0, "_no_leaked_tasks")


@pytest.fixture
def journal():
    """A journal in memory."""
    return MemoryJournal()


@pytest.fixture
async def luma(gateway, journal):
    """An open session at the fake gateway, over `journal`."""
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, journal=journal) as session:
        yield session


@pytest.fixture
def unmeasured_env():
    """The environment of a program in which no coverage is measured, for that loads modules of its own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


@pytest.fixture
async def _no_leaked_tasks(request):
    """Fail a test that leaves an asyncio task behind."""
    yield
    current = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() if task is not current and not task.done()]
    assert not left, f"tasks left running: {left}"
