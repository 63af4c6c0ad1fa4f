"""From JSON to values: the one cattrs converter.

A dialect hands over what its service said under the names of our fields. cattrs by itself would coerce (`None`
becomes the text "None") and refuse a whole answer for one odd field. Here every hook returns None for what it
cannot read, and such a field keeps its default: one drifted field degrades alone. Only what a value cannot do
without is an error.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

import attrs
from cattrs import Converter

from luma_async._wire.json_shapes import is_object
from luma_async._wire.states import read_state
from luma_async.values.errors import UnreadableResponse
from luma_async.values.models import Credits, Generation, Image, Json, KeyUsage, State, User, Video

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SPELLINGS = {"duration_s": "duration", "thumbnail_url": "thumbnail"}
"""Fields of files whose name on the wire is another one, in all formats."""

_WEB = ("http://", "https://")


def generation(fields: Mapping[str, Any]) -> Generation:
    """Structure a generation.

    Args:
        fields: what the service said, by the names of `Generation`'s fields, `raw` among them. Files keep their
            spelling on the wire, which all formats share.

    Raises:
        UnreadableResponse: there is no id or no state; `paths` names which.
    """
    structured: Generation = _HOOKS[Generation](fields, Generation)
    return structured


def user(fields: Mapping[str, Any]) -> User:
    """Structure an account; see `generation()`."""
    structured: User = _HOOKS[User](fields, User)
    return structured


def key_usage(fields: Mapping[str, Any]) -> KeyUsage:
    """Structure an API key's quota; see `generation()`."""
    structured: KeyUsage = _HOOKS[KeyUsage](fields, KeyUsage)
    return structured


def balance(fields: Mapping[str, Any]) -> Credits:
    """Structure a balance; see `generation()`."""
    structured: Credits = _HOOKS[Credits](fields, Credits)
    return structured


def _text(value: Any, _: Any) -> str | None:
    """Numbers stand where a text was promised; an empty text says nothing."""
    if isinstance(value, str):
        return value or None
    return str(value) if type(value) is int else None


def _link(value: Any, _: Any) -> str | None:
    """A link is a text in one place and an object with a `url` in the next; what nobody can fetch is none."""
    if is_object(value):
        value = value.get("url")
    return value if isinstance(value, str) and value.startswith(_WEB) else None


def _number(value: Any, _: Any) -> float | None:
    """Numbers come as texts too. JSON as Python reads it has NaN and infinities, which are none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _whole(value: Any, kind: Any) -> int | None:
    """Whole numbers come as `656.0` and as texts too."""
    if type(value) is int:
        return value
    number = _number(value, kind)
    return int(number) if number is not None and number.is_integer() else None


def _flag(value: Any, _: Any) -> bool | None:
    """Any text is true to Python, so only a JSON boolean counts."""
    return value if isinstance(value, bool) else None


def _state(value: Any, _: Any) -> State | None:
    """A word of tomorrow is a state too, and not a final one."""
    return read_state(value)


def _moment(value: Any, kind: Any) -> datetime | None:
    """Moments are ISO texts of any precision or Unix seconds; 0 and the year 1 are Go's words for "not yet".

    Assumed: a text without a zone is UTC, as all recorded ones are.
    """
    try:
        if isinstance(value, str) and not value.isdigit():
            moment = datetime.fromisoformat(value)
            moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
            return moment if moment.year > 1 else None
        seconds = _number(value, kind)
        return datetime.fromtimestamp(seconds, UTC) if seconds and seconds > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def _progress(value: Any, kind: Any) -> float | None:
    """Progress is `37%`. Assumed: a bare number is a share, unless it is more than 1, which can only be percent."""
    percent = isinstance(value, str) and value.endswith("%")
    number = _number(value.rstrip("%") if percent else value, kind)
    if number is None or not 0 <= number <= 100:
        return None
    return number / 100 if percent or number > 1 else number


def _raw(value: Any, _: Any) -> Json:
    kept: Json = value
    return kept


def _build_value(cls: type[Any], converter: Converter) -> Callable[[Any, Any], Any]:
    """Build the hook of a class once: `X | None` is unwrapped here, not at each answer."""
    attrs.resolve_types(cls)
    fields = attrs.fields(cls)
    readers = {_SPELLINGS.get(field.name, field.name): (field.name, *_hook_of(field, converter)) for field in fields}
    required = {field.name for field in fields if field.default is attrs.NOTHING}

    def structure(value: Any, _: Any) -> Any:
        readable: dict[str, Any] = {}
        for spelling, item in value.items():
            if item is None or (reader := readers.get(spelling)) is None:
                continue
            name, hook, kind = reader
            read = hook(item, kind)
            if read is not None:
                readable[name] = read
        if required and not required <= readable.keys():
            missing = tuple(field.name for field in fields if field.name in required - readable.keys())
            raise UnreadableResponse(message="the answer lacks what it is about", paths=missing)
        return cls(**readable)

    return structure


def _hook_of(field: attrs.Attribute[Any], converter: Converter) -> tuple[Callable[[Any, Any], Any], Any]:
    kind: Any = field.type
    if get_origin(kind) in {Union, UnionType}:
        kind = next(option for option in get_args(kind) if option is not NoneType)
    if field.name.endswith("url"):
        return _link, kind
    if field.name == "progress":
        return _progress, kind
    return converter.get_structure_hook(kind), kind


def _build_file(cls: type[Any], converter: Converter) -> Callable[[Any, Any], Any]:
    """A file is an object, or its bare link; one without any link is none."""
    structure = _build_value(cls, converter)

    def structure_file(value: Any, kind: Any) -> Any:
        if not is_object(value):
            value = {"url": value}
        file = structure(value, kind)
        return file if file.url or getattr(file, "download_url", None) else None

    return structure_file


def _build() -> Converter:
    converter = Converter()
    converter.register_structure_hook(str, _text)
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(int, _whole)
    converter.register_structure_hook(bool, _flag)
    converter.register_structure_hook(State, _state)
    converter.register_structure_hook(datetime, _moment)
    converter.register_structure_hook_func(lambda kind: kind == Json, _raw)
    converter.register_structure_hook_factory(attrs.has, _build_value)
    converter.register_structure_hook_factory(lambda kind: kind in {Image, Video}, _build_file)
    return converter


_CONVERTER = _build()
_HOOKS: dict[type[Any], Callable[[Any, Any], Any]] = {
    cls: _CONVERTER.get_structure_hook(cls) for cls in (Generation, User, KeyUsage, Credits)
}
