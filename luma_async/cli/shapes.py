"""Our values as JSON, for `--json`."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from luma_async import Entry, Generation


def generation_json(generation: Generation) -> dict[str, Any]:
    """Return a generation as JSON, without the service's own body."""
    return _plain(attrs.asdict(generation, filter=lambda field, _: field.name != "raw"))


def entry_json(entry: Entry) -> dict[str, Any]:
    """Return a journal's entry as JSON."""
    return _plain(attrs.asdict(entry, filter=lambda field, _: field.name not in {"raw", "owner"}))


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    return {name: _plain_value(value) for name, value in document.items()}


def _plain_value(value: Any) -> Any:
    if isinstance(value, dict):
        return _plain(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Enum) else value
