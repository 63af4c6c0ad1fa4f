"""The input of a batch: lazy, with keys and names, and resumed by name."""

from __future__ import annotations

import asyncio
import gc
import math

import pytest
from batch_inputs import EndlessInput, prompts, settle, take

from luma_async import (
    ConfigurationError,
    GenerationFailed,
    InvalidInput,
    LumaSession,
    Phase,
    PollPolicy,
    State,
    UpscaleRequest,
    VideoRequest,
)
from luma_async.testing import (
    ALWAYS,
    drop_after_reading,
    fails,
    rejects,
    server_error,
    succeeds,
)
from luma_async.values.errors import UnsupportedOperation

pytestmark = pytest.mark.looptime(noop_cycles=8)


async def test_empty_input(luma, gateway):
    """An empty batch sends nothing and has no outcomes."""
    assert await luma.batch([]).results() == []
    assert gateway.counts.total() == 0


@pytest.mark.parametrize("wanted", ["a cat", b"a cat", VideoRequest("a cat"), {"a cat": 1}, 7, None])
async def test_input_is_not_iterable(luma, gateway, wanted):
    """A single prompt, a mapping or another value is refused before anything is sent."""
    with pytest.raises(InvalidInput, match="many"):
        luma.batch(wanted)
    assert gateway.counts.total() == 0


async def test_input_is_read_lazily(luma, gateway):
    """At most `max_in_flight` items are read ahead of the outcomes taken, and none before the first call."""
    source = EndlessInput()
    batch = luma.batch(source, max_in_flight=3)
    await settle()
    assert source.pulled == 0
    taken = 0
    async for _ in batch:
        taken += 1
        assert source.pulled <= taken + 2
        await asyncio.sleep(0.1)
        assert gateway.running <= 3
        if taken == 10:
            break


async def test_same_name_resumes(open_session, gateway):
    """A batch with the same name submits only what the journal does not have; a new name submits everything."""
    gateway.scripts["cat 1"] = succeeds(after=100)
    async with open_session() as luma:
        async for _ in luma.batch(prompts(2), name="cats", max_in_flight=2):
            break
        assert len(gateway.charges) == 2
    async with open_session() as luma:
        batch = luma.batch(prompts(3), name="cats")
        results = await batch.results()
        assert [outcome.generation.state for outcome in results] == [State.COMPLETED] * 3
        assert len(gateway.charges) == 3
        assert batch.stats.submitted == 1
        asked = gateway.counts.total()
        await luma.batch(prompts(3), name="cats").results()
        assert gateway.counts.total() == asked
        await luma.batch(prompts(3), name="more cats").results()
        assert len(gateway.charges) == 6


@pytest.mark.looptime(False)
async def test_sqlite_needs_name_or_keys(gateway, tmp_path):
    """With a persistent journal a batch without a name and without keys is refused, and the error says why."""
    async with LumaSession(gateway.api_key, base_url=gateway.base_url, journal=tmp_path / "jobs.db") as luma:
        with pytest.raises(ConfigurationError, match="the same name resumes"):
            luma.batch(prompts(2))
        luma.batch(prompts(2), name="cats")
        luma.batch(prompts(2), keys=["a", "b"])
    assert gateway.counts.total() == 0


@pytest.mark.looptime(False)
async def test_sqlite_item_without_key(gateway, tmp_path):
    """With a persistent journal and no name, an item without a key fails, and only that item."""
    gateway.scripts |= dict.fromkeys(prompts(2), succeeds(after=0))
    for _ in range(2):
        async with LumaSession(
            gateway.api_key, base_url=gateway.base_url, journal=tmp_path / "jobs.db", poll=PollPolicy.fixed(0.05)
        ) as luma:
            outcomes = await luma.batch(prompts(2), keys=["a", None]).results()
            assert outcomes[0].error is None
            assert isinstance(outcomes[1].error, InvalidInput)
            assert outcomes[1].error.field == "keys"
            assert [one.error for one in await luma.batch(prompts(2), name="cats", keys=["a", None]).results()] == [
                None,
                None,
            ]
    assert len(gateway.charges) == 2


@pytest.mark.parametrize("name", ["", " "])
async def test_empty_name(luma, name):
    """An empty name is refused."""
    with pytest.raises(InvalidInput, match="name"):
        luma.batch(prompts(2), name=name)


async def test_preview(open_session, gateway):
    """The preview shows for each item its newest journal entry and whether the batch would submit it."""
    gateway.scripts |= {"cat 1": fails(), "cat 2": rejects()}
    gateway.inject(drop_after_reading(), when=lambda seen: seen.body["prompt"] == "cat 3")
    wanted = [*prompts(5), UpscaleRequest("some-id"), 7]

    async def look(luma, **options):
        return [item async for item in luma.batch(wanted, name="cats", **options).preview()]

    async with open_session() as luma:
        first = await luma.batch(prompts(4), name="cats").results()
        asked = gateway.counts.total()
        seen = await look(luma)
        standings = [item.entry and item.entry.phase for item in seen]
        assert standings == [Phase.COMPLETED, Phase.FAILED, Phase.REFUSED, Phase.IN_DOUBT, None, None, None]
        assert [item.buys for item in seen] == [False, False, True, False, True, False, False]
        assert [type(item.error) for item in seen[-2:]] == [UnsupportedOperation, InvalidInput]
        assert [item.key for item in seen[:4]] == [outcome.key for outcome in first]
        assert [item.buys for item in await look(luma, retry_failed=True)][1] is True
        assert gateway.counts.total() == asked
        gateway.scripts["cat 1"] = succeeds()
        await luma.batch(prompts(2), name="cats", retry_failed=True).results()
        again = (await look(luma, retry_failed=True))[1]
        assert (again.key, again.entry.phase, again.buys) == (f"{first[1].key}~2", Phase.COMPLETED, False)


