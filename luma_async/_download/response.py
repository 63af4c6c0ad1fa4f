"""What an answer of a file server means, when to go on with a `.part`, and when to try again.

```
answer                                             means
200, a body without encoding, no web page          the file from its beginning
206 from the byte that was asked for               the rest of the file
206 otherwise, 416                                 what is here does not fit: begin again
416 that names the size of what is here            all of it is here
3xx that is not followed, other 4xx                the link does not work: find another
408, 425, 429, 5xx, other 1xx and 2xx              trouble: try again later
200 with a web page or an encoded body             not the file
```

A `.part` is gone on with only under `If-Range` and a strong ETag, which is kept beside it together with whose file it
is: the server then sends the rest of the same file, or a whole new one.
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

CAP_BYTES = 4 * 1024**3
"""Where a body without a length is cut off: tens of times the largest clip."""
MOST_REDIRECTS = 5
"""Storage behind a CDN takes one or two."""
MIN_BYTES_PER_S = 1024
"""Slower than this a clip of 4 MB takes longer than the hour that its link lives."""
PROGRESS_BYTES = 1024 * 1024
"""An attempt that brings this much nearer is not counted: over a bad line a large file takes many."""
_DAMAGED_ATTEMPTS = 3
"""Each of them may transfer the whole file; a server that sends something else thrice goes on doing so."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PASSING_4XX = frozenset({408, 425, 429})
_PAGES = frozenset({"text/html", "application/xhtml+xml"})
_STRONG_ETAG = re.compile(r'"[\x21\x23-\x7e]{1,200}"')
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_UNSATISFIED_RANGE = re.compile(r"bytes \*/([0-9]{1,18})")


@attrs.frozen(kw_only=True)
class ResponseHead:
    """What an answer says before its body comes."""

    status: int
    """The HTTP status."""
    host: str = ""
    """Who answered, for messages."""
    etag: str = ""
    """The name of this version of the file, as it came."""
    length_bytes: int | None = None
    """How long the body is going to be, if it is told."""
    content_range: str = ""
    """Which part of the file it is, as it came."""
    content_type: str = ""
    """The media type, in lower case, without parameters."""
    content_encoding: str = ""
    """How the body is packed; empty for not at all."""
    retry_after_s: float | None = None
    """Seconds, when the server names them."""


@attrs.frozen(kw_only=True)
class Partial:
    """What an earlier attempt left, and whose it is."""

    size_bytes: int
    """How much of the file there is."""
    source: str
    """Which file, as `source_of()` names it."""
    etag: str
    """Its strong ETag."""


@attrs.frozen(kw_only=True)
class Receive:
    """The body is the file from a byte on."""

    start_bytes: int
    """Where it begins."""
    total_bytes: int | None
    """How large the file is, if it is told."""
    etag: str | None
    """Its strong ETag, if it has one."""


@attrs.frozen(kw_only=True)
class Complete:
    """Nothing is missing."""


@attrs.frozen(kw_only=True)
class Mismatch:
    """What is here cannot be gone on with."""

    reason: str
    """Why not."""


Verdict: TypeAlias = Receive | Complete | Mismatch | DownloadError
"""What an answer means; `LinkGone` and `DamagedFile` are among the errors."""


def source_of(generation_id: str, link: Link) -> str:
    """Name the file behind a link, the same for a fresh link to it; no address can be read from the name."""
    where = link.url.partition("?")[0]
    return hashlib.sha256(f"{generation_id}\n{link.name}\n{where}".encode("utf-8", "surrogatepass")).hexdigest()[:32]


def dump_sidecar(source: str, etag: str) -> bytes:
    """Write what is kept beside a `.part`."""
    return json.dumps({"source": source, "etag": etag}).encode()


def load_sidecar(note: bytes, size_bytes: int) -> Partial | None:
    """Read what was kept beside a `.part` of this size; None when it is unreadable."""
    try:
        fields: Any = json.loads(note)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    source, etag = (cast("dict[str, Any]", fields).get(name) for name in ("source", "etag"))
    if not isinstance(source, str) or not isinstance(etag, str) or strong(etag) is None:
        return None
    return Partial(size_bytes=size_bytes, source=source, etag=etag)


def resumable(kept: Partial | None, source: str) -> Partial | None:
    """Return what can be gone on with: something, of this very file."""
    return kept if kept is not None and kept.source == source and kept.size_bytes > 0 else None


def strong(etag: str) -> str | None:
    """Return an ETag if it stands for these very bytes and can be sent back; a weak one does not."""
    return etag if _STRONG_ETAG.fullmatch(etag) else None


def range_headers(kept: Partial | None) -> dict[str, str]:
    """Spell the question for the rest of a file."""
    return {"Range": f"bytes={kept.size_bytes}-", "If-Range": kept.etag} if kept is not None else {}


