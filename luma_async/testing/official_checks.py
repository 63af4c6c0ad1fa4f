"""What may stand in a body of the official format, as checks that are built out of one another.

Every check looks at one decoded value and complains in the form of the service's 422. Fields that it does not know are
ignored, as the service does.

Source: Luma's OpenAPI document 1.1.0; the form of a complaint is that of the recorded 422.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import attrs

from luma_async.testing.json_shapes import is_list, is_object

Complaint: TypeAlias = dict[str, Any]
Place: TypeAlias = tuple[str | int, ...]
"""Where a value stands: `("body", "keyframes", "frame0")`."""
Check: TypeAlias = Callable[[Any, Place], Iterator[Complaint]]

_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S*")
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


def text(value: Any, at: Place) -> Iterator[Complaint]:
    """Any string."""
    if not isinstance(value, str):
        yield complaint(at, "str type expected", "type_error.str")


def flag(value: Any, at: Place) -> Iterator[Complaint]:
    """True or false."""
    if not isinstance(value, bool):
        yield complaint(at, "value could not be parsed to a boolean", "type_error.bool")


def number(value: Any, at: Place) -> Iterator[Complaint]:
    """Any number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        yield complaint(at, "value is not a valid float", "type_error.float")


def integer(value: Any, at: Place) -> Iterator[Complaint]:
    """A whole number, which JSON may spell with a fraction of zero."""
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    if isinstance(value, bool) or not whole:
        yield complaint(at, "value is not a valid integer", "type_error.integer")


def uri(value: Any, at: Place) -> Iterator[Complaint]:
    """An absolute address."""
    if not isinstance(value, str) or not _URI.fullmatch(value):
        yield complaint(at, "invalid or missing URL scheme", "value_error.url.scheme")


def generation_id(value: Any, at: Place) -> Iterator[Complaint]:
    """A UUID."""
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        yield complaint(at, "value is not a valid uuid", "type_error.uuid")


def one_of(*words: str) -> Check:
    """One of these words."""

    def check(value: Any, at: Place) -> Iterator[Complaint]:
        if not isinstance(value, str) or value not in words:
            yield complaint(at, f"unexpected value; permitted: {', '.join(words)}", "value_error.const")

    return check


def many(inner: Check) -> Check:
    """A list in which each passes."""

    def check(value: Any, at: Place) -> Iterator[Complaint]:
        if not is_list(value):
            yield complaint(at, "value is not a valid list", "type_error.list")
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
        """Every field that is known."""
        return {**self.required, **self.optional}

    def __call__(self, value: Any, at: Place) -> Iterator[Complaint]:
        """Complain about what is missing, then about what is wrong."""
        if not is_object(value):
            yield complaint(at, "value is not a valid dict", "type_error.dict")
            return
        for name in self.required:
            if name not in value:
                yield complaint((*at, name), "field required", "value_error.missing")
        for name, check in self.fields.items():
            if name in value:
                yield from check(value[name], (*at, name))


def by_type(choices: Mapping[str, Record]) -> Check:
    """An object whose `type` tells which record it is."""

    def check(value: Any, at: Place) -> Iterator[Complaint]:
        kind = value.get("type") if is_object(value) else None
        choice = choices.get(kind) if isinstance(kind, str) else None
        if choice is None:
            yield complaint((*at, "type"), f"unexpected value; permitted: {', '.join(choices)}", "value_error.const")
        else:
            yield from choice(value, at)

    return check


def complaint(at: Place, message: str, kind: str) -> Complaint:
    """One entry of the detail of a 422."""
    return {"loc": list(at), "msg": message, "type": kind}
