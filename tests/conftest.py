"""What every test gets: no leaked tasks, no unclosed sessions, and mocks that work with today's aiohttp."""

from __future__ import annotations

import asyncio

import pytest

pytest_plugins = ["luma_async.testing.fixtures", "mocked_http"]


@pytest.fixture(autouse=True)
async def _no_leaked_tasks(request):
    """Fail a test that leaves an asyncio task behind."""
    yield
    current = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() if task is not current and not task.done()]
    assert not left, f"tasks left running: {left}"
