"""The flat form of a generation, which all formats share, and where answers hold it.

A generation comes in three forms: the flat task of a single query, a row of the query for many that may hold the
flat task in `data`, and the few fields that some relays answer a submit with. Ids are strings of a safe form;
anything else under their names, such as the number of a database row, is no id.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from luma_async._wire.answer import is_list, is_object
from luma_async._wire.dialect import STILL_RUNNING, Row, StillRunning
from luma_async._wire.failure import failure_code, failure_reason
from luma_async._wire.links import clean_video, find_result, read_link
from luma_async._wire.states import read_state
from luma_async.values.models import State
from luma_async.values.validators import ID_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from luma_async._wire.answer import Document

T = TypeVar("T")

_ROW_NAMES, _TASK_NAMES = ("task_id", "id"), ("id", "task_id")
_MAX_PLAIN_ESTIMATE_S = 10**6
"""A larger estimate goes through the converter, like everything that is not an integer."""
_FILES = ("video", "video_raw", "thumbnail", "last_frame")
_LISTS = ("data", "generations", "tasks")
_ENVELOPES = (*_LISTS, "generation", "task", "result", "results", "response", "videos", "output")
_RUNNING = (State.PENDING, State.PROCESSING)
_ENDED = (State.COMPLETED, State.FAILED)


def structure(cls: type[T], fields: Mapping[str, Any]) -> T:
    """Build a value from what a service said; see `converter.structure()`."""
    value: T = _load_converter()(cls, fields)
    return value


@cache
def _load_converter() -> Callable[[type[Any], Mapping[str, Any]], Any]:
    from luma_async._wire.converter import structure  # noqa: PLC0415 - cattrs is loaded with the first answer

    return structure


def find_submitted(document: Document) -> Row | None:
    """Find the new generation: the first, if there are several. What the answer proves is decided elsewhere."""
    found = list(_find(document.payload))
    if not found:
        return None
    generation_id, *aliases = _names(found[0])
    siblings = dict.fromkeys(_names(raw)[0] for raw in found)
    return Row(
        id=generation_id,
        raw=found[0],
        aliases=tuple(aliases),
        siblings=tuple(name for name in siblings if name not in {generation_id, *aliases}),
        base_url=document.base_url,
    )


def find_one(document: Document, generation_id: str) -> Row:
    """Find the generation that was asked for.

    Raises:
        UnreadableResponse: the answer names none, or another generation.
    """
    other = False
    for raw in _find(document.payload):
        # A service that gives `id` and `task_id` takes either.
        if generation_id in _names(raw):
            return Row(id=generation_id, raw=raw, base_url=document.base_url)
        other = True
    what = "is about another generation" if other else "names no generation"
    raise document.unreadable(f"the response {what}", "id")


def find_all(rows: Sequence[Any], document: Document, wanted: Collection[str] = ()) -> tuple[Row, ...]:
    """Find the generations in a list; rows without an id are left out.

    Args:
        rows: the list.
        document: the answer.
        wanted: the ids that were asked for. A row that has one of them under any name is about that one.
    """
    found: list[Row] = []
    for row in rows:
        if not is_object(row):
            continue
        # The usual row has the id that was asked for, which was checked when the request was built.
        name = row.get("task_id") or row.get("id")
        if isinstance(name, str) and name in wanted:
            found.append(Row(id=name, raw=row, base_url=document.base_url))
            continue
        if (raw := next(_find(row), None)) is not None:
            names = _names(raw)
            asked = next((name for name in names if name in wanted), names[0])
            found.append(Row(id=asked, raw=raw, base_url=document.base_url))
    return tuple(found)


def generation_fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a row's JSON under the names that the converter reads."""
    task = _task(raw)
    state = _state_word(raw, task)
    is_row = task is not raw or ("task_id" in raw and not raw.get("data", True))
    ended = read_state(state)
    fields: dict[str, Any] = {
        "id": next(iter(_names(raw)), None),
        "state": state,
        "raw_state": state,
        "prompt": task.get("prompt"),
        "created_at": task.get("created_at") or raw.get("created_at") or raw.get("submit_time"),
        "failure_reason": task.get("failure_reason"),
        "failure_code": task.get("failure_code"),
        "progress": _progress(raw, task, ended),
        "estimate_wait_s": task.get("estimate_wait_seconds"),
        "server_id": task.get("server_id"),
        "raw": ({} if task is raw else task) if is_row else raw,
        "raw_row": {name: value for name, value in raw.items() if name != "data"} if is_row else {},
    }
    for name in _FILES:
        fields[name] = task.get(name)
    if not fields["prompt"] and is_object(request := task.get("request")):
        fields["prompt"] = request.get("prompt")
    if ended is State.FAILED:
        fields["failure_reason"] = failure_reason(task, raw)
        fields["failure_code"] = failure_code(task, raw)
    _fill_files(fields, raw, task, completed=ended is State.COMPLETED)
    return fields


