"""What the command line says while it waits for something other than its videos."""

from __future__ import annotations

import re

import pytest
from terminal import Terminal

from luma_async import GenerationNotFound, NotSent, Paused, Polled, RateLimited, Retried, Submitted
from luma_async.cli.waits import Waits
from luma_async.testing import hang, rate_limited, stalls

pytestmark = pytest.mark.usefixtures("here")

LIMITED = RateLimited(message="quota for today is used", status=429, retry_after_s=3600)
REFUSED = Retried(what="submit", attempt=1, delay_s=60, error=LIMITED)
NOT_SENT = Retried(what="submit", attempt=1, delay_s=8, error=NotSent(message="Cannot connect to relay.example."))
FAILED_POLL = Polled(ids=("g-1",), error=GenerationNotFound(message="unknown task", status=404))


def lines(events, *, until_s, **counts):
    """Return the lines and their times for events by time, looking at the clock each second."""
    waits, said = Waits(0), []
    for now_s in range(until_s):
        for event in events.get(now_s, ()):
            waits.observe(event, now_s)
        if (text := waits.due(now_s, **counts)) is not None:
            said.append((now_s, text))
    return said


@pytest.mark.parametrize(
    ("events", "counts", "first_s", "words"),
    [
        ({0: [REFUSED, Paused(delay_s=60)]}, {}, 0, ["Submits are paused for 60 s, until", "quota for today is used"]),
        ({0: [REFUSED, Paused(delay_s=60)]}, {}, 0, ["HTTP 429", "It asks to wait for 60 min, until"]),
        ({5: [Paused(delay_s=90_000)]}, {}, 5, ["Submits are paused for 1500 min, until 20"]),
        ({2: [NOT_SENT]}, {}, 5, ["The last submit failed. Cannot connect to relay.example.", "repeated in 5 s"]),
        ({0: [FAILED_POLL]}, {}, 3, ["The last status request failed.", "unknown task", "Polling goes on"]),
        ({}, {"unsubmitted": 3, "running": 2}, 3, ["3 wait for a free slot", "2 are running"]),
        ({}, {"unsubmitted": 1}, 3, ["no answer came in the last 3 s"]),
    ],
)
def test_wait_is_named(events, counts, first_s, words):
    """A wait is named within a few seconds, with its end in local time and the service's words."""
    (said_s, text), *_ = lines(events, until_s=20, **counts)
    assert said_s == first_s
    for word in words:
        assert word in text


def test_wait_is_repeated():
    """A line about a wait is repeated after a minute, then after twice as long, up to ten minutes."""
    said = lines({0: [Paused(delay_s=7200)]}, until_s=3000)
    assert [now_s for now_s, _ in said] == [0, 60, 180, 420, 900, 1500, 2100, 2700]


@pytest.mark.parametrize(
    "events",
    [
        {},
        {now_s: [Retried(what="submit", attempt=1, delay_s=1, error=LIMITED), Paused(delay_s=1)] for now_s in (3, 9)}
        | {now_s: [Submitted(key="k", generation=None)] for now_s in (5, 11)},
        {0: [FAILED_POLL], 2: [Polled(ids=("g-1",))]},
    ],
)
def test_short_wait_is_not_named(events):
    """What is over within three seconds gets no line, as the pauses of a batch that looks for the limit."""
    assert lines(events, until_s=20) == []


@pytest.mark.parametrize("flags", [(), ("--json",)])
async def test_paused_batch_on_pipe(start, gateway, here, flags):
    """A batch that a long Retry-After pauses says so on stderr at once, and until when."""
    gateway.inject(rate_limited(retry_after=3600), times=9)
    (here / "prompts.txt").write_text("a cat\na dog\n")
    process = await start("batch", "prompts.txt", "--out", "out", *flags)
    line = (await process.stderr.readline()).decode()
    assert re.search(r"^Submits are paused for 6\d s, until \d\d:\d\d:\d\d\. The service says \(HTTP 429\): ", line)
    assert "It asks to wait for 60 min, until " in line


async def test_paused_batch_on_terminal(gateway, here):
    """On a terminal the line about the pause is above the bar, which counts those that wait."""
    gateway.inject(rate_limited(retry_after=3600), times=9)
    (here / "prompts.txt").write_text("a cat\na dog\n")
    terminal = Terminal()
    await terminal.start("batch", "prompts.txt", "--out", "out")
    await terminal.until("Submits are paused")
    await terminal.until("2 waiting")
    terminal.press(b"\x03")
    await terminal.end()
    assert terminal.code == 130


@pytest.mark.parametrize("command", [("generate", "a cat"), ("batch", "prompts.txt", "--out", "out")])
async def test_dead_relay(start, here, monkeypatch, unused_tcp_port, command):
    """A relay that cannot be reached is named while the submit is repeated."""
    monkeypatch.setenv("LUMA_BASE_URL", f"http://127.0.0.1:{unused_tcp_port}")
    (here / "prompts.txt").write_text("a cat\n")
    process = await start(*command)
    line = (await process.stderr.readline()).decode()
    assert "Cannot connect" in line
    assert str(unused_tcp_port) in line
    assert "Check the network and --base-url" in line
    assert "RetryPolicy" not in line


async def test_silent_relay(start, gateway, here):
    """A batch whose submits get no answer says so."""
    gateway.inject(hang(charged=True), times=9)
    (here / "prompts.txt").write_text("a cat\n")
    process = await start("batch", "prompts.txt", "--out", "out")
    assert b"no answer came in the last" in await process.stderr.readline()


async def test_no_free_slot(start, gateway, here):
    """A batch whose slots are taken says how many wait and how many are running."""
    gateway.scripts["a cat"] = stalls()
    (here / "prompts.txt").write_text("a cat\na dog\n")
    process = await start("batch", "prompts.txt", "--out", "out", "--max-in-flight", "1")
    assert b"1 wait for a free slot" in await process.stderr.readline()


async def test_failing_status_requests(start, gateway, here):
    """`wait` says why it waits when status requests fail."""
    process = await start("generate", "a cat", "--timeout", "0.01")
    _, err = await process.communicate()
    generation_id = re.search(rb"generation (\S+),", err)[1].decode()
    base_url = gateway.base_url
    await gateway.stop()
    process = await start("wait", generation_id)
    line = (await process.stderr.readline()).decode()
    assert "The last status request failed." in line
    assert base_url in line
