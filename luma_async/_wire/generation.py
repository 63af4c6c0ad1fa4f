"""Where a relay's answers keep what we look for.

A generation comes in three forms: the flat task of a single query, a row of the query for many that may hold the
flat task in `data`, and the bare bones that some relays answer a submit with. Ids are texts of a safe form; what
else stands under their names, such as the number of a database row, is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luma_async._wire.dialect import STILL_RUNNING, Row, StillRunning
from luma_async._wire.json_shapes import is_list, is_object
from luma_async._wire.states import read_state
from luma_async.values.errors import UnreadableResponse
from luma_async.values.models import State
from luma_async.values.validators import ID_PATTERN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from luma_async._wire.answer import Document

_ROW_NAMES, _TASK_NAMES = ("task_id", "id"), ("id", "task_id")
_LONGEST_PLAIN_S = 10**6
"""Beyond that an estimate is read with care, as all that is no whole number is."""
_FILES = ("video", "video_raw", "thumbnail", "last_frame")
_RUNNING = (State.PENDING, State.PROCESSING)
_ENDED = (State.COMPLETED, State.FAILED)


def find_submitted(document: Document) -> Row | None:
    """Find the new generation. Whether the answer proves that it exists is not decided here."""
    return _find(document.payload)


def find_one(document: Document, generation_id: str) -> Row:
    """Find the generation that was asked for.

    Raises:
        UnreadableResponse: it is not there, or it is another one.
    """
    row = _find(document.payload)
    if row is not None and row.id == generation_id:
        return row
    what = "the answer names no generation" if row is None else "the answer is about another generation"
    raise _unreadable(document, what, "id")


def find_many(document: Document) -> tuple[Row, ...]:
    """Find the generations; what has no id is left out.

    Raises:
        UnreadableResponse: there is no list of them.
    """
    payload = document.payload
    rows: Any = payload
    if is_object(payload) and "data" in payload:
        # An empty list is null in the language of relays.
        rows = [] if payload["data"] is None else payload["data"]
    if not is_list(rows):
        raise _unreadable(document, "the answer holds no list of generations", "data")
    return find_all(rows)


def find_all(rows: Sequence[Any]) -> tuple[Row, ...]:
    """Find the generations in a list; what has no id is left out."""
    return tuple([row for row in map(_find, rows) if row is not None])


def find_link(document: Document) -> str:
    """Find the watermark-free link.

    Raises:
        UnreadableResponse: there is none.
    """
    payload = document.payload
    link = payload.get("url") if is_object(payload) else None
    if isinstance(link, str) and link.startswith(("http://", "https://")):
        return link
    raise _unreadable(document, "the answer holds no link", "url")


def find_data(document: Document) -> dict[str, Any]:
    """Find what an account page tells, without the account's access token.

    Raises:
        UnreadableResponse: there is nothing; it shows no excerpt, which could hold that token.
    """
    payload = document.payload
    data = payload.get("data") if is_object(payload) else None
    if not is_object(data):
        raise UnreadableResponse(message="the answer holds no data", status=document.status, paths=("data",))
    return {name: value for name, value in data.items() if name != "access_token"}


def key_fields(data: dict[str, Any]) -> dict[str, Any]:
    """Spell an API key's quota as the converter reads it."""
    return {
        "name": data.get("name"),
        "granted": data.get("total_granted"),
        "used": data.get("total_used"),
        "available": data.get("total_available"),
        "unlimited": data.get("unlimited_quota"),
        "expires_at": data.get("expires_at"),
        "raw": data,
    }


def generation_fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Spell a row's JSON as the converter reads it."""
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
        # Old rows that succeeded hold the address of the result there.
        fields["failure_reason"] = raw.get("fail_reason") or _complaint(task)
    if is_object(artifact := task.get("artifact")):
        for name in _FILES:
            fields[name] = _completed(fields[name], artifact.get(name))
    return fields


def peek(raw: Mapping[str, Any]) -> StillRunning | None:
    """Say whether a row's JSON is surely that of a generation that runs on; None when it has to be read."""
    data = raw.get("data")
    task = data if is_object(data) and data else raw
    if read_state(_state_word(raw, task)) not in _RUNNING:
        return None
    estimate_s = task.get("estimate_wait_seconds")
    if estimate_s is None:
        return STILL_RUNNING
    plain = type(estimate_s) is int and abs(estimate_s) < _LONGEST_PLAIN_S
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

    The task's own end counts first: it is what became of the video. Otherwise a row that ended counts, since a relay
    that closes a task (after a day, say) never touches the task's word again.
    """
    own = task.get("state") or task.get("task_status")
    outer = row.get("status") or row.get("state")
    ended_outside = read_state(outer) in _ENDED and read_state(own) not in _ENDED
    return outer if ended_outside or not own else own


def _complaint(task: Mapping[str, Any]) -> str | None:
    """Find what went wrong where an error is told instead of a reason."""
    error = task.get("error")
    told = error.get("message") if is_object(error) else error
    return told if isinstance(told, str) else None


def _completed(shown: Any, spare: Any) -> Any:
    """Complete a file's links by those of the artifact."""
    if isinstance(shown, str) and shown and is_object(spare):
        shown = {"url": shown}
    if not is_object(shown) or not is_object(spare):
        return shown or spare
    return spare | {name: value for name, value in shown.items() if value}


def _unreadable(document: Document, message: str, path: str) -> UnreadableResponse:
    return UnreadableResponse(message=message, status=document.status, paths=(path,), body_excerpt=document.excerpt)
