"""The form of our errors: attrs classes that carry data, with texts of services kept short enough for a log."""

from __future__ import annotations

from typing import Any, TypeVar, dataclass_transform

import attrs

EXCERPT_CHARS = 200
"""How much of a service's body an error keeps: enough to recognise it, too little to flood a log."""

_E = TypeVar("_E", bound=type)


@dataclass_transform(kw_only_default=True, field_specifiers=(attrs.field,))
def error(cls: _E) -> _E:
    """Make an attrs exception; it keeps a `__dict__`, or it could not derive from `TimeoutError` as well.

    One that adds no field has all that attrs made for its base: half a millisecond of import less.
    """
    if "__annotations__" not in vars(cls):
        return cls
    return attrs.define(kw_only=True, eq=False, slots=False)(cls)


def live() -> Any:
    """Declare a field that holds a live object: it is dropped from pickles."""
    return attrs.field(default=None, repr=False, metadata={"live": True})


def clip(text: str, limit: int = EXCERPT_CHARS) -> str:
    """Shorten a service's text for an error: one line, at most `limit` characters."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
