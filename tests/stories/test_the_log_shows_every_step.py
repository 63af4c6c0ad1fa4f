"""The log at DEBUG shows every step, and contains no prompt, path, API key, header or address."""

from __future__ import annotations

import logging

import pytest

from luma_async import LumaSession, MemoryJournal, PollPolicy, RetryPolicy, SubmitInDoubt
from luma_async.testing import FakeGateway, drop_after_reading, rate_limited, succeeds

KEY = "sk-canary-key-0123456789"
HEADER = "canary-header-0123456789"
PROMPT = "a canary that whistles"

pytestmark = pytest.mark.looptime


@pytest.fixture
async def debug_log(caplog):
    """The records of the package at DEBUG."""
    caplog.set_level(logging.DEBUG, logger="luma_async")
    return caplog


async def test_log_of_a_life_cycle(debug_log, tmp_path):
    """A purchase, a 429, a download and a doubt are logged step by step, and no canary is in any record."""
    async with (
        FakeGateway(api_key=KEY, script=succeeds(after=3)) as gateway,
        LumaSession(
            KEY,
            base_url=gateway.base_url,
            journal=MemoryJournal(),
            poll=PollPolicy.fixed(1),
            retry=RetryPolicy(first_delay=0.1),
            headers={"X-Relay": HEADER},
        ) as luma,
    ):
        gateway.inject(rate_limited(), on="submit")
        handle = await luma.submit(PROMPT, key="cat")
        await handle.download(tmp_path / "canary-whistles.mp4")
        async for _ in luma.batch([PROMPT], name="b"):
            pass
        gateway.inject(drop_after_reading(), on="submit")
        with pytest.raises(SubmitInDoubt):
            await luma.submit(PROMPT, key="doubt")
    records = [record for record in debug_log.records if record.name == "luma_async"]
    steps = [record.action for record in records if record.key == "cat"]
    assert steps[:5] == ["claim", "send", "answer", "verdict", "note"]
    of_generation = {record.action for record in records if record.generation_id == handle.id}
    assert of_generation >= {"verdict", "submitted", "polled", "changed", "finished", "note"}
    assert of_generation >= {"download_started", "downloaded"}
    assert [record.action for record in records if record.key == "doubt"][:3] == ["claim", "send", "verdict"]
    assert {record.action for record in records} >= {"opened", "retried", "paused", "query", "batch_item", "closed"}
    texts = [text for record in records for text in (record.getMessage(), repr(vars(record)))]
    for canary in (KEY, HEADER, "canary", "whistles", "http:", "?"):
        assert [text for text in texts if canary in text.replace(__file__, "")] == []
