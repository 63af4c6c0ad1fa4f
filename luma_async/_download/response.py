"""What a file server's response means, when a `.part` can be resumed, and when to try again.

```
response                                           meaning
200, a body without encoding, not HTML             the file from its beginning
206 from the byte that was requested               the rest of the file
206 otherwise, 416                                 the partial file does not match: start again
416 with the size of the partial file              nothing is missing
3xx that is not followed, other 4xx                the link does not work: find another
408, 425, 429, 5xx, other 1xx and 2xx              a temporary failure: try again later
200 or 206 with HTML or JSON, 200 with encoding    not the file
200 or 206 of more than MAX_FILE_BYTES             not the file
```

Storage may get a file only after the service has reported the generation as completed. Until then it answers 404, 403,
or something else of `_NOT_YET`. So for PUBLISHING_S after the completion these answers are temporary failures too.

A `.part` is resumed only with `If-Range` and a strong ETag. The ETag is kept in a sidecar file, together with the
source that the bytes came from. The server then sends the rest of the same file, or the whole new one.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, TypeAlias, cast
from urllib.parse import urljoin, urlsplit

import attrs

from luma_async._download.links import Link, is_web_address
from luma_async._http.retry import delay_before
from luma_async.values.errors import DamagedFile, DownloadError, LinkGone

if TYPE_CHECKING:
    from luma_async.values.settings import RetryPolicy

MAX_FILE_BYTES = 4 * 1024**3
"""The largest file that is received: tens of times the largest clip."""
PUBLISHING_S = 120.0
"""How long after the completion the storage may still lack the file. Assumed: reports name a few seconds."""
MAX_REDIRECTS = 5
"""Storage behind a CDN takes one or two."""
MIN_BYTES_PER_S = 1024
"""At less than this a clip of 4 MB takes longer than the hour that its link lives."""
PROGRESS_BYTES = 1024 * 1024
"""An attempt that receives this much more is not counted: over a bad line a large file takes many attempts."""
_MAX_DAMAGED_ATTEMPTS = 3
"""Each may transfer the whole file; a server that sent something else three times will send it again."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_TEMPORARY_4XX = frozenset({408, 425, 429})
_NOT_YET = frozenset({202, 204, 400, 403, 404, 409, 425})
_OTHER_TYPES = {
    "text/html": "an HTML page",
    "application/xhtml+xml": "an HTML page",
    "application/json": "a JSON document",
}
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,200}"')
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_UNSATISFIED_RANGE = re.compile(r"bytes \*/([0-9]{1,18})")


@attrs.frozen(kw_only=True)
class ResponseHead:
    """The status and headers of a response."""

    status: int
    """The HTTP status."""
    host: str = ""
    """The server, for messages."""
    etag: str = ""
    """The ETag, as received."""
    length_bytes: int | None = None
    """The length of the body; None when it is not announced."""
    content_range: str = ""
    """The Content-Range, as received."""
    content_type: str = ""
    """The media type, in lower case, without parameters."""
    content_encoding: str = ""
    """The Content-Encoding, in lower case; empty for none."""
    retry_after_s: float | None = None
    """The Retry-After in seconds, if there is one."""


@attrs.frozen(kw_only=True)
class Partial:
    """What an earlier attempt left of a file."""

    size_bytes: int
    """How many bytes there are."""
    source: str
    """Where they came from, as `source_of()` returns it."""
    etag: str
    """The strong ETag of the file."""


@attrs.frozen(kw_only=True)
class Receive:
    """The body is the file from a certain byte on."""

    start_bytes: int
    """That byte."""
    total_bytes: int | None
    """The size of the whole file; None when it is not announced."""
    etag: str | None
    """Its strong ETag, if it has one."""


@attrs.frozen(kw_only=True)
class Complete:
    """Nothing is missing."""


@attrs.frozen(kw_only=True)
class Mismatch:
    """The partial file cannot be resumed."""

    reason: str
    """Why not, for people."""


Verdict: TypeAlias = Receive | Complete | Mismatch | DownloadError
"""What a response means; `LinkGone` and `DamagedFile` are among the errors."""


