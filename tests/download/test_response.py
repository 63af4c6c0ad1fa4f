"""What downloads decide: which link, what an answer means, whether a file is whole, and when to try again."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from importlib import resources

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import DamagedFile, DownloadError, Generation, Image, LinkGone, RetryPolicy, State, Video
from luma_async._download import response as downloading
from luma_async._download.links import (
    Action,
    Link,
    earliest_expiry,
    expires_at,
    is_good,
    is_picture,
    is_web_address,
    next_action,
    suffix_of,
    watermark_free_links,
)
from luma_async._download.response import (
    PROGRESS_BYTES,
    AttemptCounts,
    Complete,
    Mismatch,
    Partial,
    Receive,
    ResponseHead,
    Throughput,
    check_throughput,
    count_failure,
    dump_sidecar,
    follow,
    judge,
    load_sidecar,
    range_headers,
    repeat_download,
    resumable,
    source_of,
    strong,
    too_long,
)
from luma_async._download.validate import validate

NOW = datetime(2024, 10, 15, 9, 0, tzinfo=UTC)
CLEAN, RAW, MARKED = "https://cdn.example/clean.mp4", "https://cdn.example/raw.mp4", "https://cdn.example/marked.mp4"


def signed(url, minutes, live_s=3600):
    """A presigned address that was given out so many minutes before now."""
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
def test_a_presigned_link_tells_when_it_ends(url, end):
    """Date and lifetime give the end; a plain link, or dates that make no sense, give none."""
    assert expires_at(url) == end


def test_a_link_about_to_end_is_not_worth_a_connection():
    """A few seconds of life are too few; a plain link is always worth trying."""
    assert is_good(signed(CLEAN, minutes=59), NOW)
    assert not is_good(signed(CLEAN, minutes=0, live_s=4), NOW)
    assert not is_good(signed(CLEAN, minutes=61), NOW)
    assert is_good(CLEAN, NOW)


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
def test_clean_links_come_in_order(seen, kind, names):
    """The best first; a watermarked one and what is no web address never."""
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
def test_only_web_addresses_are_links(url, sound):
    """http(s) with a host, and nothing that would break a request line."""
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
def test_the_ending_of_a_name_is_that_of_a_picture_or_mp4(seen, kind, suffix, picture):
    """A service cannot choose the ending of a file."""
    assert suffix_of(seen, kind) == suffix
    assert is_picture(seen, kind) is picture


OLD = generation(video=Video(download_url=signed(CLEAN, minutes=61), url=MARKED), video_raw=Video(url=RAW))
ALL_OLD = generation(video=Video(download_url=signed(CLEAN, minutes=61), url=MARKED))
ANSWER = "https://cdn.example/answer.mp4"
STEPS = {
    "the best link": (FULL, {}, "video.download_url"),
    "the next one when it was refused": (FULL, {"spent": {CLEAN}}, "video_raw.url"),
    "an expired one is passed over": (OLD, {}, "video_raw.url"),
    "a fresh look when all were refused": (FULL, {"spent": {CLEAN, RAW}}, Action.REFRESH),
    "a fresh look when all have expired": (ALL_OLD, {}, Action.REFRESH),
    "a fresh look when there is none": (BARE, {}, Action.REFRESH),
    "no question while it carries a link": (FULL, {"spent": {CLEAN, RAW}, "refreshed": True}, Action.NONE),
    "the question when it carries none": (BARE, {"refreshed": True}, Action.ASK),
    "the question when all have expired": (ALL_OLD, {"refreshed": True}, Action.ASK),
    "the question before a watermark": (MARKED_ONLY, {"refreshed": True, "watermark": "allow"}, Action.ASK),
    "no second question": (BARE, {"refreshed": True, "may_ask": False}, Action.NONE),
    "no question about a picture": (PICTURE, {"refreshed": True, "spent": {"https://cdn.example/i.png"}}, Action.NONE),
    "no question about a thumbnail": (BARE, {"refreshed": True, "kind": "thumbnail"}, Action.NONE),
    "a kept answer at once": (BARE, {"answer": ANSWER}, "link"),
    "an expired answer is no help": (BARE, {"answer": signed(ANSWER, minutes=61)}, Action.REFRESH),
    "a kept answer is not for thumbnails": (BARE, {"answer": ANSWER, "kind": "thumbnail"}, Action.REFRESH),
    "an expired link when nothing else is left": (ALL_OLD, {"refreshed": True, "may_ask": False}, "video.download_url"),
    "an expired answer first of those": (
        ALL_OLD,
        {"refreshed": True, "may_ask": False, "answer": signed(ANSWER, minutes=61)},
        "link",
    ),
    "no watermark unasked": (MARKED_ONLY, {"refreshed": True, "may_ask": False}, Action.NONE),
    "a watermark when it will do": (
        MARKED_ONLY,
        {"refreshed": True, "may_ask": False, "watermark": "allow"},
        "video.url",
    ),
    "no refused watermark": (
        MARKED_ONLY,
        {"refreshed": True, "may_ask": False, "watermark": "allow", "spent": {MARKED}},
        Action.NONE,
    ),
    "a watermark is not a thumbnail": (
        MARKED_ONLY,
        {"refreshed": True, "may_ask": False, "watermark": "allow", "kind": "thumbnail"},
        Action.NONE,
    ),
}


@pytest.mark.parametrize(("seen", "given", "expected"), STEPS.values(), ids=STEPS.keys())
def test_the_next_step_of_a_search(seen, given, expected):
    """Links, then a fresh look, then the question that may cost, then what is left."""
    defaults = {
        "kind": "video",
        "watermark": "forbid",
        "answer": None,
        "spent": set(),
        "refreshed": False,
        "may_ask": True,
    }
    step = next_action(seen, **{**defaults, **given}, at=NOW)
    assert (step.name if isinstance(step, Link) else step) == expected


def test_those_whose_links_end_first_go_first():
    """Urgency is the end of the first link to end; plain links can wait."""
    links = [Link(url=signed(CLEAN, minutes=m), name="x") for m in (5, 50)]
    assert earliest_expiry(links) == (NOW + timedelta(minutes=10)).timestamp()
    assert earliest_expiry([Link(url=CLEAN, name="x")]) == math.inf
    assert earliest_expiry([]) == math.inf


def test_a_link_keeps_its_signature_to_itself():
    """The repr of a link shows no address."""
    assert "Signature" not in repr(Link(url=signed(CLEAN, 0), name="link"))


KEPT = Partial(size_bytes=100, source="s", etag='"v1"')
MP4 = ResponseHead(status=200, host="cdn", etag='"v1"', length_bytes=1000, content_type="video/mp4")
REST = ResponseHead(status=206, host="cdn", etag='"v1"', length_bytes=900, content_range="bytes 100-999/1000")
evolve = attrs.evolve
VERDICTS = {
    "whole": (MP4, None, Receive(start_bytes=0, total_bytes=1000, etag='"v1"')),
    "whole instead of the rest": (MP4, KEPT, Receive(start_bytes=0, total_bytes=1000, etag='"v1"')),
    "whole, of no told length": (
        evolve(MP4, length_bytes=None),
        None,
        Receive(start_bytes=0, total_bytes=None, etag='"v1"'),
    ),
    "whole, with a weak ETag": (evolve(MP4, etag='W/"v1"'), None, Receive(start_bytes=0, total_bytes=1000, etag=None)),
    "whole, of no type": (evolve(MP4, content_type=""), None, Receive(start_bytes=0, total_bytes=1000, etag='"v1"')),
    "whole, said to be unpacked": (
        evolve(MP4, content_encoding="identity"),
        None,
        Receive(start_bytes=0, total_bytes=1000, etag='"v1"'),
    ),
    "packed": (evolve(MP4, content_encoding="gzip"), None, DamagedFile),
    "a web page": (evolve(MP4, content_type="text/html"), KEPT, DamagedFile),
    "the rest": (REST, KEPT, Receive(start_bytes=100, total_bytes=1000, etag='"v1"')),
    "the rest, without an ETag": (evolve(REST, etag=""), KEPT, Receive(start_bytes=100, total_bytes=1000, etag='"v1"')),
    "the rest, of no told length": (
        evolve(REST, content_range="bytes 100-999/*", length_bytes=None),
        KEPT,
        Receive(start_bytes=100, total_bytes=None, etag='"v1"'),
    ),
    "a piece of the rest": (
        evolve(REST, content_range="bytes 100-199/1000", length_bytes=100),
        KEPT,
        Receive(start_bytes=100, total_bytes=1000, etag='"v1"'),
    ),
    "a part nobody asked for": (REST, None, Mismatch),
    "a part of no place": (evolve(REST, content_range=""), KEPT, Mismatch),
    "several parts": (evolve(REST, content_range="", content_type="multipart/byteranges"), KEPT, Mismatch),
    "another part": (evolve(REST, content_range="bytes 0-899/1000"), KEPT, Mismatch),
    "a part of another file": (evolve(REST, etag='"v2"'), KEPT, Mismatch),
    "a part of a weakly equal file": (evolve(REST, etag='W/"v1"'), KEPT, Mismatch),
    "a part of another length": (evolve(REST, length_bytes=901), KEPT, Mismatch),
    "a part beyond the end": (evolve(REST, content_range="bytes 100-999/999"), KEPT, Mismatch),
    "a part that ends before it begins": (
        evolve(REST, content_range="bytes 100-99/1000", length_bytes=0),
        KEPT,
        Mismatch,
    ),
    "a packed part": (evolve(REST, content_encoding="br"), KEPT, Mismatch),
    "nothing is missing": (ResponseHead(status=416, content_range="bytes */100"), KEPT, Complete()),
    "more is here than there is": (ResponseHead(status=416, content_range="bytes */99"), KEPT, Mismatch),
    "a refused range": (ResponseHead(status=416), KEPT, Mismatch),
    "a range nobody asked for": (ResponseHead(status=416, content_range="bytes */100"), None, LinkGone),
    **{str(status): (ResponseHead(status=status), None, LinkGone) for status in (400, 401, 403, 404, 405, 410, 451)},
    **{str(status): (ResponseHead(status=status), None, LinkGone) for status in (300, 301, 302, 303, 304, 307, 308)},
    **{
        str(status): (ResponseHead(status=status), KEPT, DownloadError)
        for status in (408, 425, 429, 500, 502, 503, 504, 529)
    },
    **{str(status): (ResponseHead(status=status), None, DownloadError) for status in (100, 201, 202, 204, 600, 999)},
}


@pytest.mark.parametrize(("head", "kept", "expected"), VERDICTS.values(), ids=VERDICTS.keys())
def test_what_an_answer_means(head, kept, expected):
    """Each answer of a file server has one meaning; none is taken for the file that may be something else."""
    verdict = judge(head, kept)
    assert (type(verdict) if isinstance(expected, type) else verdict) == expected


@given(
    st.integers(100, 599),
    st.sampled_from(["", '"v1"', 'W/"v1"', '"v2"', "v1"]),
    st.none() | st.integers(0, 2000),
    st.text(max_size=30) | st.from_regex(r"bytes [0-9]{1,4}-[0-9]{1,4}/([0-9]{1,4}|\*)", fullmatch=True),
    st.sampled_from([None, KEPT]),
)
def test_bytes_are_appended_only_where_they_belong(status, etag, length, content_range, kept):
    """Whatever a server says, a body is taken from the first byte, or from exactly where ours ends."""
    head = ResponseHead(status=status, etag=etag, length_bytes=length, content_range=content_range)
    verdict = judge(head, kept)
    if isinstance(verdict, Receive):
        assert verdict.start_bytes == 0 or (status == 206 and verdict.start_bytes == kept.size_bytes)
        assert verdict.etag is None or verdict.etag == strong(verdict.etag)


@pytest.mark.parametrize(
    ("etag", "expected"),
    [
        ('"abc"', '"abc"'),
        ('"d41d8cd9-12"', '"d41d8cd9-12"'),
        ('W/"abc"', None),
        ("abc", None),
        ('""', None),
        ("", None),
        ('"a"b"', None),
        ('"a\r\nX-Evil: 1"', None),
        ('"ü"', None),
        ('"' + "x" * 201 + '"', None),
    ],
)
def test_only_a_strong_etag_is_gone_on_with(etag, expected):
    """A weak one stands for similar bytes, and what could break a header is none."""
    assert strong(etag) == expected


def test_a_note_survives_and_a_broken_one_is_none():
    """What is written beside a `.part` reads back; garbage there means to begin again."""
    assert load_sidecar(dump_sidecar("s", '"v1"'), 100) == KEPT
    for note in ("", "{", "[]", "null", "[" * 100_000, '{"source": "s"}', '{"source": 1, "etag": "\\"v1\\""}'):
        assert load_sidecar(note.encode(), 100) is None
    assert load_sidecar(b"\xff\xfe\x00", 100) is None
    assert load_sidecar(dump_sidecar("s", 'W/"v1"'), 100) is None


def test_only_something_of_this_very_file_is_gone_on_with():
    """Another generation's leftovers, an empty `.part` and none at all begin again."""
    assert resumable(KEPT, "s") is KEPT
    assert resumable(KEPT, "another") is None
    assert resumable(evolve(KEPT, size_bytes=0), "s") is None
    assert resumable(None, "s") is None


