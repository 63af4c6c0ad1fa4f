"""What a file server's response means, what is resumed, and when an attempt is repeated."""

from __future__ import annotations

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luma_async import DamagedFile, DownloadError, LinkGone, RetryPolicy
from luma_async._download import response
from luma_async._download.links import Link
from luma_async._download.response import (
    MAX_FILE_BYTES,
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
    resumable,
    retry_delay,
    source_of,
    strong_etag,
    too_long,
)

CLEAN, RAW = "https://cdn.example/clean.mp4", "https://cdn.example/raw.mp4"
PARTIAL = Partial(size_bytes=100, source="s", etag='"v1"')
MP4 = ResponseHead(status=200, host="cdn", etag='"v1"', length_bytes=1000, content_type="video/mp4")
REST = ResponseHead(status=206, host="cdn", etag='"v1"', length_bytes=900, content_range="bytes 100-999/1000")
evolve = attrs.evolve
VERDICTS = {
    "whole": (MP4, None, Receive(start_bytes=0, total_bytes=1000, etag='"v1"')),
    "whole instead of the rest": (MP4, PARTIAL, Receive(start_bytes=0, total_bytes=1000, etag='"v1"')),
    "whole, without a length": (
        evolve(MP4, length_bytes=None),
        None,
        Receive(start_bytes=0, total_bytes=None, etag='"v1"'),
    ),
    "whole, with a weak ETag": (evolve(MP4, etag='W/"v1"'), None, Receive(start_bytes=0, total_bytes=1000, etag=None)),
    "whole, without a type": (
        evolve(MP4, content_type=""),
        None,
        Receive(start_bytes=0, total_bytes=1000, etag='"v1"'),
    ),
    "whole, with identity encoding": (
        evolve(MP4, content_encoding="identity"),
        None,
        Receive(start_bytes=0, total_bytes=1000, etag='"v1"'),
    ),
    "compressed": (evolve(MP4, content_encoding="gzip"), None, DamagedFile),
    "a web page": (evolve(MP4, content_type="text/html"), PARTIAL, DamagedFile),
    "the rest": (REST, PARTIAL, Receive(start_bytes=100, total_bytes=1000, etag='"v1"')),
    "the rest, without an ETag": (
        evolve(REST, etag=""),
        PARTIAL,
        Receive(start_bytes=100, total_bytes=1000, etag='"v1"'),
    ),
    "the rest, without a length": (
        evolve(REST, content_range="bytes 100-999/*", length_bytes=None),
        PARTIAL,
        Receive(start_bytes=100, total_bytes=None, etag='"v1"'),
    ),
    "a piece of the rest": (
        evolve(REST, content_range="bytes 100-199/1000", length_bytes=100),
        PARTIAL,
        Receive(start_bytes=100, total_bytes=1000, etag='"v1"'),
    ),
    "a range without a request": (REST, None, Mismatch),
    "a range without Content-Range": (evolve(REST, content_range=""), PARTIAL, Mismatch),
    "several ranges": (evolve(REST, content_range="", content_type="multipart/byteranges"), PARTIAL, Mismatch),
    "another range": (evolve(REST, content_range="bytes 0-899/1000"), PARTIAL, Mismatch),
    "a range of another file": (evolve(REST, etag='"v2"'), PARTIAL, Mismatch),
    "a range with a weak ETag": (evolve(REST, etag='W/"v1"'), PARTIAL, Mismatch),
    "a larger length than any file": (evolve(MP4, length_bytes=MAX_FILE_BYTES + 1), None, DamagedFile),
    "a larger range than any file": (
        evolve(REST, content_range=f"bytes 100-999/{MAX_FILE_BYTES + 1}", length_bytes=900),
        PARTIAL,
        DamagedFile,
    ),
    "a range that ends too late": (
        evolve(REST, content_range=f"bytes 100-{MAX_FILE_BYTES}/*", length_bytes=None),
        PARTIAL,
        DamagedFile,
    ),
    "a JSON document": (evolve(MP4, content_type="application/json"), None, DamagedFile),
    "a range of another length": (evolve(REST, length_bytes=901), PARTIAL, Mismatch),
    "a range beyond the end": (evolve(REST, content_range="bytes 100-999/999"), PARTIAL, Mismatch),
    "a range that ends before it begins": (
        evolve(REST, content_range="bytes 100-99/1000", length_bytes=0),
        PARTIAL,
        Mismatch,
    ),
    "a page as a range": (evolve(REST, content_type="text/html"), PARTIAL, DamagedFile),
    "a compressed range": (evolve(REST, content_encoding="br"), PARTIAL, Mismatch),
    "nothing is missing": (ResponseHead(status=416, content_range="bytes */100"), PARTIAL, Complete()),
    "a longer partial file": (ResponseHead(status=416, content_range="bytes */99"), PARTIAL, Mismatch),
    "a refused range": (ResponseHead(status=416), PARTIAL, Mismatch),
    "a 416 without a range": (ResponseHead(status=416, content_range="bytes */100"), None, LinkGone),
    **{str(status): (ResponseHead(status=status), None, LinkGone) for status in (400, 401, 403, 404, 405, 410, 451)},
    **{str(status): (ResponseHead(status=status), None, LinkGone) for status in (300, 301, 302, 303, 304, 307, 308)},
    **{
        str(status): (ResponseHead(status=status), PARTIAL, DownloadError)
        for status in (408, 425, 429, 500, 502, 503, 504, 529)
    },
    **{str(status): (ResponseHead(status=status), None, DownloadError) for status in (100, 201, 202, 204, 600, 999)},
}


