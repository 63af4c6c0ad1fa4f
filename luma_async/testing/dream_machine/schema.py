"""Checks for bodies of Luma's Dream Machine API, which are combined into schemas.

A check takes a decoded value and yields errors in the form of the service's 422. Unknown fields are ignored, as the
service does.

Source: Luma's OpenAPI document 1.1.0; the form of an error is that of the recorded 422.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import attrs

from luma_async.testing.answers import is_list, is_object

FieldError: TypeAlias = dict[str, Any]
Location: TypeAlias = tuple[str | int, ...]
"""The path of a value: `("body", "keyframes", "frame0")`."""
Check: TypeAlias = Callable[[Any, Location], Iterator[FieldError]]

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S*")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


def text(value: Any, at: Location) -> Iterator[FieldError]:
    """Any string."""
    if not isinstance(value, str):
        yield field_error(at, "str type expected", "type_error.str")


def flag(value: Any, at: Location) -> Iterator[FieldError]:
    """True or false."""
    if not isinstance(value, bool):
        yield field_error(at, "value could not be parsed to a boolean", "type_error.bool")


def number(value: Any, at: Location) -> Iterator[FieldError]:
    """Any number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield field_error(at, "value is not a valid float", "type_error.float")


def integer(value: Any, at: Location) -> Iterator[FieldError]:
    """An integer; JSON may write it with a fraction of zero."""
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole:
        yield field_error(at, "value is not a valid integer", "type_error.integer")


def uri(value: Any, at: Location) -> Iterator[FieldError]:
    """An absolute URI."""
    if not isinstance(value, str) or not _URI.fullmatch(value):
        yield field_error(at, "invalid or missing URL scheme", "value_error.url.scheme")


def generation_id(value: Any, at: Location) -> Iterator[FieldError]:
    """A UUID."""
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        yield field_error(at, "value is not a valid uuid", "type_error.uuid")


def one_of(*words: str) -> Check:
    """One of these words."""

    def check(value: Any, at: Location) -> Iterator[FieldError]:
        if not isinstance(value, str) or value not in words:
            yield field_error(at, f"unexpected value; permitted: {', '.join(words)}", "value_error.const")

    return check


def many(inner: Check) -> Check:
    """A list in which each value passes the inner check."""

    def check(value: Any, at: Location) -> Iterator[FieldError]:
        if not is_list(value):
            yield field_error(at, "value is not a valid list", "type_error.list")
            return
        for index, each in enumerate(value):
            yield from inner(each, (*at, index))

    return check


@attrs.frozen(kw_only=True)
class Record:
    """An object with these fields, each with its own check."""

    required: Mapping[str, Check] = attrs.field(factory=dict[str, Check])
    optional: Mapping[str, Check] = attrs.field(factory=dict[str, Check])

    @property
    def fields(self) -> dict[str, Check]:
        """Every documented field."""
        return {**self.required, **self.optional}

    def __call__(self, value: Any, at: Location) -> Iterator[FieldError]:
        """Yield missing fields, then wrong values."""
        if not is_object(value):
            yield field_error(at, "value is not a valid dict", "type_error.dict")
            return
        for name in self.required:
            if name not in value:
                yield field_error((*at, name), "field required", "value_error.missing")
        for name, check in self.fields.items():
            if name in value:
                yield from check(value[name], (*at, name))


def by_type(choices: Mapping[str, Record]) -> Check:
    """An object whose `type` selects its record."""

    def check(value: Any, at: Location) -> Iterator[FieldError]:
        kind = value.get("type") if is_object(value) else None
        choice = choices.get(kind) if isinstance(kind, str) else None
        if choice is None:
            yield field_error((*at, "type"), f"unexpected value; permitted: {', '.join(choices)}", "value_error.const")
        else:
            yield from choice(value, at)

    return check


def field_error(at: Location, message: str, kind: str) -> FieldError:
    """An entry in the `detail` of a 422."""
    return {"loc": list(at), "msg": message, "type": kind}
