"""Several sessions over one journal: one polls for all, and another takes over when it cannot."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from fleet.shared_memory import SharedMemory

from luma_async import Finished, LumaSession, Polled, State, Unauthorized
from luma_async.testing import fails, rate_limited

pytestmark = pytest.mark.looptime


@pytest.fixture
def journal():
    return SharedMemory()


class Program:
    """A session, and what its events say."""

    def __init__(self, gateway, journal, **settings):
        self.events = []
        key = settings.pop("api_key", gateway.api_key)
        self.luma = LumaSession(
            key, base_url=gateway.base_url, journal=journal, on_event=self.events.append, **settings
        )

    @property
    def polls(self):
        return sum(isinstance(event, Polled) for event in self.events)

    def count(self, kind):
        return sum(isinstance(event, kind) for event in self.events)


@pytest.fixture
async def programs(gateway, journal):
    """Three programs, of which the first leads."""
    async with AsyncExitStack() as stack:
        made = [Program(gateway, journal) for _ in range(3)]
        for program in made:
            await stack.enter_async_context(program.luma)
        yield made


async def test_only_the_leader_polls(programs):
    """A program that bought and one that did not both learn the end, and only the leader sent status requests."""
    leader, buyer, other = programs
    bought = await buyer.luma.submit("cat", key="cat")
    found = await other.luma.submit("cat", key="cat")
    ends = await asyncio.gather(bought.wait(), found.wait(), other.luma.handle(bought.id).wait())
    assert {end.state for end in ends} == {State.COMPLETED}
    assert leader.polls > 0
    assert (buyer.polls, other.polls) == (0, 0)
    assert (buyer.count(Finished), other.count(Finished)) == (1, 1)


async def test_end_before_the_wait(programs):
    """What ended while no caller waited is known at once."""
    _, buyer, other = programs
    bought = await buyer.luma.submit("cat", key="cat")
    handle = other.luma.handle(bought.id)
    await asyncio.sleep(300)
    assert (await handle.wait(timeout=1)).state is State.COMPLETED
    assert other.polls == 0


async def test_failure_in_another_program(gateway, programs):
    """A failed generation fails the wait of each program."""
    gateway.scripts["dog"] = fails("no dogs")
    _, buyer, _ = programs
    handle = await buyer.luma.submit("dog")
    states = [generation.state async for generation in handle.updates()]
    assert states[-1] is State.FAILED
    assert buyer.polls == 0


async def test_leader_leaves(programs):
    """When the leader closes its session, another polls on, and later programs are polled for too."""
    leader, buyer, other = programs
    bought = await buyer.luma.submit("cat")
    await leader.luma.aclose()
    assert (await bought.wait()).state is State.COMPLETED
    assert (await (await other.luma.submit("dog")).wait()).state is State.COMPLETED
    assert min(buyer.polls, other.polls) == 0


async def test_leader_is_silent(programs, journal):
    """If the leader does not do its work, each program polls what it waits for, and rests again when it is back."""
    leader, buyer, _ = programs
    journal.silent = True
    bought = await buyer.luma.submit("cat", key="cat")
    journal.deaf = True
    assert (await bought.wait()).state is State.COMPLETED
    assert buyer.polls > 0
    journal.silent = journal.deaf = False
    await asyncio.sleep(5)
    before = buyer.polls
    assert (await (await buyer.luma.submit("dog")).wait()).state is State.COMPLETED
    assert buyer.polls == before
    assert leader.polls > 0


async def test_broken_journal_for_waiters(programs, journal):
    """While the journal cannot be read, each program polls what it waits for."""
    _, buyer, _ = programs
    bought = await buyer.luma.submit("cat")
    journal.broken = journal.deaf = True
    assert (await bought.wait()).state is State.COMPLETED
    assert buyer.polls > 0


async def test_generation_of_no_entry(gateway, open_session, programs):
    """A generation that the journal does not know is polled by the program that waits for it."""
    async with open_session(journal=None) as stranger:
        bought = await stranger.submit("cat")
    _, _, other = programs
    assert (await other.luma.handle(bought.id).wait()).state is State.COMPLETED
    assert other.polls > 0


async def test_leader_with_a_rejected_key(gateway, journal):
    """A leader whose key is rejected leaves the lead to another program."""
    wrong, right = Program(gateway, journal, api_key="sk-wrong"), Program(gateway, journal)
    async with wrong.luma, right.luma:
        bought = await right.luma.submit("cat")
        handle = wrong.luma.handle(bought.id)
        with pytest.raises(Unauthorized):
            await handle.wait()
        assert (await bought.wait()).state is State.COMPLETED
        assert right.polls > 0


async def test_end_that_was_not_written(programs, journal):
    """An end that could not be written to the journal is written when the leader reads what is unfinished."""
    leader, buyer, _ = programs
    bought = await buyer.luma.submit("cat", key="cat")
    handle = leader.luma.handle(bought.id)
    waiting = asyncio.create_task(bought.wait())
    await asyncio.sleep(0.1)
    journal.broken = True
    await handle.wait()
    journal.broken = False
    assert (await waiting).state is State.COMPLETED
    await asyncio.sleep(70)
    assert (await journal.get("cat")).generation is not None


async def test_pause_of_all_programs(gateway, programs):
    """After a 429 of one program, the others pause too."""
    _, one, other = programs
    gateway.inject(rate_limited(retry_after=20), times=1)
    loop = asyncio.get_running_loop()
    began = loop.time()
    submitting = asyncio.create_task(one.luma.submit("cat"))
    while gateway.counts["submit"] == 0:
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    await other.luma.submit("dog")
    assert loop.time() - began >= 20
    await submitting