def test_the_rest_is_asked_for_under_its_etag():
    """A range goes with If-Range, and no range without something kept."""
    assert range_headers(KEPT) == {"Range": "bytes=100-", "If-Range": '"v1"'}
    assert range_headers(None) == {}


def test_a_fresh_link_to_a_file_is_the_same_source():
    """The signature does not count; the generation, the kind of link and the path do, and none can be read from it."""
    links = [Link(url=signed(CLEAN, minutes=m), name="video.download_url") for m in (0, 50)]
    sources = {source_of("abc", link) for link in links}
    others = {
        source_of("other", links[0]),
        source_of("abc", evolve(links[0], name="video.url")),
        source_of("abc", evolve(links[0], url=RAW)),
    }
    assert len(sources) == 1
    assert len(sources | others) == 4
    assert "cdn" not in "".join(sources)


REDIRECTS = [
    ("https://a.example/x", 302, "https://b.example/y", 0, "https://b.example/y"),
    ("https://a.example/x", 301, "/y?z=1", 0, "https://a.example/y?z=1"),
    ("http://a.example/x", 307, "https://b.example/y", 4, "https://b.example/y"),
    ("http://a.example/x", 308, "http://b.example/y", 0, "http://b.example/y"),
    ("https://a.example/x", 303, "http://b.example/y", 0, None),
    ("https://a.example/x", 302, "file:///etc/passwd", 0, None),
    ("https://a.example/x", 302, "", 0, None),
    ("https://a.example/x", 302, "http://[", 0, None),
    ("https://a.example/x", 302, "https://b.example/y", 5, None),
    ("https://a.example/x", 304, "https://b.example/y", 0, None),
    ("https://a.example/x", 200, "https://b.example/y", 0, None),
]


