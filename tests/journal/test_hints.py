"""What a session has learned starts the next one, and nothing else depends on it."""

from __future__ import annotations

import asyncio
import math
import sqlite3
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import Limits, LumaSession, MemoryJournal, PollPolicy, RixAPI, SqliteJournal
from luma_async._batch.window import WINDOW_HINT
from luma_async._journal.hints import WRITE_INTERVAL_S, HintStore, parse_hint
from luma_async._poll.durations import DurationModel
from luma_async.testing import FakeGateway, succeeds

pytestmark = pytest.mark.looptime

RENDER_S = 60.0


class CountingJournal(MemoryJournal):
    """A journal in memory that counts how often hints are written."""

    written = 0

    async def keep_hints(self, service, texts):
        """Count."""
        self.written += 1
        await super().keep_hints(service, texts)


class BrokenJournal(MemoryJournal):
    """A journal whose hints cannot be used."""

    async def hints(self, service):
        """Fail."""
        raise OSError(service)

    async def keep_hints(self, service, texts):
        """Fail."""
        raise OSError(service, texts)


async def lateness(journal, gateway, *, jobs=12):
    """Return the mean lateness and the requests per generation of a session that buys one after another."""
    late, counted = [], sum(gateway.counts.values())
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, journal=journal) as luma:
        for number in range(jobs):
            began = asyncio.get_running_loop().time()
            await luma.run(f"cat {number}")
            late.append(asyncio.get_running_loop().time() - began - RENDER_S)
    return mean(late), (sum(gateway.counts.values()) - counted) / jobs


async def test_second_session_knows_durations():
    """Sessions over a journal that knows the duration poll less, and know of an end earlier."""
    journal = MemoryJournal()
    async with FakeGateway(script=succeeds(RENDER_S)) as gateway:
        await lateness(journal, gateway, jobs=12)
        known = [await lateness(journal, gateway, jobs=1) for _ in range(20)]
        fresh = [await lateness(MemoryJournal(), gateway, jobs=1) for _ in range(20)]
    assert cost(known) < 0.7 * cost(fresh)


def cost(sessions):
    """Return the mean lateness times the mean number of requests: a schedule trades one for the other."""
    return mean(late for late, _ in sessions) * mean(requests for _, requests in sessions)


async def test_second_session_knows_window():
    """A batch of a second session starts with as many generations as the first session found that may run."""
    journal = MemoryJournal()
    async with FakeGateway(script=succeeds(RENDER_S)) as gateway:
        for expected in (4, 7):
            async with LumaSession(gateway.api_key, base_url=gateway.base_url, journal=journal) as luma:
                batch = luma.batch([f"cat {number}" for number in range(30)])
                taking = asyncio.ensure_future(batch.results())
                before = len(gateway.charges)
                await asyncio.sleep(5)
                assert len(gateway.charges) - before >= expected
                await taking


async def test_own_limit_is_no_hint():
    """A limit that the user set is not noted, and a hint does not replace it."""
    journal = MemoryJournal()
    async with FakeGateway(script=succeeds(5)) as gateway:
        options = {"base_url": gateway.base_url, "journal": journal, "limits": Limits(max_in_flight=2)}
        async with LumaSession(gateway.api_key, **options) as luma:
            await luma.batch(["a cat", "a dog", "a cow"]).results()
        service = f"{RixAPI().name} {gateway.base_url}"
        assert WINDOW_HINT not in await journal.hints(service)


async def test_hints_written_once_a_minute():
    """A session writes hints about once a minute and when it closes, however many generations end."""
    journal = CountingJournal()
    async with (
        FakeGateway(script=succeeds(5)) as gateway,
        LumaSession(gateway.api_key, base_url=gateway.base_url, journal=journal) as luma,
    ):
        began = asyncio.get_running_loop().time()
        for number in range(30):
            await luma.run(f"cat {number}")
        minutes = (asyncio.get_running_loop().time() - began) / WRITE_INTERVAL_S
        assert 1 <= journal.written <= minutes + 1


async def test_hints_written_at_close():
    """A session that is open for less than a minute writes what it learned when it closes."""
    journal = CountingJournal()
    async with FakeGateway(script=succeeds(5)) as gateway:
        await lateness(journal, gateway, jobs=1)
        assert journal.written == 1
        assert len(await journal.hints(f"{RixAPI().name} {gateway.base_url}")) == 1


async def test_session_with_broken_hints():
    """A session opens, waits and closes as usual if hints can be neither read nor written."""
    async with FakeGateway(script=succeeds(RENDER_S)) as gateway:
        assert await lateness(BrokenJournal(), gateway, jobs=2)


@pytest.mark.looptime(False)
async def test_hints_in_a_file(tmp_path):
    """Hints are kept in the journal's file, and the newest of a name counts."""
    path = tmp_path / "jobs.db"
    for size in (5.0, 9.0):
        journal = SqliteJournal(path)
        store = HintStore(journal, "service")
        assert WINDOW_HINT not in await store.read() or size == 9.0
        store.note(WINDOW_HINT, {"size": size})
        await store.aclose(10)
        await journal.aclose()
    journal = SqliteJournal(path)
    assert await HintStore(journal, "service").read() == {WINDOW_HINT: {"size": 9.0}}
    assert await HintStore(journal, "elsewhere").read() == {}
    await journal.aclose()


@pytest.mark.looptime(False)
async def test_damaged_hint_in_a_file(tmp_path, gateway):
    """A session ignores a hint that cannot be read."""
    path = tmp_path / "jobs.db"
    journal = SqliteJournal(path)
    await journal.keep_hints(f"{RixAPI().name} {gateway.base_url}", {WINDOW_HINT: '{"size": 1e400}'})
    await journal.aclose()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO hints (service, name, value) SELECT service, 'duration x', x'00ff' FROM hints")
    connection.close()
    gateway.scripts["a cat"] = succeeds(0.1)
    poll = PollPolicy.fixed(0.1)
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, journal=path, poll=poll) as luma:
        assert (await luma.run("a cat")).final


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "3", '{"size": "x"}', '{"size": NaN}', '{"size": 1e999}', b"{}", None]
)
def test_damaged_hint(text):
    """A damaged text is no hint."""
    assert parse_hint(text) is None


@given(st.dictionaries(st.sampled_from(["log_median", "spread", "early_weight", "other"]), st.floats(allow_nan=False)))
def test_model_of_any_hint(hint):
    """Whatever numbers a hint holds, it gives a usable model or none."""
    model = DurationModel.from_hint(hint)
    assert model is None or (0 < math.exp(model.log_median) < 1e6 and 0.05 < model.spread < 10)


def test_model_to_hint():
    """A model is restored from its hint."""
    model = DurationModel(log_median=3.0, spread=0.4, early_weight=0.1)
    assert DurationModel.from_hint(model.to_hint()) == model
