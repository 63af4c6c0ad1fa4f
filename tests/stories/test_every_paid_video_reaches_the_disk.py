"""Every paid video reaches the disk, byte for byte, through all kinds of faults, and no download is charged."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from pathlib import Path

import pytest
from ledger import balance

from luma_async import PollPolicy, RetryPolicy, State, Timeouts
from luma_async.testing import (
    AgentsBehaviour,
    changes_object,
    completes_without_link,
    cut_after,
    drop_after_reading,
    file_bytes,
    forbidden_until_refreshed,
    garbage,
    html_instead,
    ignores_range,
    presigned,
    rate_limited,
    server_error,
    stall_after,
    succeeds,
    wrong_length,
)

PROGRAM = Path(__file__).with_name("downloading.py")
COUNT = 40
CLIP = file_bytes()
# Each at most once for a video: a fault that lasts is an error.
FAULTS = [
    cut_after(0),
    cut_after(700),
    cut_after(1500),
    stall_after(100),
    drop_after_reading(),
    drop_after_reading("rst"),
    garbage(),
    html_instead(),
    ignores_range(),
    rate_limited(1),
    server_error(500),
    wrong_length(100),
    wrong_length(-100),
]
DEAD_LINKS = [forbidden_until_refreshed(), server_error(403), server_error(404)]


@pytest.fixture
def gateway_options():
    """No limits of submits: these are stories of downloads."""
    return {"agents": AgentsBehaviour(submits_per_minute=None, max_unfinished=None)}


@pytest.mark.looptime
@pytest.mark.parametrize("seed", range(3))
async def test_faulty_file_server(session, gateway, journal, tmp_path, seed):
    """Forty videos are downloaded through random faults: all are complete, and forty were charged."""
    jitter = random.Random(seed)
    retry = RetryPolicy(attempts=8, first_delay=0.1, max_delay=1)
    async with session(gateway, journal, retry=retry, timeouts=Timeouts(download_stall=5)) as luma:
        handles = [await luma.submit(f"cat {number}", key=f"cat-{number}") for number in range(COUNT)]
        for handle in handles:
            faults = jitter.sample(FAULTS, k=jitter.randint(0, 4)) + jitter.choices(DEAD_LINKS, k=jitter.randint(0, 1))
            jitter.shuffle(faults)
            for fault in faults:
                gateway.inject(fault, on="file", when=lambda seen, handle=handle: handle.id in seen.path)
        async with asyncio.TaskGroup() as group:
            for handle in handles:
                group.create_task(handle.download(tmp_path))
        assert {(tmp_path / f"{handle.id}.mp4").read_bytes() for handle in handles} == {CLIP}
    assert len(list(tmp_path.iterdir())) == COUNT
    assert gateway.counts["link"] == 0
    assert gateway.leaks == ()
    assert await balance(gateway, journal) == (COUNT, COUNT, 0)


@pytest.mark.looptime
async def test_expired_links(dialect, session, gateway, journal, tmp_path):
    """Videos with links that expired, or without links, are downloaded a day later by another session."""
    gateway.scripts["early"] = presigned(600, then=succeeds(after=5))
    gateway.scripts["looks_without_link"] = completes_without_link(after=5)
    keys = ["early", "plain"]
    # Only relays have a call that returns a link.
    if dialect.name == "rixapi":
        keys.append("looks_without_link")
    async with session(gateway, journal) as luma:
        for key in keys:
            assert (await luma.run(key, key=key)).state is State.COMPLETED
    await asyncio.sleep(86_400)
    async with session(gateway, journal) as luma:
        for key in keys:
            handle = await luma.submit(key, key=key)
            assert (await handle.download(tmp_path / f"{key}.mp4")).read_bytes() == CLIP
    assert gateway.counts["link"] == keys.count("looks_without_link")
    assert gateway.leaks == ()
    assert await balance(gateway, journal) == (len(keys), len(keys), 0)


@pytest.mark.looptime
async def test_replaced_video(session, gateway, journal, tmp_path):
    """A file that changes on the server between two attempts is downloaded again from its beginning."""
    async with session(gateway, journal) as luma:
        handle = await luma.submit("cat dance", key="cat")
        gateway.inject(cut_after(1000), on="file")
        gateway.inject(changes_object(), on="file")
        gateway.inject(cut_after(1000), on="file")
        path = await handle.download(tmp_path)
    assert path.read_bytes() == file_bytes(version=1)
    assert await balance(gateway, journal) == (1, 1, 0)


async def run_program(gateway, journal, folder):
    environment = {**os.environ, "LUMA_API_KEY": gateway.api_key, "LUMA_BASE_URL": gateway.base_url}
    return await asyncio.create_subprocess_exec(
        sys.executable, str(PROGRAM), str(journal), str(folder), env=environment, stdout=asyncio.subprocess.PIPE
    )


async def test_killed_program(tmp_path, gateway):
    """Killed during a download and started again, a program resumes the download and pays nothing."""
    gateway.scripts["cat dance"] = succeeds(after=0)
    folder = tmp_path / "videos"
    folder.mkdir()
    gateway.inject(stall_after(1000), on="file")
    first = await run_program(gateway, tmp_path / "jobs.db", folder)
    while not [part for part in folder.glob("*.part") if part.stat().st_size == 1000]:
        assert first.returncode is None
        await asyncio.sleep(0.02)
    first.kill()
    await first.communicate()
    second = await run_program(gateway, tmp_path / "jobs.db", folder)
    printed, _ = await second.communicate()
    (path,) = folder.iterdir()
    assert printed.decode().strip() == str(path)
    assert path.read_bytes() == CLIP
    assert gateway.requests[-1].headers["Range"] == "bytes=1000-"
    assert len(gateway.charges) == 1
    assert gateway.leaks == ()


async def test_repeated_cancellation(session, gateway, journal, tmp_path):
    """A download that is cancelled at thirty random moments succeeds in the end, and was charged once."""
    gateway.scripts["cat dance"] = succeeds(after=0)
    jitter = random.Random(7)
    async with session(gateway, journal, poll=PollPolicy.fixed(0.05)) as luma:
        handle = await luma.submit("cat dance", key="cat")
        await handle
        for _ in range(30):
            gateway.clear_faults()
            gateway.inject(cut_after(jitter.randint(0, 2000)), on="file")
            download = asyncio.ensure_future(handle.download(tmp_path / "cat.mp4", overwrite=True))
            await asyncio.sleep(jitter.random() * 0.02)
            download.cancel()
            await asyncio.wait([download])
        gateway.clear_faults()
        path = await handle.download(tmp_path / "cat.mp4", overwrite=True)
    assert path.read_bytes() == CLIP
    assert [found.name for found in tmp_path.iterdir()] == ["cat.mp4"]
    assert await balance(gateway, journal) == (1, 1, 0)
