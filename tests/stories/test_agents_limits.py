"""A batch on the Agents API goes as fast as its limits allow, and does not run into them."""

from __future__ import annotations

import asyncio

import pytest

from luma_async import Agents, LumaSession
from luma_async.testing import FakeGateway, succeeds

COUNT, PER_MINUTE, PLACES = 60, 30, 10


def best_s(job_s):
    """Return the least time that the limits allow, if answers took no time and each end were known at once.

    A generation starts as soon as the tenth before it has ended, and the thirtieth before it is a minute old. All take
    equally long, so no other order is faster.
    """
    starts_s = []
    for number in range(COUNT):
        ended_s = starts_s[number - PLACES] + job_s if number >= PLACES else 0.0
        minute_s = starts_s[number - PER_MINUTE] + 60 if number >= PER_MINUTE else 0.0
        starts_s.append(max(ended_s, minute_s))
    return starts_s[-1] + job_s


def test_best_time():
    """Short jobs wait for the second minute; long ones are six rounds of ten."""
    assert {job_s: best_s(job_s) for job_s in (5, 10, 20, 60)} == {5: 75, 10: 90, 20: 120, 60: 360}


@pytest.mark.looptime
@pytest.mark.parametrize("job_s", [5, 10, 20, 60])
async def test_batch_within_limits(journal, job_s):
    """Sixty prompts with 30 submits a minute and 10 unfinished meet no 429, and lose at most 5 % of the best time."""
    statuses = []
    async with FakeGateway(
        script=succeeds(after=job_s),
        on_request=lambda seen, status, _: statuses.append(status) if seen.kind == "submit" else None,
    ) as gateway:
        settings = {"base_url": gateway.base_url, "dialect": Agents(), "journal": journal}
        async with LumaSession(gateway.api_key, **settings) as luma:
            began_s = asyncio.get_running_loop().time()
            await luma.batch([f"cat {number}" for number in range(COUNT)], name="cats").results()
            took_s = asyncio.get_running_loop().time() - began_s
    assert statuses == [201] * COUNT
    assert took_s <= 1.05 * best_s(job_s)
