"""Uploads that break: the bytes are sent again, or the error is typed, and nothing is bought."""

from __future__ import annotations

import asyncio
import tracemalloc

import pytest

from luma_async import (
    Agents,
    ImageKeyframe,
    Keyframes,
    Retried,
    RetryPolicy,
    SessionClosed,
    Timeouts,
    UploadFailed,
)
from luma_async.testing import (
    ALWAYS,
    AgentsBehaviour,
    Fault,
    answer,
    drop_after_reading,
    drop_before_reading,
    garbage,
    hang,
    redirect,
    server_error,
)

PNG = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (64).to_bytes(4, "big") * 2
MP4 = b"\0\0\0\x18ftypmp42"
MB = 1_000_000
CUT = drop_before_reading(after_bytes=5 * MB)


async def stop_reading(exchange):
    await exchange.request.content.readany()
    await exchange.idle(3600)
    return exchange.close_connection()


FAULTS = {
    "closed unread": drop_before_reading(),
    "cut midway": CUT,
    "reset midway": drop_before_reading("rst", after_bytes=5 * MB),
    "cut after all bytes": drop_after_reading(),
    "silent after all bytes": hang(),
    "stops reading": Fault("stop_reading", charged=False, act=stop_reading, before_reading=True),
    "garbage": garbage(),
    "500": server_error(500, html=True),
    "503": answer(503, "<Error><Code>SlowDown</Code></Error>"),
    "429": answer(429),
    "redirect": redirect(307, "/elsewhere"),
    "expired": answer(403, "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"),
}
ANOTHER_ADDRESS = {"expired"}


@pytest.fixture
def gateway_options():
    return {"agents": AgentsBehaviour(file_ready_after_s=0)}


@pytest.fixture
def events():
    return []


@pytest.fixture
def session_options(events):
    retry = RetryPolicy(attempts=3, first_delay=0.01, max_delay=0.02)
    timeouts = Timeouts(download_stall=0.5)
    return {"dialect": Agents(), "retry": retry, "timeouts": timeouts, "on_event": events.append}


def large(path, size=10 * MB, head=PNG):
    """Write a sparse file with this head."""
    with path.open("wb") as file:
        file.write(head)
        file.truncate(size)
    return path


def puts(gateway):
    """Return the requests to the storage; each must be without the key."""
    found = [seen for seen in gateway.requests if seen.kind == "upload"]
    assert not any(gateway.api_key in str(dict(seen.headers)) + str(dict(seen.query)) for seen in found)
    assert gateway.leaks == ()
    return found


@pytest.mark.parametrize("fault", FAULTS)
async def test_put_is_taken_up_again(luma, gateway, tmp_path, events, fault):
    """After any fault of the storage the bytes are sent again, to the same address unless that was refused."""
    await luma.files.upload(PNG)
    gateway.inject(FAULTS[fault], on="upload")
    path = large(tmp_path / "cat.png")
    handle = await luma.submit("cat", keyframes=Keyframes(frame0=ImageKeyframe.from_file(path)), key="cat")
    assert len({seen.path for seen in puts(gateway)[1:]}) == (2 if fault in ANOTHER_ADDRESS else 1)
    assert (gateway.counts["upload"], gateway.counts["submit"]) == (3, 1)
    assert [event.what for event in events if isinstance(event, Retried)] == ["upload"]
    [_, ready] = [file for file in gateway.files.values() if file.state == "ready"]
    assert ready.received.size_bytes == 10 * MB
    [charge] = gateway.charges
    assert (charge.generation_id, charge.body["video"]["start_frame"]) == (handle.id, {"file_id": ready.id})


