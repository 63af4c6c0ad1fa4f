"""What a session knows of one generation, from looks that are structured late or never."""

from __future__ import annotations

import asyncio

import pytest

from luma_async import Generation, State, Video
from luma_async._poll.observation import LazyLook, Look
from luma_async._poll.tracked import Tracked, time_out

DONE = Generation(id="a", state=State.COMPLETED, video=Video(url="https://example.com/a.mp4"))
WITHOUT_LINK = Generation(id="a", state=State.COMPLETED)


class Row:
    """The JSON of a running generation; it counts how often it was structured."""

    def __init__(self, word="pending", *, fault=None):
        self.word = word
        self.fault = fault
        self.read = 0

    def __call__(self):
        self.read += 1
        if self.fault is not None:
            raise self.fault
        return Generation(id="a", state=State.PROCESSING, raw_state=self.word)


@pytest.fixture
def tracked():
    return Tracked(id="a")


def test_running_looks_stay_unread(tracked):
    """Looks at a running generation replace each other unread; reading `last` structures the newest, once."""
    rows = [Row(word) for word in ("first", "second", "third")]
    for at_s, row in enumerate(rows):
        tracked.observe_running(LazyLook(row, at_s))
    assert [row.read for row in rows] == [0, 0, 0]
    assert [tracked.last.raw_state, tracked.last.raw_state] == ["third", "third"]
    assert [row.read for row in rows] == [0, 0, 1]


def test_final_look_after_unread_look(tracked):
    """A final look is a change, and the unread look before it is never structured."""
    row = Row()
    tracked.observe_running(LazyLook(row, 1.0))
    assert tracked.observe(Look(DONE, 2.0))
    assert (tracked.last, row.read) == (DONE, 0)


@pytest.mark.parametrize("structured", [False, True])
def test_late_running_look(tracked, structured):
    """A look that was sent earlier changes nothing, whether the later one was structured or not."""
    tracked.observe_running(LazyLook(Row("later"), 2.0))
    if structured:
        assert tracked.last.raw_state == "later"
    tracked.observe_running(LazyLook(Row("earlier"), 1.0))
    assert tracked.last.raw_state == "later"


@pytest.mark.parametrize("structured", [False, True])
def test_raw_after_late_look(tracked, structured):
    """`raw` is the JSON of the look that counts, or None: otherwise a later look would be taken for unchanged."""
    tracked.observe_running(LazyLook(Row("queued"), 1.0), {"state": "queued"})
    tracked.observe(Look(Row("processing")(), 3.0))
    late = {"state": "queued"}
    if structured:
        assert not tracked.observe(Look(Row("queued")(), 2.0), late)
    else:
        tracked.observe_running(LazyLook(Row("queued"), 2.0), late)
    assert (tracked.last.raw_state, tracked.raw) == ("processing", None)
    tracked.observe(Look(Row("queued")(), 4.0), late)
    assert (tracked.last.raw_state, tracked.raw) == ("queued", late)


def test_look_with_same_json(tracked):
    """A look with the JSON of the last one makes that one later; an earlier one, and other JSON, do not."""
    first = LazyLook(Row("queued"), 1.0)
    assert tracked.repeat({"state": "queued"}, 1.0) is None
    tracked.observe_running(first, {"state": "queued"})
    assert tracked.repeat({"state": "processing"}, 3.0) is None
    assert tracked.repeat({"state": "queued"}, 3.0) is first
    assert tracked.repeat({"state": "queued"}, 2.0) is None
    tracked.observe_running(LazyLook(Row("processing"), 2.0), {"state": "processing"})
    assert tracked.last.raw_state == "queued"


@pytest.mark.parametrize("end", [DONE, WITHOUT_LINK])
def test_running_look_after_end(tracked, end):
    """A generation that has ended stays so, even while its link is missing."""
    row = Row()
    tracked.observe(Look(end, 1.0))
    tracked.observe_running(LazyLook(row, 2.0))
    assert (tracked.last, row.read) == (end, 0)


async def test_time_out_after_result():
    """A timeout that comes after the result changes nothing."""
    waiter = asyncio.get_running_loop().create_future()
    waiter.set_result(DONE)
    time_out(waiter)
    assert waiter.result() is DONE


def test_look_that_cannot_be_read(tracked, caplog):
    """A look that raises when it is structured changes nothing, and the log says why."""
    tracked.observe_running(LazyLook(Row("known"), 1.0))
    assert tracked.last.raw_state == "known"
    tracked.observe_running(LazyLook(Row(fault=ZeroDivisionError()), 2.0))
    assert tracked.last.raw_state == "known"
    assert "ZeroDivisionError" in caplog.text