def source_of(generation_id: str, link: Link) -> str:
    """Return a digest that is the same for every link to one file, whatever its signature."""
    address = link.url.partition("?")[0]
    return hashlib.sha256(f"{generation_id}\n{link.name}\n{address}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def dump_sidecar(source: str, etag: str) -> bytes:
    """Encode the sidecar of a `.part`."""
    return json.dumps({"source": source, "etag": etag}).encode()


def load_sidecar(text: bytes, size_bytes: int) -> Partial | None:
    """Decode the sidecar of a `.part` of this size; None when it cannot be read."""
    try:
        fields: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    source, etag = (cast("dict[str, Any]", fields).get(name) for name in ("source", "etag"))
    if not isinstance(source, str) or not isinstance(etag, str) or strong_etag(etag) is None:
        return None
    return Partial(size_bytes=size_bytes, source=source, etag=etag)


def resumable(partial: Partial | None, source: str) -> Partial | None:
    """Return the partial file if it is not empty and came from this source."""
    return partial if partial is not None and partial.source == source and partial.size_bytes > 0 else None


def strong_etag(etag: str) -> str | None:
    """Return an ETag if it is strong and safe to send back."""
    return etag if _STRONG_ETAG.fullmatch(etag) else None


def range_headers(partial: Partial | None) -> dict[str, str]:
    """Return the headers that request the rest of a file."""
    return {"Range": f"bytes={partial.size_bytes}-", "If-Range": partial.etag} if partial is not None else {}


def follow(url: str, head: ResponseHead, location: str, hops: int) -> str | None:
    """Return the address that a redirect leads to, or None if it is not followed.

    Args:
        url: the address that was requested.
        head: the response.
        location: its Location header.
        hops: how many redirects were followed before.
    """
    if head.status not in _REDIRECTS or hops >= MAX_REDIRECTS or not location:
        return None
    try:
        target = urljoin(url, location)
    except ValueError:
        return None
    downgrades = urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http"
    return target if is_web_address(target) and not downgrades else None


def judge(head: ResponseHead, partial: Partial | None) -> Verdict:
    """Return what a response means, by the table above.

    Args:
        head: the response.
        partial: the partial file whose rest was requested; None when the whole file was.
    """
    status = head.status
    if status == 200:
        return _judge_whole(head)
    if status == 206:
        return _judge_rest(head, partial)
    if status == 416 and partial is not None:
        unsatisfied = _UNSATISFIED_RANGE.fullmatch(head.content_range)
        if unsatisfied and int(unsatisfied[1]) == partial.size_bytes:
            return Complete()
        return Mismatch(reason=f"The partial file does not match the file on {head.host}.")
    if 300 <= status < 400:
        return LinkGone(message=f"{head.host} redirects to an address that is not followed (HTTP {status}).")
    if 400 <= status < 500 and status not in _TEMPORARY_4XX:
        return LinkGone(message=f"The link no longer works: {head.host} responded with HTTP {status}.")
    return DownloadError(message=f"{head.host} responded with HTTP {status}.")


def _judge_whole(head: ResponseHead) -> Verdict:
    if head.content_type in _OTHER_TYPES:
        return _other_type(head)
    if too_long(head.length_bytes or 0, None):
        return _too_large(head)
    if head.content_encoding not in {"", "identity"}:
        return DamagedFile(message=f"{head.host} sent the file compressed, although identity was requested.")
    return Receive(start_bytes=0, total_bytes=head.length_bytes, etag=strong_etag(head.etag))


def _other_type(head: ResponseHead) -> DamagedFile:
    return DamagedFile(message=f"{head.host} sent {_OTHER_TYPES[head.content_type]} instead of the file.")


def _judge_rest(head: ResponseHead, partial: Partial | None) -> Verdict:
    content_range = _CONTENT_RANGE.fullmatch(head.content_range)
    if partial is None or content_range is None:
        return Mismatch(reason=f"{head.host} sent a part of the file that was not requested.")
    first, last = int(content_range[1]), int(content_range[2])
    total = None if content_range[3] == "*" else int(content_range[3])
    fits = first == partial.size_bytes and first <= last and (total is None or last < total)
    consistent = head.length_bytes in {None, last - first + 1} and head.etag in {"", partial.etag}
    if not fits or not consistent or head.content_encoding not in {"", "identity"}:
        return Mismatch(reason=f"{head.host} sent another part of the file than was requested.")
    if head.content_type in _OTHER_TYPES:
        return _other_type(head)
    if too_long(last + 1 if total is None else total, None):
        return _too_large(head)
    return Receive(start_bytes=first, total_bytes=total, etag=partial.etag)


def _too_large(head: ResponseHead) -> DamagedFile:
    return DamagedFile(message=f"{head.host} announces a file of more than {MAX_FILE_BYTES // 1024**3} GiB.")


def may_come_later(head: ResponseHead) -> bool:
    """Whether a response can mean that the storage does not have the file yet."""
    return head.status in _NOT_YET or (head.status == 200 and head.content_type == "application/json")


def too_long(received_bytes: int, total_bytes: int | None) -> bool:
    """Whether more bytes arrived than the file can have."""
    return received_bytes > (MAX_FILE_BYTES if total_bytes is None else total_bytes)


@attrs.frozen(kw_only=True)
class Throughput:
    """The point from which the speed of a download is measured."""

    at_s: float
    """Its time."""
    at_bytes: int
    """How many bytes had arrived by then."""


def check_throughput(since: Throughput, *, received_bytes: int, now_s: float, stall_s: float) -> Throughput | None:
    """Return the point to measure from; None when fewer than MIN_BYTES_PER_S arrived for `stall_s` seconds.

    A timeout alone does not find a server that sends a byte now and then.
    """
    elapsed_s = now_s - since.at_s
    if elapsed_s < stall_s:
        return since
    if received_bytes - since.at_bytes < MIN_BYTES_PER_S * elapsed_s:
        return None
    return Throughput(at_s=now_s, at_bytes=received_bytes)


@attrs.frozen(kw_only=True)
class AttemptCounts:
    """How the attempts of a download ended so far."""

    without_progress: int = 0
    """Attempts in a row that received little."""
    damaged: int = 0
    """Attempts that received something else than the file."""
    best_bytes: int = 0
    """The largest partial file that an attempt left."""


def count_failure(counts: AttemptCounts, error: DownloadError, resumable_bytes: int) -> AttemptCounts:
    """Count a failed attempt that left so many bytes to resume from."""
    gained = resumable_bytes - counts.best_bytes >= PROGRESS_BYTES
    return AttemptCounts(
        without_progress=1 if gained else counts.without_progress + 1,
        damaged=counts.damaged + isinstance(error, DamagedFile),
        best_bytes=max(counts.best_bytes, resumable_bytes),
    )


def retry_delay(
    error: DownloadError, counts: AttemptCounts, *, policy: RetryPolicy, jitter: float, retry_after_s: float | None
) -> float | None:
    """Return the seconds before the next attempt, or None to give up.

    Args:
        error: how the last attempt ended; after `LinkGone` there is no other.
        counts: the attempts so far.
        policy: the bounds; its `attempts` count those without progress.
        jitter: a random number from 0 to 1.
        retry_after_s: the delay that the server asked for.
    """
    most_damaged = min(_MAX_DAMAGED_ATTEMPTS, policy.attempts)
    if isinstance(error, LinkGone) or counts.without_progress >= policy.attempts or counts.damaged >= most_damaged:
        return None
    return delay_before(counts.without_progress, policy, jitter, retry_after_s)


def publishing_delay(
    number: int, *, age_s: float, waited_s: float, policy: RetryPolicy, jitter: float, retry_after_s: float | None
) -> float | None:
    """Return the seconds before a file is requested again that its storage may not have yet, or None to give up.

    Args:
        number: how often it was missing, counted from 1.
        age_s: the seconds since the generation was completed.
        waited_s: the seconds since it was missing first.
        policy: gives the delays; the number of attempts is not bounded, unless it is 1.
        jitter: a random number from 0 to 1.
        retry_after_s: the delay that the server asked for.
    """
    delay_s = delay_before(number, policy, 0.5 + jitter / 2, retry_after_s)
    if delay_s is None or policy.attempts == 1 or age_s >= PUBLISHING_S:
        return None
    # With a small max_delay, a quarter of the time so far keeps two minutes from becoming thousands of requests.
    return min(max(delay_s, waited_s / 4), PUBLISHING_S - age_s)