@pytest.mark.parametrize(("url", "status", "location", "hops", "expected"), REDIRECTS)
def test_redirects_lead_only_where_it_is_safe(url, status, location, hops, expected):
    """A few hops, to http(s) alone, and never from https down to http."""
    assert follow(url, ResponseHead(status=status), location, hops) == expected


def test_a_body_has_an_end(monkeypatch):
    """Never more than was told, and without a told length never more than the cap."""
    monkeypatch.setattr(downloading, "CAP_BYTES", 5000)
    assert not too_long(1000, 1000)
    assert too_long(1001, 1000)
    assert not too_long(5000, None)
    assert too_long(5001, None)


def test_a_trickle_counts_as_a_stall():
    """Below the floor for the whole span is too slow; above it the mark moves on."""
    pace = Throughput(at_s=0.0, at_bytes=0)
    assert check_throughput(pace, received_bytes=1, now_s=29.9, stall_s=30) is pace
    assert check_throughput(pace, received_bytes=30_000, now_s=30, stall_s=30) is None
    assert check_throughput(pace, received_bytes=30 * 1024, now_s=30, stall_s=30) == Throughput(
        at_s=30, at_bytes=30 * 1024
    )


@given(st.floats(0, 1023), st.floats(0.01, 5))
def test_no_trickle_goes_on_for_ever(bytes_per_s, every_s):
    """Any steady trickle below the floor is found out within two spans."""
    pace = Throughput(at_s=0.0, at_bytes=0)
    now = 0.0
    while pace is not None:
        now += every_s
        assert now <= 2 * 30 + every_s
        pace = check_throughput(pace, received_bytes=int(now * bytes_per_s), now_s=now, stall_s=30)


