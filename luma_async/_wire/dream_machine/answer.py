"""Where the answers of Luma's own format hold what we need, at Luma and on relays.

Relays write null for missing fields, call the model `version`, and some answer a query with the flat body of the relay
format. So the flat form is read first, and then the fields that only Luma's own format has. No name has different
meanings in the two.

Source: Luma's OpenAPI document 1.1.0, and recorded answers of a relay and of the older service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luma_async._wire import generation as flat
from luma_async._wire.answer import is_list, is_object
from luma_async._wire.dialect import Page
from luma_async._wire.generation import structure
from luma_async.values.models import Credits

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
"""The service gives reasons and no codes; these are our codes for its documented reasons."""


def generation_fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a generation's JSON under the names that the converter reads."""
    fields = flat.generation_fields(raw)
    task = fields["raw"] or raw
    request = task.get("request")
    fields["model"] = task.get("model") or task.get("version") or (request.get("model") if is_object(request) else None)
    if not fields["failure_code"] and isinstance(reason := fields["failure_reason"], str):
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
        raise document.unreadable("the response holds no list of generations", "generations")
    has_more = payload.get("has_more")
    # Only the list is required; without `has_more` the next page shows whether there was more.
    return Page(rows=flat.find_all(listed, document), has_more=has_more if isinstance(has_more, bool) else bool(listed))


def find_names(document: Document) -> tuple[str, ...]:
    """Find a list of names.

    Raises:
        UnreadableResponse: there is none.
    """
    payload = document.payload
    if not is_list(payload):
        raise document.unreadable("the response holds no list of names")
    return tuple(name for name in payload if isinstance(name, str))


def read_credits(document: Document) -> Credits:
    """Read the balance.

    Raises:
        UnreadableResponse: there is none.
    """
    payload = document.payload if is_object(document.payload) else {}
    return structure(Credits, {"balance_cents": payload.get("credit_balance"), "raw": payload})