async def test_no_name_submits_again(luma, gateway):
    """With a journal in memory and no name, each batch submits all of its items."""
    for _ in range(2):
        await luma.batch(prompts(2)).results()
    assert len(gateway.charges) == 4


async def test_equal_items(luma, gateway):
    """Each of several equal items is submitted, counted as a duplicate, and found again by name."""
    batch = luma.batch(["cat", "cat", "dog", "cat"], name="cats")
    assert len({outcome.key for outcome in await batch.results()}) == 4
    assert batch.stats.duplicates == 2
    assert len(gateway.charges) == 4
    await luma.batch(["cat", "dog", "cat", "cat"], name="cats").results()
    assert len(gateway.charges) == 4


@pytest.mark.parametrize("way", ["it ended", "it was closed", "its loop was left", "it was forgotten"])
async def test_name_in_use(luma, way):
    """A second open batch of the same name is refused; the name is free once the first batch is closed."""
    first = luma.batch(prompts(2), name="cats")
    with pytest.raises(ConfigurationError, match="open"):
        luma.batch(prompts(2), name="cats")
    if way == "it ended":
        await first.results()
    elif way == "it was closed":
        await first.aclose()
    elif way == "its loop was left":
        async for _ in first:
            break
        await asyncio.sleep(0.1)
    else:
        del first
        gc.collect()
    assert len(await luma.batch(prompts(2), name="cats").results()) == 2


async def test_retry_failed(open_session, gateway):
    """A rerun returns an earlier failure; `retry_failed` submits again under key~2, which later reruns find."""
    tries = iter([fails("Job failed"), fails("Job failed again"), succeeds()])
    gateway.scripts["cat 0"] = lambda _prompt, _number: next(tries)

    async def run(**options):
        async with open_session() as luma:
            return await luma.batch(prompts(2), name="cats", **options).results()

    first, second = await run()
    assert "Job failed" in str(first.error)
    assert second.error is None
    assert isinstance((await run())[0].error, GenerationFailed)
    assert len(gateway.charges) == 2
    again = (await run(retry_failed=True))[0]
    assert (again.key, again.error.reason) == (f"{first.key}~2", "Job failed again")
    assert (await run())[0].error.reason == "Job failed again"
    assert (await run(retry_failed=True))[0].key == f"{first.key}~3"
    assert (await run())[0].generation.state is State.COMPLETED
    assert (await run(retry_failed=True))[0].key == f"{first.key}~3"
    assert len(gateway.charges) == 4


async def test_callers_keys(luma, gateway):
    """Keys belong to the prompts; None derives a key, and an invalid key fails its item only."""
    results = await luma.batch(prompts(4), keys=["a", None, "c", ""], name="cats").results()
    assert [outcome.key for outcome in results][::2] == ["a", "c"]
    assert len(results[1].key) == 64
    assert isinstance(results[3].error, InvalidInput)
    assert (await luma.submit("cat 0", key="a")).id == results[0].handle.id
    assert len(gateway.charges) == 3


async def test_fewer_keys_than_prompts(luma, gateway):
    """Too few keys are refused at once, or end the batch if the keys come from an iterator."""
    with pytest.raises(InvalidInput, match="keys: got 1 keys for 2"):
        luma.batch(prompts(2), keys=["a"])
    with pytest.raises(InvalidInput, match="keys"):
        luma.batch(prompts(2), keys="ab")
    batch = luma.batch(prompts(2), keys=iter(["a"]))
    with pytest.raises(InvalidInput, match="fewer keys"):
        await batch.results()
    assert [outcome.key for outcome in await batch.results()] == ["a"]
    assert len(gateway.charges) == 1


async def test_input_raises(luma, gateway):
    """If the input raises, the items before it are delivered first, then its exception is raised."""

    def broken():
        yield from prompts(3)
        raise LookupError("the database is gone")

    batch = luma.batch(broken(), max_in_flight=8)
    with pytest.raises(LookupError, match="database"):
        await batch.results()
    assert [outcome.error for outcome in await batch.results()] == [None] * 3
    gateway.inject(server_error(401), times=ALWAYS)
    with pytest.raises(LookupError, match="database"):
        await luma.batch(broken(), max_in_flight=8).results()


async def test_async_input(luma, gateway):
    """A slow asynchronous input delays no outcome, keys may be asynchronous too, and its exception comes last."""

    async def slowly():
        for prompt in prompts(3):
            yield prompt
            await asyncio.sleep(100)
        raise LookupError("the queue is gone")

    async def keys():
        for name in "abc":
            yield name

    class Moments(list):
        def append(self, _):
            super().append(asyncio.get_running_loop().time() - began_at)

    began_at, moments = asyncio.get_running_loop().time(), Moments()
    with pytest.raises(LookupError, match="queue"):
        await take(luma.batch(slowly(), keys=keys()), moments)
    assert [round(at, -1) for at in moments] == [20, 120, 220]
    assert len(gateway.charges) == 3


async def test_endless_input_without_limit(luma, gateway):
    """With no limit, items start in portions, and outcomes are returned between them."""
    gateway.scripts["cat 0"] = rejects()
    source = EndlessInput()
    async for outcome in luma.batch(source, max_in_flight=math.inf):
        assert outcome.index == 0
        break
    assert source.pulled < 5000
    await settle()
    assert gateway.counts["submit"] < 5000
