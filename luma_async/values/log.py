"""The log: one logger, and records with the same three fields: `action`, `key` and `generation_id`.

No record contains a prompt, a path, the query of a URL, a header or an API key. So an error is logged at DEBUG as its
class and its HTTP status: its message may repeat what the request said.
"""

from __future__ import annotations

import logging
from typing import Any, Literal, TypeAlias

logger: logging.Logger = logging.getLogger("luma_async")

Action: TypeAlias = Literal[
    "opened",
    "closed",
    "claim",
    "send",
    "answer",
    "verdict",
    "submitted",
    "submit_failed",
    "prompt_mismatch",
    "retried",
    "paused",
    "query",
    "polled",
    "changed",
    "finished",
    "download_started",
    "downloading",
    "downloaded",
    "download_failed",
    "uploading",
    "uploaded",
    "batch_item",
    "note",
    "callback",
]
"""Everything that a record can be about."""


def fields(action: Action, *, key: str | None = None, generation_id: str | None = None) -> dict[str, Any]:
    """Return the fields of a record, for `extra`."""
    return {"action": action, "key": key, "generation_id": generation_id}


def step(
    action: Action, message: str, *arguments: object, key: str | None = None, generation_id: str | None = None
) -> None:
    """Log a step at DEBUG. Where that level is off, this costs one look into the logger's cache."""
    if logger.isEnabledFor(logging.DEBUG):
        logger.debug(message, *arguments, extra=fields(action, key=key, generation_id=generation_id), stacklevel=2)


def brief(error: BaseException | None) -> str:
    """Return an error without its message: the class, and the HTTP status if there is one."""
    if error is None:
        return "ok"
    status = getattr(error, "status", None)
    return type(error).__name__ if status is None else f"{type(error).__name__}, HTTP {status}"
