"""A batch on the Agents API goes as fast as its limits allow, and does not run into them."""

from __future__ import annotations

import asyncio

import pytest

from luma_async import Agents, LumaSession, PollPolicy
from luma_async.testing import FakeGateway, succeeds


@pytest.mark.looptime
@pytest.mark.parametrize("seconds", [4, 30])
async def test_batch_within_limits(journal, seconds):
    """Sixty prompts with 30 submits a minute and 10 unfinished meet no 429 and lose less than 5 % of the time."""
    statuses = []
    async with FakeGateway(
        script=succeeds(after=seconds),
        on_request=lambda seen, status, _: statuses.append(status) if seen.kind == "submit" else None,
    ) as gateway:
        settings = {"dialect": Agents(), "journal": journal, "poll": PollPolicy.fixed(1)}
        async with LumaSession(gateway.api_key, base_url=gateway.base_url, **settings) as luma:
            begun = asyncio.get_running_loop().time()
            await luma.batch([f"cat {number}" for number in range(60)], name="cats").results()
            took = asyncio.get_running_loop().time() - begun
    assert statuses == [201] * 60
    # Either six rounds of ten, or the second thirty after a minute, in three rounds.
    best = max(6 * seconds, 60 + 3 * seconds)
    assert took < 1.05 * best