@pytest.mark.parametrize(("head", "partial", "expected"), VERDICTS.values(), ids=VERDICTS.keys())
def test_meaning_of_response(head, partial, expected):
    """Each response has one meaning, and only the file or its rest is received."""
    verdict = judge(head, partial)
    assert (type(verdict) if isinstance(expected, type) else verdict) == expected


@given(
    st.integers(100, 599),
    st.sampled_from(["", '"v1"', 'W/"v1"', '"v2"', "v1"]),
    st.none() | st.integers(0, 2000),
    st.text(max_size=30) | st.from_regex(r"bytes [0-9]{1,4}-[0-9]{1,4}/([0-9]{1,4}|\*)", fullmatch=True),
    st.sampled_from([None, PARTIAL]),
)
def test_start_of_received_bytes(status, etag, length, content_range, partial):
    """Whatever a server sends, a body is written from byte 0 or from exactly the end of the partial file."""
    head = ResponseHead(status=status, etag=etag, length_bytes=length, content_range=content_range)
    verdict = judge(head, partial)
    if isinstance(verdict, Receive):
        assert verdict.start_bytes == 0 or (status == 206 and verdict.start_bytes == partial.size_bytes)
        assert verdict.etag is None or verdict.etag == strong_etag(verdict.etag)


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
def test_strong_etag(etag, expected):
    """A weak ETag, and one that could break a header, are not used."""
    assert strong_etag(etag) == expected


def test_sidecar():
    """A sidecar is read as it was written, and an invalid sidecar is None."""
    assert load_sidecar(dump_sidecar("s", '"v1"'), 100) == PARTIAL
    for text in ("", "{", "[]", "null", "[" * 100_000, '{"source": "s"}', '{"source": 1, "etag": "\\"v1\\""}'):
        assert load_sidecar(text.encode(), 100) is None
    assert load_sidecar(b"\xff\xfe\x00", 100) is None
    assert load_sidecar(dump_sidecar("s", 'W/"v1"'), 100) is None


def test_resumable_part():
    """A `.part` of another source, and an empty one, are not resumed."""
    assert resumable(PARTIAL, "s") is PARTIAL
    assert resumable(PARTIAL, "another") is None
    assert resumable(evolve(PARTIAL, size_bytes=0), "s") is None
    assert resumable(None, "s") is None