POLICY = RetryPolicy(attempts=5, first_delay=1, max_delay=8)


def repeat(error, tries, **more):
    return repeat_download(error, tries, policy=POLICY, jitter=1.0, named_s=more.get("named_s"))


def test_trouble_is_waited_out_and_then_given_up():
    """Delays double up to the policy's attempts; a delay that the server names comes on top."""
    error, tries, delays = DownloadError(message="cut"), AttemptCounts(), []
    while True:
        tries = count_failure(tries, error, 0)
        delay_s = repeat(error, tries)
        if delay_s is None:
            break
        delays.append(delay_s)
    assert delays == [1, 2, 4, 8]
    assert repeat(error, AttemptCounts(without_progress=1), named_s=7) == 8
    assert repeat(error, AttemptCounts(without_progress=1), named_s=3600) is None


def test_an_attempt_that_brings_much_is_not_counted():
    """A large file over a bad line takes as many attempts as it needs; going in circles does not."""
    error, tries = DownloadError(message="cut"), AttemptCounts()
    for received in range(PROGRESS_BYTES, 50 * PROGRESS_BYTES, PROGRESS_BYTES):
        tries = count_failure(tries, error, received)
        assert tries.without_progress == 1
    for turn in range(2, 6):
        tries = count_failure(tries, error, 10 * PROGRESS_BYTES)
        assert tries.without_progress == turn
    assert repeat(error, tries) is None


