"""Merging looks: late, repeated and out-of-order looks never replace a better one."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import Generation, Image, State, Video
from luma_async._poll.observation import LazyLook, Look, finality, has_link, merge

LINKED = Video(url="https://example.com/a.mp4")
EMPTY = Video()


def look(state, at=0.0, **fields):
    return Look(Generation(id="one", state=state, **fields), at)


LOOKS = st.builds(
    lambda state, at, video, progress: look(state, float(at), video=video, progress=progress),
    st.sampled_from(list(State)),
    st.integers(0, 3),
    st.sampled_from([None, EMPTY, LINKED]),
    st.sampled_from([None, 0.1, 0.9]),
)


@given(LOOKS, LOOKS)
def test_merge_is_commutative(one, other):
    """The order in which two looks arrive does not matter."""
    assert merge(one, other) == merge(other, one)


@given(LOOKS, LOOKS, LOOKS)
def test_merge_is_associative(one, other, third):
    """The order in which many looks arrive does not matter."""
    assert merge(merge(one, other), third) == merge(one, merge(other, third))


@given(LOOKS, LOOKS)
def test_merge_is_idempotent(one, other):
    """A look that arrives twice does not matter."""
    assert merge(one, one) == one
    assert merge(merge(one, other), other) == merge(one, other)


@pytest.mark.parametrize(
    ("known", "seen", "kept"),
    [
        (None, look(State.PENDING), "seen"),
        (look(State.PENDING, 1), look(State.PROCESSING, 2), "seen"),
        (look(State.PROCESSING, 2), look(State.PENDING, 1), "known"),
        (look(State.PROCESSING, 2), look(State.UNKNOWN, 3), "seen"),
        (look(State.COMPLETED, 1, video=LINKED), look(State.PROCESSING, 9), "known"),
        (look(State.FAILED, 1), look(State.PROCESSING, 9), "known"),
        (look(State.COMPLETED, 1), look(State.COMPLETED, 2, video=LINKED), "seen"),
        (look(State.COMPLETED, 1, video=LINKED), look(State.COMPLETED, 2), "known"),
        (look(State.COMPLETED, 1, video=LINKED), look(State.FAILED, 2), "known"),
        (look(State.COMPLETED, 1, video=LINKED, progress=1.0), look(State.COMPLETED, 2, video=LINKED), "known"),
    ],
)
def test_merge_keeps_better_look(known, seen, kept):
    """A final look stays, a link may be added to it, and of running looks the newest stays."""
    assert merge(known, seen) is (seen if kept == "seen" else known)


def test_has_link():
    """A link may be that of the video, of its original without a watermark, or of the picture."""
    there = [
        Generation(id="one", state=State.COMPLETED, video=LINKED),
        Generation(id="one", state=State.COMPLETED, video=Video(download_url="https://example.com/b.mp4")),
        Generation(id="one", state=State.COMPLETED, video=EMPTY, video_raw=LINKED),
        Generation(id="one", state=State.COMPLETED, image=Image(url="https://example.com/a.jpg")),
    ]
    missing = [
        Generation(id="one", state=State.COMPLETED),
        Generation(id="one", state=State.COMPLETED, video=EMPTY, video_raw=EMPTY, image=Image()),
    ]
    assert all(has_link(one) for one in there)
    assert not any(has_link(one) for one in missing)
    assert [finality(one) for one in itertools.chain(there, missing)] == [3] * 4 + [2] * 2


def test_lazy_look():
    """A lazy look is structured when its generation is read, and not before."""
    asked = []
    look = LazyLook(lambda: asked.append("once") or Generation(id="a", state=State.PENDING), 1.0)
    assert asked == []
    assert look.generation.state is State.PENDING
    assert asked == ["once"]
