"""Waiting in Luma's own format: the account's list shows many at once, where asking one by one would cost more."""

from __future__ import annotations

import asyncio

import pytest

from luma_async import DreamMachine, LumaSession, PollPolicy, State
from luma_async.testing import ALWAYS, answer, server_error, succeeds

pytestmark = pytest.mark.looptime


async def all_completed(gateway, count, **settings):
    """Submit so many at once, and wait for all."""
    settings = {"poll": PollPolicy.adaptive()} | settings
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, dialect=DreamMachine(), **settings) as luma:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(luma.submit(f"prompt {number}")) for number in range(count)]
        handles = [call.result() for call in calls]
        ended = [outcome async for outcome in luma.as_completed(handles)]
    assert {outcome.generation.id for outcome in ended} == {handle.id for handle in handles}
    assert all(outcome.generation.state is State.COMPLETED for outcome in ended)


async def test_a_thousand_cost_hardly_more_than_their_submits(gateway):
    """1,000 that take five seconds, with a look a second: at most 1.5 requests for each, the submit among them."""
    gateway.scripts.update({f"prompt {number}": succeeds(after=5 + number / 1000) for number in range(1000)})
    await all_completed(gateway, 1000, poll=PollPolicy.fixed(1))
    asked = gateway.counts["submit"] + gateway.counts["query"] + gateway.counts["list"]
    assert gateway.counts["list"] > 0
    assert asked / 1000 <= 1.5


async def test_a_thousand_that_take_a_minute_share_their_looks(gateway):
    """With the adaptive schedule half a request for each, besides its submit, is more than enough."""
    gateway.scripts.update({f"prompt {number}": succeeds(after=40 + number / 25) for number in range(1000)})
    await all_completed(gateway, 1000)
    assert (gateway.counts["query"] + gateway.counts["list"]) / 1000 <= 0.5


async def test_a_lone_one_is_asked_for_by_itself(gateway):
    """The list is for many."""
    await all_completed(gateway, 1)
    assert gateway.counts["list"] == 0


@pytest.mark.parametrize(
    "fault", [server_error(405), answer(404, {"detail": "Not Found"}), answer(422, {"detail": "limit"})]
)
async def test_a_relay_without_a_list_is_asked_one_by_one(gateway, fault):
    """Relays know creating and looking alone; that is noticed once."""
    gateway.inject(fault, on="list", times=ALWAYS)
    await all_completed(gateway, 5, poll=PollPolicy.fixed(1))
    assert gateway.counts["list"] == 1 or fault.name == "answer"


async def test_a_list_in_trouble_delays_and_loses_nobody(gateway):
    """A page that cannot be had is a failed look like any other."""
    gateway.inject(server_error(502, html=True), on="list", times=3)
    await all_completed(gateway, 20, poll=PollPolicy.fixed(1))
