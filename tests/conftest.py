"""What every test gets: no leaked tasks, no unclosed sessions, and mocks that work with today's aiohttp."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import tempfile

import pytest
from hypothesis import HealthCheck, settings

from luma_async import LumaSession, MemoryJournal

# Examples are slow while other tests run on the same cores, so there is no deadline.
settings.register_profile("steady", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("steady"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "steady")

# Tests do not read the user's settings of the command line, and do not write the user's journal.
os.environ["XDG_CONFIG_HOME"] = "/nowhere"
_state = tempfile.TemporaryDirectory(prefix="luma-async-state-")
os.environ["XDG_STATE_HOME"] = _state.name

# looptime asks every test for its loop. Without this, asyncio would create a loop that is never closed.
asyncio.set_event_loop(None)

# A shell may start background jobs with SIGINT ignored, and child processes inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["luma_async.testing.fixtures", "mocked_http", "postgres_server"]


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
def session_options():
    """The settings of `open_session`; a test file may replace them."""
    return {}


@pytest.fixture
def open_session(gateway, journal, session_options):
    """A function that makes sessions at the fake gateway, over `journal`."""

    def build(**settings):
        defaults = {"base_url": gateway.base_url, "journal": journal, **session_options}
        return LumaSession(gateway.api_key, **{**defaults, **settings})

    return build


@pytest.fixture
async def luma(open_session):
    """An open session at the fake gateway, over `journal`."""
    async with open_session() as session:
        yield session


@pytest.fixture
def unmeasured_env():
    """An environment without coverage measurement, which would import modules."""
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


@pytest.fixture
async def _no_leaked_tasks(request):
    """Fail a test that leaves an asyncio task behind."""
    yield
    current = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() if task is not current and not task.done()]
    assert not left, f"tasks left running: {left}"