def test_range_headers():
    """A range is requested with If-Range, and only for a partial file."""
    assert range_headers(PARTIAL) == {"Range": "bytes=100-", "If-Range": '"v1"'}
    assert range_headers(None) == {}


def test_source_of_link():
    """The source depends on the generation, the kind of link and the path, but not on the signature."""
    links = [Link(url=f"{CLEAN}?X-Amz-Signature={m}", name="video.download_url") for m in (0, 50)]
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
def test_redirects(url, status, location, hops, expected):
    """At most five redirects are followed, to http(s) only, and never from https to http."""
    assert follow(url, ResponseHead(status=status), location, hops) == expected


def test_body_too_long(monkeypatch):
    """A body is limited by the announced length, or else by MAX_FILE_BYTES."""
    monkeypatch.setattr(response, "MAX_FILE_BYTES", 5000)
    assert not too_long(1000, 1000)
    assert too_long(1001, 1000)
    assert not too_long(5000, None)
    assert too_long(5001, None)


def test_slow_throughput():
    """Fewer bytes than the minimum during `stall_s` are too slow; more move the point of measurement."""
    since = Throughput(at_s=0.0, at_bytes=0)
    assert check_throughput(since, received_bytes=1, now_s=29.9, stall_s=30) is since
    assert check_throughput(since, received_bytes=30_000, now_s=30, stall_s=30) is None
    assert check_throughput(since, received_bytes=30 * 1024, now_s=30, stall_s=30) == Throughput(
        at_s=30, at_bytes=30 * 1024
    )


@given(st.floats(0, 1023), st.floats(0.01, 5))
def test_constant_slow_throughput(bytes_per_s, every_s):
    """Any constant speed below the minimum is found within twice `stall_s`."""
    since = Throughput(at_s=0.0, at_bytes=0)
    now = 0.0
    while since is not None:
        now += every_s
        assert now <= 2 * 30 + every_s
        since = check_throughput(since, received_bytes=int(now * bytes_per_s), now_s=now, stall_s=30)


POLICY = RetryPolicy(attempts=5, first_delay=1, max_delay=8)


def delay_after(error, counts, retry_after_s=None):
    return retry_delay(error, counts, policy=POLICY, jitter=1.0, retry_after_s=retry_after_s)


def test_retry_delays():
    """Delays double up to the policy's attempts; the server's Retry-After is added."""
    error, counts, delays = DownloadError(message="cut"), AttemptCounts(), []
    while True:
        counts = count_failure(counts, error, 0)
        delay_s = delay_after(error, counts)
        if delay_s is None:
            break
        delays.append(delay_s)
    assert delays == [1, 2, 4, 8]
    assert delay_after(error, AttemptCounts(without_progress=1), retry_after_s=7) == 8
    assert delay_after(error, AttemptCounts(without_progress=1), retry_after_s=3600) is None


def test_attempt_with_progress():
    """An attempt that receives a megabyte more than any before is not counted."""
    error, counts = DownloadError(message="cut"), AttemptCounts()
    for received in range(PROGRESS_BYTES, 50 * PROGRESS_BYTES, PROGRESS_BYTES):
        counts = count_failure(counts, error, received)
        assert counts.without_progress == 1
    for turn in range(2, 6):
        counts = count_failure(counts, error, 10 * PROGRESS_BYTES)
        assert counts.without_progress == turn
    assert delay_after(error, counts) is None


def test_damaged_attempts():
    """Three attempts that receive something else than the file end the download."""
    error, counts = DamagedFile(message="a page"), AttemptCounts()
    for _ in range(2):
        counts = count_failure(counts, error, 0)
        assert delay_after(error, counts) is not None
    assert delay_after(error, count_failure(counts, error, 0)) is None


def test_no_retry_after_link_gone():
    """LinkGone ends the download, because every way to get a link was tried before."""
    assert delay_after(LinkGone(message="gone"), AttemptCounts(without_progress=1)) is None
