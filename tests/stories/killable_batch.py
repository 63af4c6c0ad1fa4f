"""A program that buys a batch and is killed on the way: run by the story of it in a process of its own."""

from __future__ import annotations

import asyncio
import json

from luma_async import LumaSession, PollPolicy, SubmitInDoubt


def buy(api_key, base_url, journal, count, report):
    """Buy so many prompts, and write the sums of their outcomes down at the end."""
    sums = asyncio.run(_buy(api_key, base_url, journal, count))
    report.write_text(json.dumps(sums))


async def _buy(api_key, base_url, journal, count):
    sums = {"done": 0, "failed": 0, "in_doubt": 0}
    async with LumaSession(api_key, base_url=base_url, journal=journal, poll=PollPolicy.fixed(0.1)) as luma:
        prompts = (f"prompt {number}" for number in range(count))
        async for outcome in luma.batch(prompts, name="run", max_in_flight=8):
            doubtful = isinstance(outcome.error, SubmitInDoubt)
            sums["in_doubt" if doubtful else "failed" if outcome.error else "done"] += 1
    return sums