def follow(url: str, head: ResponseHead, location: str, hops: int) -> str | None:
    """Return where a redirect leads, if it is one to follow.

    Args:
        url: where it was met.
        head: the answer.
        location: where it points, as it came.
        hops: how many were followed before.
    """
    if head.status not in _REDIRECTS or hops >= MOST_REDIRECTS or not location:
        return None
    try:
        target = urljoin(url, location)
    except ValueError:
        return None
    downgrades = urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http"
    return target if is_web_address(target) and not downgrades else None


def judge(head: ResponseHead, kept: Partial | None) -> Verdict:
    """Say what an answer means, by the table above.

    Args:
        head: the answer.
        kept: what was asked to be completed; None when the whole file was asked for.
    """
    status = head.status
    if status == 200:
        return _judge_whole(head)
    if status == 206:
        return _judge_rest(head, kept)
    if status == 416 and kept is not None:
        told = _UNSATISFIED_RANGE.fullmatch(head.content_range)
        if told and int(told[1]) == kept.size_bytes:
            return Complete()
        return Mismatch(reason=f"What is here is not a part of what {head.host} has.")
    if 300 <= status < 400:
        return LinkGone(message=f"{head.host} redirects to where we do not follow (HTTP {status}).")
    if 400 <= status < 500 and status not in _PASSING_4XX:
        return LinkGone(message=f"The link does not work any more: {head.host} answers HTTP {status}.")
    return DownloadError(message=f"{head.host} answers HTTP {status}.")


def _judge_whole(head: ResponseHead) -> Verdict:
    if head.content_type in _PAGES:
        return DamagedFile(message=f"{head.host} sends an HTML page instead of the file.")
    if head.content_encoding not in {"", "identity"}:
        return DamagedFile(message=f"{head.host} sends the file packed, which was not asked for.")
    return Receive(start_bytes=0, total_bytes=head.length_bytes, etag=strong(head.etag))


def _judge_rest(head: ResponseHead, kept: Partial | None) -> Verdict:
    told = _CONTENT_RANGE.fullmatch(head.content_range)
    if kept is None or told is None:
        return Mismatch(reason=f"{head.host} sends a part of the file that was not asked for.")
    first, last = int(told[1]), int(told[2])
    total = None if told[3] == "*" else int(told[3])
    fits = first == kept.size_bytes and first <= last and (total is None or last < total)
    honest = head.length_bytes in {None, last - first + 1} and head.etag in {"", kept.etag}
    if not fits or not honest or head.content_encoding not in {"", "identity"}:
        return Mismatch(reason=f"{head.host} sends another part of the file than was asked for.")
    return Receive(start_bytes=first, total_bytes=total, etag=kept.etag)


def too_long(received_bytes: int, total_bytes: int | None) -> bool:
    """Whether more came than can be the file."""
    return received_bytes > (CAP_BYTES if total_bytes is None else total_bytes)


@attrs.frozen(kw_only=True)
class Throughput:
    """How fast a file comes: a mark, from which the speed is measured."""

    at_s: float
    """When it was set."""
    at_bytes: int
    """How much had come."""


def check_throughput(pace: Throughput, *, received_bytes: int, now_s: float, stall_s: float) -> Throughput | None:
    """Return the mark to measure from; None when too little came since the last one.

    Silence is not enough to look for: a byte now and then is never silent, and never done.
    """
    elapsed_s = now_s - pace.at_s
    if elapsed_s < stall_s:
        return pace
    if received_bytes - pace.at_bytes < MIN_BYTES_PER_S * elapsed_s:
        return None
    return Throughput(at_s=now_s, at_bytes=received_bytes)


@attrs.frozen(kw_only=True)
class AttemptCounts:
    """How a download has gone so far."""

    without_progress: int = 0
    """Attempts in a row that brought little."""
    damaged: int = 0
    """Attempts that brought something else than the file."""
    best_bytes: int = 0
    """The most that an attempt could be gone on from."""


def count_failure(tries: AttemptCounts, error: DownloadError, resumable_bytes: int) -> AttemptCounts:
    """Count a failed attempt after which there are so many bytes to go on from."""
    gained = resumable_bytes - tries.best_bytes >= PROGRESS_BYTES
    return AttemptCounts(
        without_progress=1 if gained else tries.without_progress + 1,
        damaged=tries.damaged + isinstance(error, DamagedFile),
        best_bytes=max(tries.best_bytes, resumable_bytes),
    )


def repeat_download(
    error: DownloadError, tries: AttemptCounts, *, policy: RetryPolicy, jitter: float, named_s: float | None
) -> float | None:
    """Return the seconds before the next attempt, or None to give up.

    Args:
        error: how the last one ended; without a link there is no other.
        tries: how it has gone.
        policy: the bounds; its attempts are those that bring nothing.
        jitter: a random number from 0 to 1.
        named_s: the delay that the server asked for.
    """
    most_damaged = min(_DAMAGED_ATTEMPTS, policy.attempts)
    if isinstance(error, LinkGone) or tries.without_progress >= policy.attempts or tries.damaged >= most_damaged:
        return None
    return delay_before(tries.without_progress, policy, jitter, named_s)
