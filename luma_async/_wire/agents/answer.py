"""Where the answers of Luma's present API hold what we need.

The service repeats nothing of the request: no prompt, no key. A result is a list, `output`.

Source: Luma's Python SDK 0.5.0 (`types/generation.py`, `types/file.py`) and its guide to errors, version 2026-04-01.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import attrs

from luma_async._wire import error_body
from luma_async._wire import generation as flat
from luma_async._wire.answer import is_list, is_object
from luma_async._wire.generation import structure
from luma_async._wire.refusal import ErrorBody, ErrorKind, RateScope
from luma_async.values.files import FilePage, UploadedFile, UploadTarget

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luma_async._wire.answer import Document
    from luma_async._wire.dialect import FailureMoney

FAILURE_MONEY: dict[str, FailureMoney] = {
    "content_moderated": "refunded",
    "generation_failed": "refunded",
    "output_not_found": "refunded",
    "budget_exhausted": "partly charged",
}
"""What the guide to errors says about the money, by `failure_code`; about the other codes it says nothing."""

_NAMED = re.compile(r"\w+ not found", re.IGNORECASE)
"""`Generation not found`, `File not found`; a path that does not exist is just `Not Found`."""
_TOO_MANY = "concurrent"
"""A word of the message about unfinished generations: `Too many concurrent jobs`."""


def generation_fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a generation's JSON under the names that the converter reads."""
    fields = flat.generation_fields(raw)
    listed = raw.get("output")
    outputs = [item for item in listed if is_object(item)] if is_list(listed) else []
    links = {kind: next((item["url"] for item in outputs if _is(item, kind)), None) for kind in ("video", "image")}
    video = links["video"]
    return fields | {
        # The service's videos have no watermark.
        "video": {"url": video, "download_url": video} if video else None,
        "image": links["image"],
        "outputs": outputs,
        "failure_code": raw.get("failure_code"),
        "model": raw.get("model"),
    }


def _is(item: Mapping[str, Any], kind: str) -> bool:
    return item.get("type") == kind and bool(item.get("url"))


def read_error(document: Document) -> ErrorBody | None:
    """Find the error in an answer: `{"detail": "…"}`, and which limit a 429 is about."""
    error = error_body.read_error(document)
    if error is None:
        return None
    if document.status == 403:
        # "API client is suspended" or "deactivated": nothing that the key asks for is answered.
        return attrs.evolve(error, kind=ErrorKind.UNAUTHORIZED)
    if document.status == 404 and _NAMED.search(error.message):
        return attrs.evolve(error, kind=ErrorKind.NOT_FOUND)
    if document.status == 429:
        return attrs.evolve(error, scope=_scope(document, error.message))
    return error


def _scope(document: Document, message: str) -> RateScope:
    """Only the limit of submits a minute has headers of its own; that of jobs is known by its words."""
    if _TOO_MANY in message.lower():
        return RateScope.UNFINISHED
    return RateScope.SUBMITS if document.rate is not None else RateScope.SESSION


def find_file(document: Document) -> UploadedFile:
    """Find a file.

    Raises:
        UnreadableResponse: there is none.
    """
    payload = document.payload
    if not is_object(payload) or not isinstance(payload.get("id"), str):
        raise document.unreadable("the response holds no file", "id")
    return structure(UploadedFile, payload | {"raw": payload})


def find_upload(document: Document) -> UploadTarget:
    """Find a new file, and where its bytes go.

    Raises:
        UnreadableResponse: there is none.
    """
    payload = document.payload if is_object(document.payload) else {}
    upload = payload.get("upload")
    url = upload.get("url") if is_object(upload) else None
    if not isinstance(payload.get("id"), str) or not isinstance(url, str) or not is_object(upload):
        raise document.unreadable("the response names no address for the upload", "upload.url")
    headers = upload.get("headers")
    pairs = headers.items() if is_object(headers) else ()
    return UploadTarget(
        id=payload["id"], url=url, headers=tuple((name, value) for name, value in pairs if isinstance(value, str))
    )


def find_files(document: Document) -> FilePage:
    """Find a page of files.

    Raises:
        UnreadableResponse: there is none.
    """
    payload = document.payload
    listed = payload.get("data") if is_object(payload) else None
    if not is_object(payload) or not is_list(listed):
        raise document.unreadable("the response holds no list of files", "data")
    cursor = payload.get("next_cursor")
    rows = [row for row in listed if is_object(row) and isinstance(row.get("id"), str)]
    more = payload.get("has_more") is not False and isinstance(cursor, str) and bool(cursor)
    return FilePage(
        files=tuple(structure(UploadedFile, row | {"raw": row}) for row in rows), next_cursor=cursor if more else None
    )
