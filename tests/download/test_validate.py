"""Whether a file is complete."""

from __future__ import annotations

from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async._download.validate import validate

CLIP = (resources.files("luma_async.testing") / "data" / "clip.mp4").read_bytes()
JPEG = (resources.files("luma_async.testing") / "data" / "thumb.jpg").read_bytes()


def box(kind, payload=b"", size=None, large=False):
    """Return an mp4 box; `size` is a wrong length."""
    length = 8 + len(payload) + 8 * large if size is None else size
    head = (1).to_bytes(4) + kind + length.to_bytes(8) if large else length.to_bytes(4) + kind
    return head + payload


FTYP, MOOV, MDAT = box(b"ftyp", b"isom"), box(b"moov", b"index"), box(b"mdat", b"frames" * 9)


def check(data, medium="mp4"):
    return validate(medium, len(data), lambda at: data[at : at + 16])


WHOLE = {
    "the clip": CLIP,
    "the clip and a free box": CLIP + box(b"free", b"x"),
    "the index last": FTYP + MDAT + MOOV,
    "a large box": FTYP + box(b"mdat", b"frames", large=True) + MOOV,
    "fragments": FTYP + MOOV + (box(b"moof") + MDAT) * 20,
    "the last box to the end": FTYP + MOOV + box(b"mdat", b"frames", size=0),
    "zeros after it": FTYP + MOOV + MDAT + bytes(100),
    "a few bytes after it": FTYP + MOOV + MDAT + b"abc",
    "an odd tail": FTYP + MOOV + MDAT + b"\0\0\0\x05tail",
    "a binary tail": FTYP + MOOV + MDAT + b"\xff" * 20,
    "more boxes than we read": FTYP + MOOV + MDAT + box(b"free") * 20_000,
}
BROKEN = {
    "empty": b"",
    "a page": b"<!doctype html><html></html>",
    "zeros": bytes(100),
    "a picture": JPEG,
    "too short": b"\0\0\0\x08",
    "a box without a size": b"\0\0\0\x04ftyp" + MOOV + MDAT,
    "no index": FTYP + MDAT,
    "no frames": FTYP + MOOV,
    "only a beginning": FTYP,
    "the beginning cut": FTYP[:10],
    "cut in the frames": FTYP + MOOV + MDAT[:-1],
    "cut in the index": FTYP + MDAT + MOOV[:-1],
    "cut in a head": FTYP + MDAT + MOOV[:6],
    "cut in a large box": FTYP + MOOV + box(b"mdat", b"frames", large=True)[:-1],
    "endless boxes": FTYP + box(b"free") * 20_000,
}


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE.keys())
def test_complete_video(data):
    """A video is complete when its boxes reach the end, in any order, with padding or without."""
    assert check(data) is None


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_incomplete_video(data):
    """Another file, a missing index and a missing end are found."""
    assert check(data)


@given(st.integers(0, len(CLIP) - 1))
def test_video_cut_anywhere(length):
    """The beginning of a video, of any length, is not a complete video."""
    assert check(CLIP[:length])


@given(st.binary(max_size=300))
def test_any_bytes(data):
    """Any bytes have a result, and none raise."""
    for medium in ("mp4", "picture"):
        assert check(data, medium) is None or isinstance(check(data, medium), str)


@pytest.mark.parametrize(
    ("data", "sound"),
    [
        (JPEG, True),
        (b"\x89PNG\r\n\x1a\n" + b"x", True),
        (b"RIFF\0\0\0\0WEBPVP8 ", True),
        (b"GIF89a", True),
        (b"<html>", False),
        (CLIP, False),
        (b"", False),
    ],
)
def test_pictures(data, sound):
    """JPEG, PNG, WebP and GIF files are pictures; a page or a video is not."""
    assert (check(data, "picture") is None) is sound