def test_damage_is_not_fetched_for_ever():
    """What is not the file thrice is given up, however much of it came."""
    error, tries = DamagedFile(message="a page"), AttemptCounts()
    for _ in range(2):
        tries = count_failure(tries, error, 0)
        assert repeat(error, tries) is not None
    assert repeat(error, count_failure(tries, error, 0)) is None


def test_without_a_link_there_is_no_other_attempt():
    """LinkGone is the end: all remedies were tried by then."""
    assert repeat(LinkGone(message="gone"), AttemptCounts(without_progress=1)) is None


CLIP = (resources.files("luma_async.testing") / "data" / "clip.mp4").read_bytes()
JPEG = (resources.files("luma_async.testing") / "data" / "thumb.jpg").read_bytes()


def box(kind, payload=b"", size=None, large=False):
    """An mp4 box; `size` lies about its length."""
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
    "zeros behind": FTYP + MOOV + MDAT + bytes(100),
    "a few bytes behind": FTYP + MOOV + MDAT + b"abc",
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
    "a box of no size": b"\0\0\0\x04ftyp" + MOOV + MDAT,
    "no index": FTYP + MDAT,
    "no frames": FTYP + MOOV,
    "only a beginning": FTYP,
    "the beginning cut": FTYP[:10],
    "cut in the frames": FTYP + MOOV + MDAT[:-1],
    "cut in the index": FTYP + MDAT + MOOV[:-1],
    "cut in a head": FTYP + MDAT + MOOV[:6],
    "cut in a large box": FTYP + MOOV + box(b"mdat", b"frames", large=True)[:-1],
    "boxes for ever": FTYP + box(b"free") * 20_000,
}


@pytest.mark.parametrize("data", WHOLE.values(), ids=WHOLE.keys())
def test_a_whole_video_is_taken(data):
    """Its boxes reach its end, in any order, and padding behind them harms nobody."""
    assert check(data) is None


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN.keys())
def test_what_is_not_a_whole_video_is_found_out(data):
    """Another file, a missing index and a cut away end are told apart from a video."""
    assert check(data)


@given(st.integers(0, len(CLIP) - 1))
def test_the_clip_cut_anywhere_is_found_out(length):
    """Whatever length a server lied about, a part of the clip is not the clip."""
    assert check(CLIP[:length])


@given(st.binary(max_size=300))
def test_no_bytes_confuse_the_check(data):
    """Any bytes get a verdict."""
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
def test_a_picture_is_known_by_its_first_bytes(data, sound):
    """JPEG, PNG, WebP and GIF are pictures; a page or a video is none."""
    assert (check(data, "picture") is None) is sound
