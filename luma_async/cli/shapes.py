"""Our values as JSON, for `--json`."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

import attrs

if TYPE_CHECKING:
    from luma_async import Entry, Generation


def generation_json(generation: Generation) -> dict[str, Any]:
    """Return a generation as JSON, without the service's own body."""
    return plain(attrs.asdict(generation, filter=lambda field, _: field.name != "raw"))


def entry_json(entry: Entry) -> dict[str, Any]:
    """Return a journal's entry as JSON."""
    return plain(attrs.asdict(entry, filter=lambda field, _: field.name not in {"raw", "owner"}))


def plain(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document as JSON can spell it."""
    return {name: _plain_value(value) for name, value in document.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict):
        return plain(cast("dict[str, Any]", value))
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Enum) else value
