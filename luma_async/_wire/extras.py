"""The body of a submit: its own fields, and those of tomorrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from luma_async.values.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def complete(fields: Mapping[str, Any], extra: Mapping[str, Any], *, also: Iterable[str] = ()) -> dict[str, Any]:
    """Put a body together; what the request leaves open is left out.

    Args:
        fields: every field that this kind of request can write, None where it is left open.
        extra: fields that it does not know.
        also: further names that are no business of `extra`.

    Raises:
        InvalidInput: `extra` holds a field that has its own argument.
    """
    known = {*fields, *also}
    for name in extra:
        if name in known:
            raise InvalidInput(
                field=f"extra.{name}",
                message="is written by the request itself; `extra` is for fields that it does not know.",
            )
    return {name: value for name, value in fields.items() if value is not None} | dict(extra)
