"""The flat form of a generation, which all formats share, and where answers hold it.

A generation comes in three forms: the flat task of a single query, a row of the query for many that may hold the
flat task in `data`, and the few fields that some relays answer a submit with. Ids are strings of a safe form;
anything else under their names, such as the number of a database row, is no id.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from luma_async._wire.answer import is_object
from luma_async._wire.dialect import STILL_RUNNING, Row, StillRunning
from luma_async._wire.states import read_state
from luma_async.values.models import State
from luma_async.values.validators import ID_PATTERN

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from luma_async._wire.answer import Document

T = TypeVar("T")

_ROW_NAMES, _TASK_NAMES = ("task_id", "id"), ("id", "task_id")
_MAX_PLAIN_ESTIMATE_S = 10**6
"""A larger estimate goes through the converter, like everything that is not an integer."""
_FILES = ("video", "video_raw", "thumbnail", "last_frame")
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
    """Find the new generation. What the answer proves is decided elsewhere."""
    return _find(document.payload)


def find_one(document: Document, generation_id: str) -> Row:
    """Find the generation that was asked for.

    Raises:
        UnreadableResponse: the answer names none, or another generation.
    """
    row = _find(document.payload)
    if row is not None and row.id == generation_id:
        return row
    what = "names no generation" if row is None else "is about another generation"
    raise document.unreadable(f"the response {what}", "id")


def find_all(rows: Sequence[Any]) -> tuple[Row, ...]:
    """Find the generations in a list; rows without an id are left out."""
    return tuple([row for row in map(_find, rows) if row is not None])


def generation_fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a row's JSON under the names that the converter reads."""
    data = raw.get("data")
    task = data if is_object(data) and data else raw
    state = _state_word(raw, task)
    fields: dict[str, Any] = {
        "id": _id(raw),
        "state": state,
        "raw_state": state,
        "prompt": task.get("prompt"),
        "created_at": task.get("created_at") or raw.get("created_at") or raw.get("submit_time"),
        "failure_reason": task.get("failure_reason"),
        "progress": raw.get("progress"),
        "estimate_wait_s": task.get("estimate_wait_seconds"),
        "server_id": task.get("server_id"),
        "raw": raw,
    }
    for name in _FILES:
        fields[name] = task.get(name)
    if not fields["prompt"] and is_object(request := task.get("request")):
        fields["prompt"] = request.get("prompt")
    if not fields["failure_reason"] and read_state(state) is State.FAILED:
        # Old rows of a completed generation hold the address of the result there.
        fields["failure_reason"] = raw.get("fail_reason") or _complaint(task)
    if is_object(artifact := task.get("artifact")):
        for name in _FILES:
            fields[name] = _completed(fields[name], artifact.get(name))
    return fields


def peek(raw: Mapping[str, Any]) -> StillRunning | None:
    """Tell whether a row's JSON is certainly that of a running generation; None when it has to be structured."""
    data = raw.get("data")
    task = data if is_object(data) and data else raw
    if read_state(_state_word(raw, task)) not in _RUNNING:
        return None
    estimate_s = task.get("estimate_wait_seconds")
    if estimate_s is None:
        return STILL_RUNNING
    plain = type(estimate_s) is int and abs(estimate_s) < _MAX_PLAIN_ESTIMATE_S
    return StillRunning(estimate_wait_s=float(estimate_s)) if plain else None


def _find(payload: Any) -> Row | None:
    """Find a generation in an object or in its `data`."""
    if not is_object(payload):
        return None
    if (generation_id := _id(payload)) is not None:
        return Row(id=generation_id, raw=payload)
    data = payload.get("data")
    if is_object(data) and (generation_id := _id(data)) is not None:
        return Row(id=generation_id, raw=data)
    return None


def _id(raw: Mapping[str, Any]) -> str | None:
    # In a row of the query for many, `id` is the number of a database row.
    for name in _ROW_NAMES if "data" in raw else _TASK_NAMES:
        value = raw.get(name)
        if isinstance(value, str) and ID_PATTERN.fullmatch(value):
            return value
    return None


def _state_word(row: Mapping[str, Any], task: Mapping[str, Any]) -> Any:
    """Choose between the task's word and the row's.

    If the task has ended, its own word counts, since it is about the video. Otherwise the word of an ended row counts,
    since a relay that closes a task (after a day, for example) does not update the task's word.
    """
    own = task.get("state") or task.get("task_status")
    outer = row.get("status") or row.get("state")
    ended_outside = read_state(outer) in _ENDED and read_state(own) not in _ENDED
    return outer if ended_outside or not own else own


def _complaint(task: Mapping[str, Any]) -> str | None:
    """Find the message of an error that is given instead of a reason."""
    error = task.get("error")
    message = error.get("message") if is_object(error) else error
    return message if isinstance(message, str) else None


def _completed(shown: Any, spare: Any) -> Any:
    """Add the links of the artifact to a file that lacks them."""
    if isinstance(shown, str) and shown and is_object(spare):
        shown = {"url": shown}
    if not is_object(shown) or not is_object(spare):
        return shown or spare
    return spare | {name: value for name, value in shown.items() if value}
