"""The relay's JSON for a generation, with the fields of the recorded answers.

Source: the recorded answers of the relay and of related relays, in the editions of 2024 and 2025.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from luma_async.testing import clips

if TYPE_CHECKING:
    from datetime import datetime

    from luma_async.testing.store import FakeGeneration

Edition: TypeAlias = Literal["2024", "2025"]
SubmitShape: TypeAlias = Literal["flat", "server_id", "nested"]
Link: TypeAlias = Callable[[str], str]
"""From the name of a file to its link."""

_QUEUED_WORDS = {"pending": "queued", "processing": "dreaming"}
_ROW_STATUS = {"pending": "SUBMITTED", "processing": "IN_PROGRESS", "completed": "SUCCESS", "failed": "FAILURE"}


def submitted(generation: FakeGeneration, *, status: int, shape: SubmitShape) -> dict[str, Any]:
    """The answer to a submit: the documented answer with 201, that of a related relay with 200."""
    if shape == "nested":
        second = int(generation.created.timestamp())
        data = {"task_id": generation.id, "task_status": "submitted", "created_at": second, "updated_at": second}
        return {"code": 0, "message": "success", "request_id": f"r-{generation.number}", "data": data}
    if shape == "server_id":
        return {
            "batch_id": "3f86837d-69c4-43c4-8e7d-e0772346f420",
            **_flat_submit(generation),
            "pipeline_id": "V1.5",
            "queue_state": None,
            "server_id": "123",
            "user_id": "1e75ee66",
        }
    return _flat_submit(generation) if status == 201 else related(generation)


def related(generation: FakeGeneration) -> dict[str, Any]:
    """The answer of a related relay to a submit or an extend: without the prompt."""
    return {
        "id": generation.id,
        "prompt": "",
        "state": _word(generation, generation.state),
        "queue_state": None,
        "created_at": _iso(generation.created, "microseconds"),
        "batch_id": "",
        "video": None,
        "video_raw": None,
        "liked": None,
        "estimate_wait_seconds": generation.estimate_s,
        "thumbnail": None,
        "last_frame": None,
    }


def flat(generation: FakeGeneration, edition: Edition, origin: str) -> dict[str, Any]:
    """The answer to a query."""
    state = generation.state
    completed = state == "completed"
    body: dict[str, Any] = {"id": generation.id, "state": _word(generation, state)}
    if state == "failed":
        reason = generation.script.failure_reason
        return {**body, "video": None, "prompt": generation.prompt, "failure_reason": reason}
    if completed and not generation.shows_link:
        return {**body, "video": None, "prompt": generation.prompt}
    link = functools.partial(clips.link, origin, generation)
    if edition == "2024":
        body |= {"liked": None, "prompt": generation.prompt, "queue_state": None}
        body |= {"estimate_wait_seconds": generation.estimate_s}
        body |= _files_2024(generation, link) if completed else _NO_FILES
    else:
        body |= {"request": {"prompt": generation.prompt, "aspect_ratio": generation.body.get("aspect_ratio", "")}}
        if completed:
            files = _files_2025(generation, link)
            body |= {**files, "artifact": {**files, "created_at": "0001-01-01T00:00:00Z"}}
        else:
            # Assumed: no recorded answer shows a running generation of 2025. The older keys stay, `artifact` is null.
            body |= {**_NO_FILES, "artifact": None, "estimate_wait_seconds": generation.estimate_s}
    body["created_at"] = _iso(generation.created, "milliseconds")
    return body


def row(generation: FakeGeneration, edition: Edition, origin: str) -> dict[str, Any]:
    """A row of the envelope that answers a query for many."""
    state, created = generation.state, _iso(generation.created, "milliseconds")
    return {
        "id": generation.number,
        "created_at": created,
        "updated_at": created,
        "task_id": generation.id,
        "platform": "luma_free",
        "action": "LUMA_VIDEO",
        "status": _ROW_STATUS.get(state, state.upper()),
        "fail_reason": generation.script.failure_reason if state == "failed" else "",
        "submit_time": _second(generation.created),
        "start_time": _second(generation.running_since),
        "finish_time": _second(generation.ended_since),
        "progress": f"{generation.progress:.0%}",
        "data": flat(generation, edition, origin),
    }


_NO_FILES: dict[str, Any] = {"video": None, "video_raw": None, "thumbnail": None, "last_frame": None}


def _flat_submit(generation: FakeGeneration) -> dict[str, Any]:
    """The documented answer to a submit."""
    return {
        "created_at": _iso(generation.created, "microseconds"),
        "estimate_wait_seconds": generation.estimate_s,
        "id": generation.id,
        "last_frame": None,
        "liked": None,
        "prompt": generation.prompt,
        "state": _word(generation, generation.state),
        "thumbnail": None,
        "video": None,
    }


def _files_2024(generation: FakeGeneration, link: Link) -> dict[str, Any]:
    """The files of a completed generation; with only a watermarked link, the thumbnail is a string."""
    size = clips.size_of(generation)
    video: dict[str, Any] = {"url": link(clips.WATERMARKED), **size, "download_url": ""}
    if generation.script.watermark_only:
        video["thumbnail"] = link(clips.THUMBNAIL)
        return {"video": video, "thumbnail": {"url": link(clips.THUMBNAIL), **size}, "video_raw": None}
    return {
        "video": {**video, "download_url": link(clips.CLEAN)},
        "video_raw": {"url": link(clips.RAW), **size},
        "thumbnail": {"url": link(clips.THUMBNAIL), **size},
        "last_frame": {"url": link(clips.LAST_FRAME), **size},
    }


def _files_2025(generation: FakeGeneration, link: Link) -> dict[str, Any]:
    """The files of a completed generation, which are at the top level and again in `artifact`."""
    size = clips.size_of(generation)
    watermark_only = generation.script.watermark_only
    raw = {"url": link(clips.RAW), **size, "duration": clips.duration_of(generation), "media_type": "video"}
    thumbnail = {"url": link(clips.THUMBNAIL), **size, "palette": {"grid": "em9csKqX"}, "media_type": "image"}
    return {
        "video": {
            "url": link(clips.WATERMARKED),
            **size,
            "download_url": "" if watermark_only else link(clips.CLEAN),
        },
        "video_raw": None if watermark_only else raw,
        "thumbnail": thumbnail,
        "last_frame": {"url": link(clips.LAST_FRAME), **size, "palette": None, "media_type": "image"},
    }


def _word(generation: FakeGeneration, state: str) -> str:
    """The word for a state, which depends on the script."""
    return _QUEUED_WORDS.get(state, state) if generation.script.queued_words else state


def _iso(moment: datetime, precision: Literal["milliseconds", "microseconds"]) -> str:
    """A time in UTC. The answer to a submit has microseconds, that to a query milliseconds."""
    return moment.replace(tzinfo=None).isoformat(timespec=precision) + "Z"


def _second(moment: datetime | None) -> int:
    """Unix seconds; 0 means not yet."""
    return 0 if moment is None else int(moment.timestamp())