@pytest.mark.parametrize("fault", FAULTS)
async def test_put_keeps_failing(luma, gateway, journal, tmp_path, fault):
    """When the storage never takes the bytes, the error is typed, nothing is bought, and the key is free."""
    gateway.inject(FAULTS[fault], on="upload", times=ALWAYS)
    frame = ImageKeyframe.from_file(large(tmp_path / "cat.png"))
    with pytest.raises(UploadFailed, match="Nothing was bought") as caught:
        await luma.submit("cat", keyframes=Keyframes(frame0=frame), key="cat")
    assert (caught.value.path, gateway.counts["upload"]) == (frame.file.path, 3)
    assert (gateway.counts["submit"], gateway.charges, await journal.entries()) == (0, (), [])
    gateway.clear_faults()
    await luma.submit("cat", keyframes=Keyframes(frame0=frame), key="cat")
    assert len(gateway.charges) == 1
    puts(gateway)


async def test_cut_video_takes_no_memory(luma, gateway, tmp_path):
    """A video of 150 MB that is cut midway twice is uploaded whole, with less than 20 MB of memory."""
    path = large(tmp_path / "cat.mp4", 150 * MB, MP4)
    await luma.files.upload(PNG)
    gateway.inject(drop_before_reading(after_bytes=75 * MB), on="upload", times=2)
    tracemalloc.start()
    try:
        file = await luma.files.upload(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert gateway.files[file.id].received.size_bytes == 150 * MB
    assert peak < 20 * MB
    puts(gateway)


async def test_cancelled_while_sending(luma, gateway, journal, tmp_path):
    """A submit that is cancelled while its picture is being sent buys nothing, and its key can be used again."""
    gateway.inject(FAULTS["stops reading"], on="upload")
    frame = ImageKeyframe.from_file(large(tmp_path / "cat.png", 40 * MB))
    task = asyncio.ensure_future(luma.submit("cat", keyframes=Keyframes(frame0=frame), key="cat"))
    while not gateway.counts["upload"]:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (gateway.charges, await journal.entries()) == ((), [])
    await luma.submit("cat", keyframes=Keyframes(frame0=frame), key="cat")
    assert len(gateway.charges) == 1


async def test_closed_while_sending(open_session, gateway, journal, tmp_path):
    """A session that closes while a picture is being sent buys nothing."""
    gateway.inject(FAULTS["stops reading"], on="upload")
    frame = ImageKeyframe.from_file(large(tmp_path / "cat.png", 40 * MB))
    async with open_session() as luma:
        task = asyncio.ensure_future(luma.submit("cat", keyframes=Keyframes(frame0=frame), key="cat"))
        while not gateway.counts["upload"]:
            await asyncio.sleep(0.001)
    with pytest.raises(SessionClosed):
        await task
    assert (gateway.charges, await journal.entries()) == ((), [])


@pytest.mark.parametrize("change", ["shorter", "longer", "deleted"])
async def test_file_changes_while_sending(luma, gateway, tmp_path, change):
    """A file that changes while it is being sent is not sent again: the error says so."""
    path = large(tmp_path / "cat.mp4", 20 * MB, MP4)

    async def act(exchange):
        if change == "deleted":
            path.unlink()
        else:
            large(path, 10 * MB if change == "shorter" else 30 * MB, MP4)
        return exchange.close_connection()

    gateway.inject(Fault("changes", charged=False, act=act, before_reading=True), on="upload")
    with pytest.raises(UploadFailed, match=r"has changed|No such file"):
        await luma.files.upload(path)
    assert gateway.counts["file_complete"] == 0


@pytest.mark.looptime
async def test_many_uploads_wait(open_session, gateway, events):
    """Of many uploads a few are sent at a time; the others wait as long as it takes, and none is sent twice."""
    at_once, most = 0, 0

    async def act(exchange):
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await exchange.idle(20)
        at_once -= 1
        return exchange.serve()

    gateway.inject(Fault("slow", charged=False, act=act), on="upload", times=ALWAYS)
    async with open_session(timeouts=Timeouts(download_stall=30)) as luma:
        files = await asyncio.gather(*[luma.files.upload(PNG + bytes([number])) for number in range(120)])
    assert len({file.id for file in files}) == len(puts(gateway)) == 120
    assert most <= 8
    assert not any(isinstance(event, Retried) for event in events)
