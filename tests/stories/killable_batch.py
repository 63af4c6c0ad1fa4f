"""A program that runs a batch and is killed while it runs."""

from __future__ import annotations

import asyncio
import json

from luma_async import LumaSession, PollPolicy, SubmitInDoubt


def submit_all(api_key, base_url, journal, count, report):
    """Submit so many prompts, and write the counts of their outcomes to a file."""
    sums = asyncio.run(_submit_all(api_key, base_url, journal, count))
    report.write_text(json.dumps(sums))


async def _submit_all(api_key, base_url, journal, count):
    sums = {"done": 0, "failed": 0, "in_doubt": 0}
    async with LumaSession(api_key, base_url=base_url, journal=journal, poll=PollPolicy.fixed(0.1)) as luma:
        prompts = (f"prompt {number}" for number in range(count))
        async for outcome in luma.batch(prompts, name="run", max_in_flight=8):
            doubtful = isinstance(outcome.error, SubmitInDoubt)
            sums["in_doubt" if doubtful else "failed" if outcome.error else "done"] += 1
    return sums
