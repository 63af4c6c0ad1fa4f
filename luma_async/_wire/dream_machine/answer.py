"""Where answers in the official format keep what we look for, at Luma and on relays.

Relays leave nothing out but say null for it, call the model `version`, and one answers a query with the flat body of
its own format. So the flat form is read first, which holds nothing that the official one calls by the same name for
something else, and what only the official one has is laid over it.

Source: Luma's OpenAPI document 1.1.0, and recorded answers of a relay and of the older service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luma_async._wire import generation as rix_answers
from luma_async._wire.dialect import Page
from luma_async._wire.json_shapes import is_list, is_object
from luma_async.values.errors import UnreadableResponse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luma_async._wire.answer import Document

FAILURE_CODES = {
    "contains blacklisted words": "blacklisted_words",
    "failed to read user input frames": "unreadable_frames",
    "frame moderation failed": "frame_moderation",
    "advanced prompt moderation failed": "prompt_moderation",
    "prompt processing failed": "prompt_processing",
    "error dispatching job": "dispatch_error",
    "job failed": "job_failed",
    "error processing callback": "callback_error",
}
"""The service gives reasons and no codes; these are ours for the reasons that it documents."""


def generation_fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Spell a generation's JSON as the converter reads it."""
    fields = rix_answers.generation_fields(raw)
    request = raw.get("request")
    if is_object(assets := raw.get("assets")):
        # The service's own clip carries no watermark, so it is the one to download.
        if video := assets.get("video"):
            fields["video"] = {"url": video, "download_url": video}
        fields["image"] = assets.get("image")
    fields["model"] = raw.get("model") or raw.get("version") or (request.get("model") if is_object(request) else None)
    if isinstance(reason := fields["failure_reason"], str):
        fields["failure_code"] = FAILURE_CODES.get(reason.strip().rstrip(".").lower())
    return fields


def find_page(document: Document) -> Page:
    """Find a page of generations.

    Raises:
        UnreadableResponse: there is no list of them.
    """
    payload = document.payload
    listed = payload.get("generations") if is_object(payload) else None
    if not is_object(payload) or not is_list(listed):
        raise _unreadable(document, "the answer holds no list of generations", "generations")
    has_more = payload.get("has_more")
    # Nothing but the list is required: where nobody says, the next page will tell.
    return Page(rows=rix_answers.find_all(listed), has_more=has_more if isinstance(has_more, bool) else bool(listed))


def find_names(document: Document) -> tuple[str, ...]:
    """Find a list of names.

    Raises:
        UnreadableResponse: there is none.
    """
    payload = document.payload
    if not is_list(payload):
        raise _unreadable(document, "the answer holds no list of names")
    return tuple(name for name in payload if isinstance(name, str))


def balance_fields(document: Document) -> dict[str, Any]:
    """Spell a balance as the converter reads it."""
    payload = document.payload if is_object(document.payload) else {}
    return {"balance_cents": payload.get("credit_balance"), "raw": payload}


def _unreadable(document: Document, message: str, *paths: str) -> UnreadableResponse:
    return UnreadableResponse(message=message, status=document.status, paths=paths, body_excerpt=document.excerpt)
