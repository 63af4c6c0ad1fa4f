"""Tools over a session with a journal file and a budget."""

from __future__ import annotations

import pytest

from luma_async import Budget, PollPolicy, SqliteJournal
from luma_async.contrib.tools import LumaTools
from luma_async.testing import succeeds


@pytest.fixture
def gateway_options():
    return {"script": succeeds(after=0.2)}


@pytest.fixture
async def journal(tmp_path):
    journal = SqliteJournal(tmp_path / "jobs.db")
    yield journal
    await journal.aclose()


@pytest.fixture
def session_options():
    return {"budget": Budget(purchases=5, per="day"), "poll": PollPolicy.fixed(0.05)}


@pytest.fixture
def folder(tmp_path):
    """The only folder to which the tools may write."""
    return tmp_path / "clips"


@pytest.fixture
async def tools(luma, folder):
    return LumaTools(luma, folder)
