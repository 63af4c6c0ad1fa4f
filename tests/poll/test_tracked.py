"""What a session knows of one generation, from looks that nobody has read."""

from __future__ import annotations

from luma_async import Generation, State, Video
from luma_async._poll.observation import LazyLook, Look
from luma_async._poll.tracked import Tracked

DONE = Generation(id="a", state=State.COMPLETED, video=Video(url="https://example.com/a.mp4"))
LINKLESS = Generation(id="a", state=State.COMPLETED)


class Row:
    """A row of a running generation, which counts how often it was structured."""

    def __init__(self, word="pending", *, fault=None):
        self.word = word
        self.fault = fault
        self.read = 0

    def __call__(self):
        self.read += 1
        if self.fault is not None:
            raise self.fault
        return Generation(id="a", state=State.PROCESSING, raw_state=self.word)


def test_nobody_reads_what_nobody_asks_for():
    """Running looks replace each other unread; asking structures the last one, once."""
    tracked = Tracked(id="a")
    rows = [Row(word) for word in ("first", "second", "third")]
    for at_s, row in enumerate(rows):
        tracked.observe_running(LazyLook(row, at_s))
    assert [row.read for row in rows] == [0, 0, 0]
    assert [tracked.last.raw_state, tracked.last.raw_state] == ["third", "third"]
    assert [row.read for row in rows] == [0, 0, 1]


def test_an_end_needs_no_look_before_it():
    """A final look is news, and what ran before it is never structured."""
    tracked, row = Tracked(id="a"), Row()
    tracked.observe_running(LazyLook(row, 1.0))
    assert tracked.observe(Look(DONE, 2.0))
    assert (tracked.last, row.read) == (DONE, 0)


def test_a_late_look_takes_nothing_back():
    """One that was asked for earlier tells nothing new, whichever way the later one was taken in."""
    for structured in (False, True):
        tracked = Tracked(id="a")
        tracked.observe_running(LazyLook(Row("later"), 2.0))
        if structured:
            assert tracked.last.raw_state == "later"
        tracked.observe_running(LazyLook(Row("earlier"), 1.0))
        assert tracked.last.raw_state == "later"


def test_later_looks_are_compared_with_what_is_known_and_not_with_what_came_too_late():
    """The JSON that is kept is that of the look which counts, or none: else its like would be taken for old news."""
    for structured in (False, True):
        tracked = Tracked(id="a")
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


def test_no_running_look_follows_an_end():
    """What has ended stays so, even while its link is awaited."""
    for end in (DONE, LINKLESS):
        tracked, row = Tracked(id="a"), Row()
        tracked.observe(Look(end, 1.0))
        tracked.observe_running(LazyLook(row, 2.0))
        assert (tracked.last, row.read) == (end, 0)


def test_a_look_that_trips_its_reader_changes_nothing(caplog):
    """What was known stays known, and the log says why."""
    tracked = Tracked(id="a")
    tracked.observe_running(LazyLook(Row("known"), 1.0))
    assert tracked.last.raw_state == "known"
    tracked.observe_running(LazyLook(Row(fault=ZeroDivisionError()), 2.0))
    assert tracked.last.raw_state == "known"
    assert "ZeroDivisionError" in caplog.text
