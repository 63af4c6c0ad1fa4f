"""Which link a file is downloaded from."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from luma_async import Generation, Image, State, Video
from luma_async._download.links import (
    Action,
    Link,
    earliest_expiry,
    expires_at,
    is_fresh,
    is_picture,
    is_web_address,
    next_action,
    suffix_of,
    watermark_free_links,
)

NOW = datetime(2024, 10, 15, 9, 0, tzinfo=UTC)
CLEAN, RAW, MARKED = "https://cdn.example/clean.mp4", "https://cdn.example/raw.mp4", "https://cdn.example/marked.mp4"


def signed(url, minutes, live_s=3600):
    """Return an address that was signed so many minutes before now."""
    return (
        f"{url}?X-Amz-Date={NOW - timedelta(minutes=minutes):%Y%m%dT%H%M%SZ}&X-Amz-Expires={live_s}&X-Amz-Signature=00"
    )


def generation(**fields):
    return Generation(id="abc", state=State.COMPLETED, **fields)


FULL = generation(
    video=Video(url=MARKED, download_url=CLEAN, thumbnail_url="https://cdn.example/small.webp"),
    video_raw=Video(url=RAW),
    thumbnail=Image(url="https://cdn.example/thumb.jpg?w=1"),
    last_frame=Image(url="https://cdn.example/last.PNG"),
)
MARKED_ONLY = generation(video=Video(url=MARKED))
PICTURE = generation(image=Image(url="https://cdn.example/i.png"))
BARE = generation()


EXPIRIES = [
    (signed(CLEAN, minutes=0), NOW + timedelta(hours=1)),
    (signed(CLEAN, minutes=60), NOW),
    (f"{CLEAN}?X-Amz-Date=20241015T085653Z&X-Amz-Expires=60", datetime(2024, 10, 15, 8, 57, 53, tzinfo=UTC)),
    (CLEAN, None),
    (f"{CLEAN}?X-Amz-Date=20241015T085653Z", None),
    (f"{CLEAN}?X-Amz-Expires=60", None),
    (f"{CLEAN}?X-Amz-Date=yesterday&X-Amz-Expires=60", None),
    (f"{CLEAN}?X-Amz-Date=20241015T085653Z&X-Amz-Expires=soon", None),
    (f"{CLEAN}?X-Amz-Date=20241015T085653Z&X-Amz-Expires=" + "9" * 30, None),
    ("http://[", None),
]


@pytest.mark.parametrize(("url", "end"), EXPIRIES)
def test_expiry_of_presigned_link(url, end):
    """A link expires at its date plus its lifetime; a plain link, or unreadable dates, have no expiry."""
    assert expires_at(url) == end


def test_link_about_to_expire():
    """A link that expires within five seconds is not used; a plain link always is."""
    assert is_fresh(signed(CLEAN, minutes=59), NOW)
    assert not is_fresh(signed(CLEAN, minutes=0, live_s=4), NOW)
    assert not is_fresh(signed(CLEAN, minutes=61), NOW)
    assert is_fresh(CLEAN, NOW)


@pytest.mark.parametrize(
    ("seen", "kind", "names"),
    [
        (FULL, "video", ["video.download_url", "video_raw.url"]),
        (FULL, "thumbnail", ["thumbnail.url", "video.thumbnail_url"]),
        (FULL, "last_frame", ["last_frame.url"]),
        (MARKED_ONLY, "video", []),
        (MARKED_ONLY, "last_frame", []),
        (MARKED_ONLY, "thumbnail", []),
        (PICTURE, "video", ["image.url"]),
        (BARE, "video", []),
        (generation(video=Video(download_url="file:///etc/passwd")), "video", []),
        (generation(video=Video(download_url="")), "video", []),
    ],
)
def test_order_of_links(seen, kind, names):
    """The best link is first; watermarked links and other addresses than http(s) are left out."""
    assert [link.name for link in watermark_free_links(seen, kind)] == names


@pytest.mark.parametrize(
    ("url", "sound"),
    [
        (CLEAN, True),
        ("http://127.0.0.1:8080/a b.mp4", True),
        ("https://cdn.example/猫.mp4", True),
        ("ftp://cdn.example/x", False),
        ("//cdn.example/x", False),
        ("https:///x", False),
        ("/x.mp4", False),
        ("https://cdn.example/\r\nX-Evil: 1", False),
        ("http://[", False),
        ("", False),
    ],
)
def test_web_addresses(url, sound):
    """A link is an http(s) address with a host, and fits into a request line."""
    assert is_web_address(url) is sound


@pytest.mark.parametrize(
    ("seen", "kind", "suffix", "picture"),
    [
        (FULL, "video", ".mp4", False),
        (FULL, "thumbnail", ".jpg", True),
        (FULL, "last_frame", ".png", True),
        (PICTURE, "video", ".png", True),
        (BARE, "video", ".mp4", False),
        (BARE, "thumbnail", ".jpg", True),
        (generation(thumbnail=Image(url="https://cdn.example/x.exe")), "thumbnail", ".jpg", True),
    ],
)
def test_suffix_of_file(seen, kind, suffix, picture):
    """The suffix is .mp4 or that of a picture, whatever the service sends."""
    assert suffix_of(seen, kind) == suffix
    assert is_picture(seen, kind) is picture


OLD = generation(video=Video(download_url=signed(CLEAN, minutes=61), url=MARKED), video_raw=Video(url=RAW))
ALL_OLD = generation(video=Video(download_url=signed(CLEAN, minutes=61), url=MARKED))
REQUESTED = "https://cdn.example/answer.mp4"
ACTIONS = {
    "the best link": (FULL, {}, "video.download_url"),
    "the next link when it was rejected": (FULL, {"rejected_urls": {CLEAN}}, "video_raw.url"),
    "not an expired link": (OLD, {}, "video_raw.url"),
    "a fresh look when all were rejected": (FULL, {"rejected_urls": {CLEAN, RAW}}, Action.REFRESH),
    "a fresh look when all have expired": (ALL_OLD, {}, Action.REFRESH),
    "a fresh look when there is none": (BARE, {}, Action.REFRESH),
    "no request while it carries a link": (FULL, {"rejected_urls": {CLEAN, RAW}, "refreshed": True}, Action.NONE),
    "a request when it carries none": (BARE, {"refreshed": True}, Action.ASK),
    "a request when all have expired": (ALL_OLD, {"refreshed": True}, Action.ASK),
    "a request before a watermark": (MARKED_ONLY, {"refreshed": True, "watermark": "allow"}, Action.ASK),
    "no second request": (BARE, {"refreshed": True, "may_ask": False}, Action.NONE),
    "no request for a picture": (
        PICTURE,
        {"refreshed": True, "rejected_urls": {"https://cdn.example/i.png"}},
        Action.NONE,
    ),
    "no request for a thumbnail": (BARE, {"refreshed": True, "kind": "thumbnail"}, Action.NONE),
    "the requested link first": (BARE, {"requested_url": REQUESTED}, "link"),
    "not an expired requested link": (BARE, {"requested_url": signed(REQUESTED, minutes=61)}, Action.REFRESH),
    "no requested link for thumbnails": (BARE, {"requested_url": REQUESTED, "kind": "thumbnail"}, Action.REFRESH),
    "an expired link when nothing else is left": (ALL_OLD, {"refreshed": True, "may_ask": False}, "video.download_url"),
    "an expired requested link first of those": (
        ALL_OLD,
        {"refreshed": True, "may_ask": False, "requested_url": signed(REQUESTED, minutes=61)},
        "link",
    ),
    "no watermark unless allowed": (MARKED_ONLY, {"refreshed": True, "may_ask": False}, Action.NONE),
    "a watermark when allowed": (
        MARKED_ONLY,
        {"refreshed": True, "may_ask": False, "watermark": "allow"},
        "video.url",
    ),
    "no rejected watermark": (
        MARKED_ONLY,
        {"refreshed": True, "may_ask": False, "watermark": "allow", "rejected_urls": {MARKED}},
        Action.NONE,
    ),
    "no watermark for a thumbnail": (
        MARKED_ONLY,
        {"refreshed": True, "may_ask": False, "watermark": "allow", "kind": "thumbnail"},
        Action.NONE,
    ),
}


@pytest.mark.parametrize(("seen", "given", "expected"), ACTIONS.values(), ids=ACTIONS.keys())
def test_next_action(seen, given, expected):
    """First the links, then a fresh look, then the request for a link, then expired and watermarked links."""
    defaults = {
        "kind": "video",
        "watermark": "forbid",
        "requested_url": None,
        "rejected_urls": set(),
        "refreshed": False,
        "may_ask": True,
    }
    action = next_action(seen, **{**defaults, **given}, at=NOW)
    assert (action.name if isinstance(action, Link) else action) == expected


def test_earliest_expiry():
    """Of several links the first to expire counts; plain links never expire."""
    links = [Link(url=signed(CLEAN, minutes=m), name="x") for m in (5, 50)]
    assert earliest_expiry(links) == (NOW + timedelta(minutes=10)).timestamp()
    assert earliest_expiry([Link(url=CLEAN, name="x")]) == math.inf
    assert earliest_expiry([]) == math.inf


def test_repr_of_link():
    """The repr of a link does not contain its address."""
    assert "Signature" not in repr(Link(url=signed(CLEAN, 0), name="link"))