def _fill_files(fields: dict[str, Any], raw: Mapping[str, Any], task: Mapping[str, Any], *, completed: bool) -> None:
    """Complete the files from the places where some relays have them."""
    if is_object(artifact := task.get("artifact")):
        for name in _FILES:
            fields[name] = _completed(fields[name], artifact.get(name))
        if is_object(video := fields["video"]) and not (task.get("video") or fields["video_raw"]):
            # Assumed: the result itself has no watermark, as in the recorded answer that has both places.
            fields["video"] = {**(clean_video(video) or {}), **_present(video)}
    if is_object(assets := task.get("assets")):
        # The service's own video has no watermark, so it is also the one to download.
        fields["video"] = clean_video(assets.get("video")) or fields["video"]
        fields["image"] = assets.get("image")
    if isinstance(fields["video"], str):
        fields["video"] = clean_video(fields["video"])
    shown = fields["video"]
    if completed and (result := _row_result(raw)) and not (is_object(shown) and shown.get("url") == result):
        fields["video"] = _completed(shown, clean_video(result))
    if completed and not _has_link(fields):
        fields["video"] = clean_video(find_result(task, raw))


def _row_result(raw: Mapping[str, Any]) -> str | None:
    """Return the link to the result that a row has of its own. Old rows have it in `fail_reason`."""
    return read_link(raw.get("result_url")) or read_link(raw.get("fail_reason"))


def _has_link(fields: Mapping[str, Any]) -> bool:
    """Whether there is a link to a result."""
    for name in ("video", "video_raw", "image"):
        file = fields.get(name)
        if read_link(file) or (is_object(file) and read_link(file.get("download_url"))):
            return True
    return False


def _progress(raw: Mapping[str, Any], task: Mapping[str, Any], state: State | None) -> Any:
    """Return the progress. What is completed has no progress of one percent."""
    progress = raw.get("progress")
    if progress is None:
        progress = task.get("progress")
    return 1.0 if state is State.COMPLETED and progress in (1, "1") else progress


def repeated_prompt(raw: Mapping[str, Any]) -> str | None:
    """Return the prompt that a row's JSON repeats; None if it repeats none, an empty text if all are empty."""
    data = raw.get("data")
    task = data if is_object(data) and data else raw
    places = [place for place in (task, task.get("request"), raw) if is_object(place)]
    prompts = [place.get(name) for place in places for name in ("prompt", "user_prompt")]
    texts = [prompt for prompt in prompts if isinstance(prompt, str)]
    return next((text for text in texts if text.strip()), "" if texts else None)


def peek(raw: Mapping[str, Any]) -> StillRunning | None:
    """Tell whether a row's JSON is certainly that of a running generation; None when it has to be structured."""
    task = _task(raw)
    if read_state(_state_word(raw, task)) not in _RUNNING:
        return None
    estimate_s = task.get("estimate_wait_seconds")
    if estimate_s is None:
        return STILL_RUNNING
    plain = type(estimate_s) is int and abs(estimate_s) < _MAX_PLAIN_ESTIMATE_S
    return StillRunning(estimate_wait_s=float(estimate_s)) if plain else None


def _find(payload: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the generations in an answer: an object or a list of them, bare or in an envelope."""
    for item in payload if is_list(payload) else [payload]:
        if not is_object(item):
            continue
        named = bool(_names(item))
        if named:
            yield item
        # An object inside of a generation with an id is the same generation; a list there has further ones.
        for place in _LISTS if named else _ENVELOPES:
            inner = item.get(place)
            for further in inner if is_list(inner) else [] if named else [inner]:
                if is_object(further) and _names(further):
                    yield further


def _names(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the ids of a generation, the best first; none if it has none."""
    # In a row of the query for many, `id` is the number of a database row.
    values = [raw.get(name) for name in (_ROW_NAMES if "data" in raw else _TASK_NAMES)]
    return tuple(dict.fromkeys(value for value in values if isinstance(value, str) and ID_PATTERN.fullmatch(value)))


def _task(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the flat task in a row; a row without one is the task itself."""
    data = raw.get("data")
    return data if is_object(data) and data else raw


def _state_word(row: Mapping[str, Any], task: Mapping[str, Any]) -> Any:
    """Choose between the task's word and the row's.

    If the task has ended, its own word counts, since it is about the video. Otherwise the word of an ended row counts,
    since a relay that closes a task (after a day, for example) does not update the task's word.
    """
    own = task.get("state") or task.get("task_status") or task.get("task_state")
    if not own and task is not row:
        own = task.get("status")
    outer = row.get("status") or row.get("state") or row.get("task_status")
    ended_outside = read_state(outer) in _ENDED and read_state(own) not in _ENDED
    return outer if ended_outside or not own else own


def _completed(shown: Any, spare: Any) -> Any:
    """Add the links of the artifact to a file that lacks them."""
    if isinstance(shown, str) and shown and is_object(spare):
        shown = {"url": shown}
    if not is_object(shown) or not is_object(spare):
        return shown or spare
    return spare | _present(shown)


def _present(file: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a file that hold something."""
    return {name: value for name, value in file.items() if value}
