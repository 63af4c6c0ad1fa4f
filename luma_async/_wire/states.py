"""The words for the state of a generation, in all formats."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from luma_async.values.models import State

_STATES = {
    "pending": State.PENDING,
    "queued": State.PENDING,
    "submitted": State.PENDING,
    "not_start": State.PENDING,
    "processing": State.PROCESSING,
    "dreaming": State.PROCESSING,
    "in_progress": State.PROCESSING,
    "completed": State.COMPLETED,
    "success": State.COMPLETED,
    "failed": State.FAILED,
    "failure": State.FAILED,
}


def read_state(word: Any) -> State | None:
    """Return the state that a word stands for: `UNKNOWN` for an unknown word, None for an empty or non-string value."""
    return _state_of(word) if isinstance(word, str) else None


@lru_cache(maxsize=64)
def _state_of(word: str) -> State | None:
    bare = word.strip().lower()
    return _STATES.get(bare, State.UNKNOWN) if bare else None
